// One GET and what may go wrong with it. See ask.h.
#include "agent/cli/ask.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include "agent/cli/unix_http.h"

namespace weir::agent {

Asked ask(const char* who, const std::string& socket_path, const std::string& target) {
  auto got = get_unix(socket_path, target);
  if (!got) {
    const int code = got.error().os_code;
    const std::string what = code != 0 ? std::strerror(code) : got.error().describe();
    std::string hint;
    if (code == ENOENT) {
      hint = fmt::format(
          "\n  there is no such socket: is weir-{} running on this node, and --run-dir (or "
          "WEIR_RUN_DIR) the directory it was given?",
          who);
    } else if (code == ECONNREFUSED) {
      hint = fmt::format("\n  nobody serves it: weir-{} has ended", who);
    } else if (code == EACCES) {
      hint = "\n  only the user it runs as may ask: try sudo";
    }
    return {{}, fmt::format("{} at {}: {}{}", who, socket_path, what, hint)};
  }
  if (got->status != 200) {
    return {{},
            fmt::format("{} at {}: GET {} answered {}: {}", who, socket_path, target, got->status, got->body),
            got->status};
  }
  return {std::move(got->body), {}, got->status};
}

AskedJson ask_json(const char* who, const std::string& socket_path, const std::string& target) {
  const Asked got = ask(who, socket_path, target);
  if (!got.error.empty()) return {nullptr, got.error, got.status};
  nlohmann::json answer = nlohmann::json::parse(got.body, nullptr, false);
  if (answer.is_discarded()) {
    return {nullptr, fmt::format("{} at {}: GET {} answered no JSON", who, socket_path, target), got.status};
  }
  return {std::move(answer), {}, got.status};
}

}  // namespace weir::agent
