// First bytes. See http.h.
#include "nodeproxy/detect/http.h"

#include <algorithm>
#include <array>

#include "nodeproxy/base/http_syntax.h"
#include "nodeproxy/base/limits.h"

namespace weir::detect {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kMethodMax = limits::http_method_max_bytes;

// RFC 9110 section 9.3 and RFC 5789.
constexpr std::array<std::string_view, 9> kMethods{"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                                   "CONNECT", "OPTIONS", "TRACE", "PATCH"};

bool begins_method(std::string_view text) {
  return std::any_of(kMethods.begin(), kMethods.end(), [&](auto method) { return method.starts_with(text); });
}

}  // namespace

Speech speech_of(std::span<const std::byte> first_bytes, bool declared) {
  const std::string_view text(reinterpret_cast<const char*>(first_bytes.data()), first_bytes.size());
  if (kPreface.starts_with(text.substr(0, kPreface.size())))
    return text.size() >= kPreface.size() ? Speech::http2 : Speech::need_more;
  const size_t at = http_syntax::token_end(text.substr(0, kMethodMax));
  // A word that is not over may be the first of any protocol: only the beginning of a method is worth waiting for.
  if (at == text.size() && !begins_method(text)) return Speech::opaque;
  if (at == text.size()) return Speech::need_more;
  if (at == 0 || text[at] != ' ') return Speech::opaque;
  if (declared) return Speech::http1;
  // The request line must go on as one: a target, and HTTP/1 behind it as far as it has come.
  const std::string_view rest = text.substr(at + 1);
  const size_t line = rest.find_first_of("\r\n");
  if (line == std::string_view::npos) {
    const bool target =
        rest.empty() || rest.front() == '/' || rest.front() == '*' || rest.find("://") < rest.size();
    return target && rest.size() < limits::http_url_max_bytes ? Speech::need_more : Speech::opaque;
  }
  const size_t space = rest.substr(0, line).rfind(' ');
  if (space == std::string_view::npos) return Speech::opaque;
  return rest.substr(space + 1, line - space - 1).starts_with("HTTP/1.") ? Speech::http1 : Speech::opaque;
}

}  // namespace weir::detect
