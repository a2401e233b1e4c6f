// weir-controller: signs certificates for the agents of nodes, keeps the mesh's root, writes status. Parses the command
// line and owns what a run needs.
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "agent/controller/admin.h"
#include "agent/controller/app.h"
#include "agent/loop/duration.h"
#include "agent/loop/signals.h"
#include "nodeproxy/base/log.h"

namespace {

using namespace weir;
using namespace weir::agent;
using namespace weir::agent::controller;

// Short of the Lease's renewal: a request that hangs must not cost the leadership.
constexpr auto kRequestTimeout = std::chrono::seconds(4);

int complain(const Error& error) {
  log::error("{}", error.describe());
  return 1;
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

int run(const ControllerOptions& options) {
  const Fd signals = block_signals();
  Loop loop;
  ControllerApp app(loop, options);
  loop.watch(signals.get(), POLLIN, [&](short) {
    signalfd_siginfo info{};
    if (::read(signals.get(), &info, sizeof(info)) == sizeof(info)) app.stop([&loop] { loop.stop(); });
  });
  ControllerAdmin admin(loop, app);
  if (auto ok = admin.start(options.metrics_listen); !ok) return complain(ok.error());
  log::info("weir-controller {} is {}, asking {}", WEIR_VERSION, options.identity, options.kube.server);
  app.start();
  loop.run();
  return app.failed() ? complain(*app.failed()) : 0;
}

// "24h" in the option `name`, at least `min`.
bool read_seconds(const char* name, const std::string& text, long min, std::chrono::seconds& out) {
  const auto seconds = parse_duration(text);
  if (!seconds || seconds->count() < min) {
    log::error("{} {}: at least {}s, as 24h, 30m or 10s", name, text, min);
    return false;
  }
  out = *seconds;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  ControllerOptions options;
  std::string life = "24h", overlap, delay = "30s", check = "5s", server, ca, token, certificate, key;
  CLI::App cli("weir-controller: signs for the agents of nodes, keeps the mesh's root, writes status");
  cli.set_version_flag("--version", WEIR_VERSION);
  cli.add_option("--listen", options.listen, "gRPC for agents")->capture_default_str();
  cli.add_option("--metrics-listen", options.metrics_listen, "HTTP: /metrics /healthz /readyz")
      ->capture_default_str();
  cli.add_option("--trust-domain", options.trust_domain,
                 "unless the settings name one: whose identities are signed")
      ->capture_default_str();
  cli.add_option("--cert-ttl", life, "life of a workload's certificate: 24h, 30m, 10s")
      ->capture_default_str();
  cli.add_flag("--bring-root", options.bring_root, "never make a root: wait for Secret weir-system/weir-ca");
  cli.add_option("--root-overlap", overlap,
                 "how long an old root stays trusted; twice --cert-ttl unless said");
  cli.add_option("--signing-delay", delay, "how long a new root is trusted before it signs")
      ->capture_default_str();
  cli.add_option("--root-check", check, "how often Secret and ConfigMap of the root are read")
      ->capture_default_str();
  cli.add_option("--identity", options.identity,
                 "of this replica in the Lease; else POD_NAME, else the host's");
  cli.add_option("--server", server, "API server's URL; in a pod it is known, with token and roots");
  cli.add_option("--ca-file", ca, "roots of the API server's certificate");
  cli.add_option("--token-file", token, "bearer token for the API server");
  cli.add_option("--client-cert", certificate, "client certificate instead of a token");
  cli.add_option("--client-key", key, "and its key");
  cli.add_option("--log-level", options.log_level, "debug, info, warn, error")->capture_default_str();
  CLI11_PARSE(cli, argc, argv);

  if (!log::init("weir-controller", options.log_level)) {
    fmt::print(stderr, "weir-controller: --log-level {} is none of debug, info, warn, error\n",
               options.log_level);
    return 2;
  }
  if (!read_seconds("--cert-ttl", life, 10, options.certificate_life) ||
      !read_seconds("--signing-delay", delay, 1, options.signing_delay) ||
      !read_seconds("--root-check", check, 1, options.root_check) ||
      (!overlap.empty() && !read_seconds("--root-overlap", overlap, 1, options.root_overlap))) {
    return 2;
  }
  if (options.identity.empty()) {
    const char* pod = std::getenv("POD_NAME");
    options.identity = pod != nullptr ? pod : host_name();
  }
  if (server.empty()) {
    auto in_cluster = kube::ClientOptions::in_cluster();
    if (!in_cluster) return complain(in_cluster.error());
    options.kube = std::move(*in_cluster);
  } else {
    options.kube.server = server;
    options.kube.ca_file = ca;
    options.kube.token_file = token;
    options.kube.certificate_file = certificate;
    options.kube.key_file = key;
  }
  options.kube.request_timeout = kRequestTimeout;
  if (auto ok = options.kube.check(); !ok) return complain(ok.error());
  return run(options);
}
