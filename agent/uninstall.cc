// Withdrawing, waiting, taking capture away. See uninstall.h.
#include "agent/uninstall.h"

#include <unistd.h>

#include <chrono>

#include "agent/app_capture.h"
#include "agent/enrol/annotations.h"
#include "agent/kube/source.h"
#include "agent/loop/files.h"
#include "agent/redirect/redirect.h"
#include "agent/source.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

constexpr auto kPatience = std::chrono::seconds(60);
constexpr size_t kPods = 2;  // in kube::watched_kinds()

// How many announcements were withdrawn.
Result<size_t> withdraw_files(const AgentOptions& options) {
  std::error_code none;
  if (!std::filesystem::is_directory(options.shared_dir / "captured", none)) return 0;
  auto announcements = SharedDirectory::open(options.shared_dir, options.node);
  if (!announcements) return std::unexpected(announcements.error());
  const auto own = announcements->own();
  for (const auto& uid : own) {
    if (auto ok = announcements->remove(uid); !ok) return std::unexpected(ok.error());
  }
  return own.size();
}

// The same in the API server: of this node's pods alone, and nothing else is read.
Result<size_t> withdraw_annotations(const AgentOptions& options) {
  auto server = api_server(options);
  if (!server) return std::unexpected(server.error());
  Loop loop;
  kube::Client client(loop, std::move(*server));
  kube::Source::Options only_pods;
  only_pods.kinds = {kube::watched_kinds().at(kPods)};
  only_pods.kinds[0].resource.selector = "fieldSelector=spec.nodeName%3D" + options.node;
  kube::Source source(loop, client, only_pods);
  PodAnnotations announcements(client, source, options.node);
  Result<size_t> outcome = fail(Source::agent, Reason::connect_timeout, "the API server has not answered");
  size_t waiting = 0;
  bool begun = false;
  source.start([&] {
    if (std::exchange(begun, true)) return;
    announcements.read();
    const auto own = announcements.own();
    outcome = waiting = own.size();
    if (own.empty()) loop.stop();
    for (const auto& uid : own) {
      announcements.withdraw(uid, [&](Status done) {
        if (!done) outcome = std::unexpected(done.error());
        if (--waiting == 0) loop.stop();
      });
    }
  });
  loop.after(kPatience, [&] { loop.stop(); });
  loop.run();
  if (waiting > 0)
    return fail(Source::agent, Reason::request_timeout, "pods could not all be annotated in time");
  return outcome;
}

}  // namespace

int uninstall(const AgentOptions& options) {
  const auto complain = [](const Error& error) {
    log::error("{}", error.describe());
    return 1;
  };
  int code = 0;
  // First, so that no pod waits for an agent that will not come.
  if (!options.cni_conf_dir.empty()) {
    if (auto ok = CniInstall::uninstall(cni_install_options(options)); !ok) code = complain(ok.error());
  }
  // Withdrawn first: from now on peers speak plaintext, which a pod without capture understands.
  const auto withdrawn = options.kubernetes ? withdraw_annotations(options) : withdraw_files(options);
  if (!withdrawn) {
    code = complain(withdrawn.error());
  } else if (*withdrawn > 0) {
    ::sleep(1);
  }
  const NetnsFinder finder(finder_options(options));
  const RedirectOptions redirect = redirect_options(options, finder);
  if (auto ok = Redirect::uninstall(redirect); !ok) code = complain(ok.error());
  for (const char* file : {"trust-version", "trust-bundle.pem", "enrolled-namespaces"}) {
    if (auto ok = remove_durably(options.state_dir / file); !ok) code = complain(ok.error());
  }
  std::error_code not_empty;  // then something of somebody else's is in it
  std::filesystem::remove(options.state_dir, not_empty);
  if (code == 0) log::info("weir is gone from node {}", options.node);
  return code;
}

}  // namespace weir::agent
