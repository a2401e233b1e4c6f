#pragma once
// Which trace a request belongs to, for the access log: read from W3C `traceparent` or B3, judged strictly, never
// altered. The fields themselves pass on as they came, valid or not: they are the applications'. Weir begins no trace
// yet; with export, spans of its own are begun here.
// Thread: values. Source: W3C Trace Context level 1, section 3.2; openzipkin/b3-propagation.
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::telemetry {

// 16 or 32 lower-case hex digits, not all zero; empty: none.
class TraceId {
 public:
  constexpr TraceId() = default;
  // Empty when `digits` is no trace id.
  static TraceId parse(std::string_view digits);
  std::string_view text() const { return {digits_.data(), size_}; }
  bool empty() const { return size_ == 0; }

 private:
  std::array<char, 32> digits_{};
  uint8_t size_ = 0;
};

// "00-<32 hex>-<16 hex>-<2 hex>"; of later versions the part that is promised to stay.
TraceId trace_of_traceparent(std::string_view value);
// "<16 or 32 hex>-<16 hex>[-<0|1|d>[-<16 hex>]]"; a lone sampling decision names no trace.
TraceId trace_of_b3(std::string_view value);
// X-B3-TraceId and X-B3-SpanId, which come together.
TraceId trace_of_x_b3(std::string_view trace_id, std::string_view span_id);

// The trace of a request: W3C before B3. A field that came twice names none. `Fields` has get(name) and count(name).
template <typename Fields>
TraceId trace_of(const Fields& fields) {
  const auto only = [&](std::string_view name) {
    return fields.count(name) == 1 ? fields.get(name) : std::optional<std::string_view>();
  };
  if (const auto value = only("traceparent")) {
    if (const TraceId id = trace_of_traceparent(*value); !id.empty()) return id;
  }
  if (const auto value = only("b3")) {
    if (const TraceId id = trace_of_b3(*value); !id.empty()) return id;
  }
  const auto trace = only("x-b3-traceid"), span = only("x-b3-spanid");
  return trace && span ? trace_of_x_b3(*trace, *span) : TraceId();
}

}  // namespace weir::telemetry
