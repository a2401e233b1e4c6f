#pragma once
// The access log: one JSON line for the end of every connection ("kind":"connection") and of every HTTP request
// ("kind":"request"), abnormal ends included. A worker formats into its own batch, which goes to the writer at the end
// of the turn.
// Thread: one worker. Lifetime: the worker's.
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "nodeproxy/base/error.h"
#include "nodeproxy/telemetry/json_text.h"
#include "nodeproxy/telemetry/log_writer.h"

namespace weir::telemetry {

struct Facts;
struct RequestFacts;
struct RequestRow;

struct Ended {
  bool was_open = false;
  uint64_t sent_bytes = 0, received_bytes = 0;
  std::chrono::nanoseconds duration{};
  Error why;
};

struct RequestEnded {
  uint16_t status = 0;                  // 0: there was no response
  std::optional<uint32_t> grpc_status;  // of a gRPC call that got one
  uint64_t sent_bytes = 0, received_bytes = 0;
  std::chrono::nanoseconds duration{};
  std::optional<std::chrono::nanoseconds> first_byte;  // of the response, since the request began
  uint32_t attempts = 0;
  const Error& why;
};

class AccessLog {
 public:
  explicit AccessLog(LogWriter* writer) : writer_(writer) {}
  bool enabled() const { return writer_ != nullptr; }
  // The line with its newline, valid until the next one; without a writer it is made, and goes nowhere.
  std::string_view write(const Facts& facts, const Ended& ended);
  // `row` keeps the part of the line that its labels make.
  std::string_view write(const RequestFacts& facts, RequestRow& row, const RequestEnded& ended);
  bool pending() const { return enabled() && !batch_.empty(); }
  void flush();

 private:
  LogWriter* writer_;  // null: no log
  LineClock clock_;
  std::string batch_;
};

}  // namespace weir::telemetry
