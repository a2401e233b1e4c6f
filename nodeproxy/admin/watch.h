#pragma once
// `/tap` and `/refusals`: what a watcher asks of the workers' rings, and the lines that it gets. Pure.
//   GET /tap?since=12,40&workload=NS/NAME&route=NS/ROUTE&status=5xx&most=100
// `since`: where to go on from, for each worker in order; without it nothing is answered but where that is. The answer is
// JSON lines: requests by time, in the words of the access log, and last {"kind":"tap","next":"13,47","missed":0}.
//   GET /refusals?pod=NS/NAME
// The last few refusals that concern a pod of this node, as lines of the access log, the oldest first.
// Thread: admin.
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "nodeproxy/base/local_http.h"
#include "nodeproxy/telemetry/refusals.h"
#include "nodeproxy/telemetry/tap.h"

namespace weir::admin {

struct TapQuestion {
  telemetry::TapFilter filter;
  std::vector<uint64_t> since;  // by worker; shorter: the rest begins now
  size_t most = 1000;           // lines of each worker

  std::optional<uint64_t> since_of(uint32_t worker) const {
    return worker < since.size() ? std::optional(since[worker]) : std::nullopt;
  }
};

// Or the sentence that says what is wrong with the query.
std::expected<TapQuestion, std::string> tap_question(const HttpRequest& request);
// `pages`: of the workers that answered; of `workers`.
std::string tap_answer(const TapQuestion& question, std::vector<telemetry::TapPage> pages, size_t workers);
std::string refusals_answer(const std::vector<std::vector<telemetry::RefusalLine>>& workers);

}  // namespace weir::admin
