// The steps, top to bottom. See uninstall_cluster.h. Source of the paths: the Kubernetes API reference, apps/v1 and core/v1.
#include "agent/uninstall_cluster.h"

#include <fmt/format.h>

#include <utility>

#include "agent/model/objects.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

using kube::Json;

namespace {

constexpr const char* kSettings = "/api/v1/namespaces/weir-system/configmaps/weir";
constexpr const char* kDaemonSets = "/apis/apps/v1/namespaces/weir-system/daemonsets/";
constexpr const char* kCaptured = "weir.dev/captured";
constexpr size_t kNamedMax = 10;

std::string some_of(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < kNamedMax; ++i) out += (i > 0 ? ", " : "") + names[i];
  return names.size() > kNamedMax ? fmt::format("{} and {} more", out, names.size() - kNamedMax) : out;
}

std::unexpected<Error> refused(const std::string& what, const kube::Answer& answer) {
  const std::string why = kube::text_at(Json::parse(answer.body, nullptr, false), "message");
  return fail(Source::agent, Reason::io,
              fmt::format("{}: the API server answers {} {}", what, answer.status, why));
}

int64_t number_at(const Json& object, const char* outer, const char* name) {
  if (!object.is_object() || !object.contains(outer) || !object[outer].is_object()) return 0;
  return object[outer].value(name, int64_t{0});
}

}  // namespace

ClusterUninstall::ClusterUninstall(kube::ClientOptions options, std::chrono::seconds patience,
                                   std::chrono::milliseconds pause)
    : client_(loop_, std::move(options)), pause_(pause), deadline_(Clock::now() + patience) {}

void ClusterUninstall::pause() {
  bool over = false;
  loop_.after(pause_, [&] { over = true; });
  while (!over) loop_.run_once(pause_);
}

Result<kube::Answer> ClusterUninstall::ask(const std::string& method, const std::string& path,
                                           const std::string& body, const std::string& type) {
  for (;;) {
    std::optional<Result<kube::Answer>> answer;
    client_.request(method, path, type, body, [&](Result<kube::Answer> got) { answer = std::move(got); });
    while (!answer) loop_.run_once(std::chrono::milliseconds(1000));
    // What another try may change: no answer, too many requests, a server in trouble.
    const bool again = !*answer || (*answer)->status == 429 || (*answer)->status >= 500;
    if (!again || late()) return std::move(*answer);
    pause();
  }
}

template <typename Good>
Status ClusterUninstall::until(const std::string& what, Good good) {
  std::string said;
  for (;;) {
    const Result<std::vector<std::string>> left = good();
    if (!left) return std::unexpected(left.error());
    if (left->empty()) return {};
    std::string now = fmt::format("{} ({}): {}", what, left->size(), some_of(*left));
    if (late()) return fail(Source::agent, Reason::request_timeout, "gave up waiting for " + now);
    if (now != said) log::info("waiting for {}", now);
    said = std::move(now);
    pause();
  }
}

// A page after the other: clusters are large.
Result<std::vector<std::string>> ClusterUninstall::captured_pods() {
  std::vector<std::string> out;
  std::string next;
  do {
    const auto answer =
        ask("GET", "/api/v1/pods?limit=500" + (next.empty() ? "" : "&continue=" + kube::url_encoded(next)));
    if (!answer) return std::unexpected(answer.error());
    if (answer->status == 410) return captured_pods();  // the list took too long: from its beginning
    if (answer->status != 200) return refused("listing pods", *answer);
    const Json list = kube::parse_pruned(answer->body, 4);
    if (!list.is_object() || !list.contains("items")) return refused("listing pods", *answer);
    for (const Json& pod : list["items"]) {
      const Json& metadata = pod["metadata"];
      const std::string phase = kube::text_at(pod, "status", "phase");
      if (phase == "Succeeded" || phase == "Failed") continue;
      if (!metadata.contains("annotations") || !metadata["annotations"].contains(kCaptured)) continue;
      out.push_back(fmt::format("{}/{} on {}", kube::text_at(metadata, "namespace"),
                                kube::text_at(metadata, "name"), kube::text_at(pod, "spec", "nodeName")));
    }
    next = kube::text_at(list, "metadata", "continue");
  } while (!next.empty());
  return out;
}

