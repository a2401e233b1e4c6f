#pragma once
// Appending JSON to a string at the price of copying it: what the access log and the tap are written with. No locale, no
// format strings, no time-zone code per line.
// Thread: functions, any; a LineClock belongs to one worker. Source: RFC 8259 section 7, RFC 3339.
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "nodeproxy/base/ip.h"

namespace weir::telemetry {

// Appends `text` as a JSON string with its quotes. Whatever the bytes are, the result is JSON in UTF-8 and moves no
// terminal: quotes, backslashes and control characters (C1 too) are escaped, bytes that are no UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
// `,"name":"value"`; `name` is a literal of ours.
void append_field(std::string& out, std::string_view name, std::string_view value);
void append_number(std::string& out, uint64_t number);
// `,"name":number`
void append_number_field(std::string& out, std::string_view name, uint64_t number);
// `,"name":12.345`: milliseconds, to the microsecond.
void append_millis_field(std::string& out, std::string_view name, std::chrono::nanoseconds duration);
// "10.0.0.1:80", "[fd00::1]:80"; without quotes.
void append_address(std::string& out, const SocketAddress& address);

// "2026-11-25T18:03:17.123Z". The date is worked out once a second, not once a line.
class LineClock {
 public:
  void append_to(std::string& out, std::chrono::system_clock::time_point now);

 private:
  int64_t second_ = -1;
  char text_[32] = {};
  size_t size_ = 0;
};

}  // namespace weir::telemetry
