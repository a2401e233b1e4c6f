#pragma once
// `weirctl tap`: what to ask of the proxy's /tap, and a line of text for each request that it tells of. Pure but for the
// widths that grow while lines are printed. Thread: any.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace weir::agent {

struct TapOptions {
  std::string workload, route, status;
};

// The target to ask, from `since` (empty: from now on). `error` when an option has characters that no name has.
struct TapTarget {
  std::string target, error;
};
TapTarget tap_target(const TapOptions& options, const std::string& since);

struct TapAnswer {
  std::vector<nlohmann::json> requests;  // in the words of the access log
  std::string next;                      // what to ask from; empty: the answer was not understood
  int64_t missed = 0;
};
TapAnswer read_tap(const std::string& body);

// Lines whose columns stay aligned: a column is as wide as its widest cell so far, up to a limit.
class TapTable {
 public:
  static std::vector<std::string> heading();
  std::string line(const std::vector<std::string>& cells);

 private:
  std::vector<size_t> widths_;
};
// Time, source, destination, status, duration, request, and why it failed.
std::vector<std::string> tap_cells(const nlohmann::json& request);

}  // namespace weir::agent