Status ClusterUninstall::release() {
  const auto told =
      ask("PATCH", kSettings, R"({"data": {"enrolment": "None"}})", "application/merge-patch+json");
  if (!told) return std::unexpected(told.error());
  if (told->status != 200) return refused("setting enrolment: None in ConfigMap weir-system/weir", *told);
  log::info("enrolment is None: the agents let every pod go");
  if (auto ok = until("pods that are captured", [&] { return captured_pods(); }); !ok) return ok;

  const auto gone = ask("DELETE", std::string(kDaemonSets) + "weir-node",
                        R"({"propagationPolicy": "Foreground"})", "application/json");
  if (!gone) return std::unexpected(gone.error());
  if (gone->status >= 300 && gone->status != 404) return refused("deleting DaemonSet weir-node", *gone);
  return until("DaemonSet weir-node to go", [&]() -> Result<std::vector<std::string>> {
    const auto answer = ask("GET", std::string(kDaemonSets) + "weir-node");
    if (!answer) return std::unexpected(answer.error());
    if (answer->status == 404) return std::vector<std::string>{};
    if (answer->status != 200) return refused("reading DaemonSet weir-node", *answer);
    const int64_t pods =
        number_at(Json::parse(answer->body, nullptr, false), "status", "currentNumberScheduled");
    return std::vector<std::string>{fmt::format("{} pods", pods)};
  });
}

Result<std::vector<std::string>> ClusterUninstall::nodes_not_ready() {
  const auto answer = ask("GET", "/api/v1/namespaces/weir-system/pods?labelSelector=" +
                                     kube::url_encoded("app.kubernetes.io/name=weir-uninstall"));
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) return refused("listing pods of DaemonSet weir-uninstall", *answer);
  const Json list = kube::parse_pruned(answer->body, 4);
  if (!list.is_object() || !list.contains("items"))
    return refused("listing pods of DaemonSet weir-uninstall", *answer);
  std::vector<std::string> out;
  for (const Json& pod : list["items"]) {
    bool ready = false;
    if (pod.contains("status")) {
      for (const Json& condition : pod["status"].value("conditions", Json::array())) {
        ready = ready ||
                (kube::text_at(condition, "type") == "Ready" && kube::text_at(condition, "status") == "True");
      }
    }
    if (!ready) {
      const std::string node = kube::text_at(pod, "spec", "nodeName");
      out.push_back(node.empty() ? "no node yet for " + kube::text_at(pod, "metadata", "name") : node);
    }
  }
  return out;
}

Status ClusterUninstall::await_nodes() {
  return until("nodes to be cleaned", [&]() -> Result<std::vector<std::string>> {
    const auto answer = ask("GET", std::string(kDaemonSets) + "weir-uninstall");
    if (!answer) return std::unexpected(answer.error());
    if (answer->status != 200) return refused("reading DaemonSet weir-uninstall", *answer);
    const Json set = Json::parse(answer->body, nullptr, false);
    // Its controller has to have seen it: before that it wants no pod, and nothing is not "all of them".
    const bool seen =
        number_at(set, "status", "observedGeneration") >= number_at(set, "metadata", "generation");
    const int64_t wanted = number_at(set, "status", "desiredNumberScheduled");
    if (seen && wanted == number_at(set, "status", "numberReady")) return std::vector<std::string>{};
    auto left = nodes_not_ready();
    if (left && left->empty()) left->push_back("nodes that have no pod of DaemonSet weir-uninstall yet");
    return left;
  });
}

}  // namespace weir::agent
