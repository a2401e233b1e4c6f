// The grammars of the trace fields. See trace.h.
#include "nodeproxy/telemetry/trace.h"

#include <algorithm>

namespace weir::telemetry {
namespace {

bool lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// An id of this many digits, not all zero.
bool is_id(std::string_view text, size_t digits) {
  return text.size() == digits && lower_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

}  // namespace

TraceId TraceId::parse(std::string_view digits) {
  TraceId id;
  if (!is_id(digits, 32) && !is_id(digits, 16)) return id;
  std::copy(digits.begin(), digits.end(), id.digits_.begin());
  id.size_ = static_cast<uint8_t>(digits.size());
  return id;
}

TraceId trace_of_traceparent(std::string_view value) {
  constexpr size_t kSize = 55;
  if (value.size() < kSize || value[2] != '-' || value[35] != '-' || value[52] != '-') return {};
  const std::string_view version = value.substr(0, 2), trace = value.substr(3, 32);
  if (!lower_hex(version) || version == "ff" || !lower_hex(value.substr(53, 2))) return {};
  if (value.size() > kSize && (version == "00" || value[kSize] != '-')) return {};
  if (!is_id(trace, 32) || !is_id(value.substr(36, 16), 16)) return {};
  return TraceId::parse(trace);
}

TraceId trace_of_b3(std::string_view value) {
  const size_t first = value.find('-');
  if (first == std::string_view::npos) return {};
  std::string_view rest = value.substr(first + 1);
  if (!is_id(rest.substr(0, 16), 16)) return {};
  rest.remove_prefix(16);
  if (!rest.empty()) {
    const bool decided =
        rest.size() >= 2 && rest[0] == '-' && (rest[1] == '0' || rest[1] == '1' || rest[1] == 'd');
    if (!decided) return {};
    rest.remove_prefix(2);
  }
  if (!rest.empty() && (rest[0] != '-' || !is_id(rest.substr(1), 16))) return {};
  return TraceId::parse(value.substr(0, first));
}

TraceId trace_of_x_b3(std::string_view trace_id, std::string_view span_id) {
  return is_id(span_id, 16) ? TraceId::parse(trace_id) : TraceId();
}

}  // namespace weir::telemetry
