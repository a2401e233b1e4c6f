// What was found when a pod was captured: whether an earlier agent's capture is whole, and connections that are older
// than it (capture.md "Older than the rule"). See enrolment.h.
#include <fmt/format.h>

#include "agent/enrol/enrolment.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

const char* label(FoundAs found) {
  switch (found) {
    case FoundAs::unknown: break;
    case FoundAs::starting: return "starting";
    case FoundAs::running: return "running";
    case FoundAs::uncaptured: return "uncaptured";
    case FoundAs::whole: return "whole";
    case FoundAs::broken: return "broken";
  }
  return "unknown";
}

// Of a pod that an earlier agent captured; nothing else is known of it yet. What is missing is put back at once.
void Enrolment::verify(Pod& pod) {
  std::string broken;
  for (const auto& check : capture_.check(pod.spec.uid)) {
    if (!check.ok) broken += fmt::format("{}{}: {}", broken.empty() ? "" : "; ", check.name, check.detail);
  }
  pod.found = broken.empty() ? FoundAs::whole : FoundAs::broken;
  if (broken.empty()) {
    if (options_.found) options_.found(FoundAs::whole, 0, 0);
    return;
  }
  pod.bypassed = true;
  log::warn("pod {}: its capture was not whole when this agent started: {}", pod.spec.uid, broken);
  const auto found = options_.find_netns(pod.spec, pod.netns_path);
  auto mended = found ? capture_.prepare({pod.spec.uid, found->path, pod.spec.addresses, found->fd.get()})
                      : std::unexpected(found.error());
  if (mended) mended = capture_.arm(pod.spec.uid);
  if (!mended) log::error("pod {}: it cannot be mended yet: {}", pod.spec.uid, mended.error().describe());
}

// The pod is captured from now on; what it had before goes past the proxy.
void Enrolment::settle_older(Pod& pod) {
  if (std::exchange(pod.bypassed, false)) {
    const auto older = pod.spec.guarded ? capture_.destroy_old_connections(pod.spec.uid)
                                        : capture_.old_connections(pod.spec.uid);
    if (!older) log::error("pod {}: {}", pod.spec.name.text(), older.error().describe());
    (pod.spec.guarded ? pod.older_ended : pod.older_left) = older.value_or(0);
  } else {
    pod.older_ended = pod.older_left = 0;
  }
  if (pod.found == FoundAs::broken || pod.older_ended + pod.older_left > 0) {
    log::warn("pod {}: was found {}; of its connections from before, {} are ended and {} left alone",
              pod.spec.name.text(), label(pod.found), pod.older_ended, pod.older_left);
  } else if (pod.found == FoundAs::uncaptured) {
    log::info("pod {}: was found running and uncaptured", pod.spec.name.text());
  }
  if (options_.found) options_.found(pod.found, pod.older_ended, pod.older_left);
}

}  // namespace weir::agent
