#pragma once
// How the controller asks the API server: one function, which is kube::Client's request() in the program and a table in
// tests. Thread: the loop's; `done` comes there too, later or at once, exactly once.
#include <fmt/format.h>

#include <functional>
#include <string>

#include "agent/kube/client.h"

namespace weir::agent::controller {

using Ask = std::function<void(std::string method, std::string path, std::string content_type,
                               std::string body, kube::Client::Done done)>;

inline constexpr const char* kJson = "application/json";
inline constexpr const char* kMergePatch = "application/merge-patch+json";

inline bool is_success(const Result<kube::Answer>& answer) {
  return answer && answer->status >= 200 && answer->status < 300;
}
// What went wrong, for a log: the connection's error, or the status with the beginning of what the server said.
inline std::string trouble_of(const Result<kube::Answer>& answer) {
  constexpr size_t kSaidMax = 300;
  return answer ? fmt::format("status {}: {}", answer->status, answer->body.substr(0, kSaidMax))
                : answer.error().describe();
}

}  // namespace weir::agent::controller
