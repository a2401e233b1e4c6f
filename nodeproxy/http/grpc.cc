// See grpc.h.
#include "nodeproxy/http/grpc.h"

#include <algorithm>
#include <charconv>

namespace weir::http {
namespace {

using std::chrono::nanoseconds;

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

constexpr int64_t unit_ns(char unit) {
  switch (unit) {
    case 'H': return 3'600'000'000'000;
    case 'M': return 60'000'000'000;
    case 'S': return 1'000'000'000;
    case 'm': return 1'000'000;
    case 'u': return 1'000;
    case 'n': return 1;
    default: return 0;
  }
}

}  // namespace

std::optional<uint16_t> grpc_status(const Headers& headers) {
  const auto text = headers.get("grpc-status");
  const auto value = text ? number(*text) : std::nullopt;
  if (!value || *value > UINT16_MAX) return std::nullopt;
  return static_cast<uint16_t>(*value);
}

std::optional<nanoseconds> grpc_timeout(const Headers& headers) {
  const auto text = headers.get("grpc-timeout");
  if (!text || text->size() < 2 || text->size() > 9) return std::nullopt;  // eight digits at most
  const auto value = number(text->substr(0, text->size() - 1));
  const int64_t unit = unit_ns(text->back());
  if (!value || unit == 0) return std::nullopt;
  constexpr uint64_t kMost =
      365ULL * 24 * 3'600'000'000'000;  // a year: 99,999,999 hours would not fit a clock
  const auto most = kMost / static_cast<uint64_t>(unit);
  return nanoseconds(static_cast<int64_t>(std::min<uint64_t>(*value, most)) * unit);
}

void set_grpc_timeout(Headers& headers, nanoseconds left) {
  const int64_t micros = std::max<int64_t>(1, left.count() / 1000);
  if (micros < 100'000'000) {
    headers.set("grpc-timeout", std::to_string(micros) + "u");
  } else if (micros / 1000 < 100'000'000) {
    headers.set("grpc-timeout", std::to_string(micros / 1000) + "m");
  } else {
    headers.set("grpc-timeout", std::to_string(std::min<int64_t>(micros / 1'000'000, 99'999'999)) + "S");
  }
}

void grpc_answer(Head& head, uint16_t code, std::string_view message) {
  head.status = 200;
  head.content_length.reset();
  head.headers.set("content-type", "application/grpc");
  head.headers.set("grpc-status", std::to_string(code));
  head.headers.set("grpc-message", message);
}

nanoseconds retry_after(const Headers& headers) {
  const auto text = headers.get("retry-after");
  const auto seconds = text ? number(*text) : std::nullopt;
  return seconds ? std::chrono::seconds(std::min<uint64_t>(*seconds, 60)) : nanoseconds(0);
}

uint64_t unix_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

}  // namespace weir::http
