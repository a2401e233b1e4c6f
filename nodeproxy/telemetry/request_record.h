#pragma once
// The life of one HTTP request as telemetry sees it: begun when its head is there, moved to better labels as routing and
// balancing find them, and ended exactly once: by end(), or, when whoever held it was destroyed first, by its own
// destruction, as cancelled. Counts in its row, writes one access-log line and shows it to the tap.
// Thread: the flow's worker. Lifetime: one request; part of its exchange.
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/telemetry/access_log.h"
#include "nodeproxy/telemetry/refusals.h"
#include "nodeproxy/telemetry/request_series.h"
#include "nodeproxy/telemetry/tap.h"
#include "nodeproxy/telemetry/trace.h"

namespace weir::telemetry {

// Facts for the log that are too many for labels. Text costs time, so it is filled only when wants_text().
struct RequestFacts {
  SocketAddress client;                     // as the application would see it
  SocketAddress endpoint;                   // of the last attempt; unspecified: there was none
  std::string source_pod, destination_pod;  // "namespace/name" or empty
  std::string policy, rule;                 // what denied it, or matched an Audit
  std::string method, host, path;           // as the client sent them, cut at the limits of base/limits.h
  bool truncated = false;                   // one of them was cut
  TraceId trace;
};

struct RequestSink {
  RequestSeries& series;
  AccessLog& log;
  Tap& tap;
  std::function<std::chrono::steady_clock::time_point()> now;  // the worker's clock
  Refusals* refusals = nullptr;                                // null: none are kept

  bool wants_text() const { return log.enabled() || tap.watched(); }
};

class RequestRecord {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `row`: of what is known so far. `begun`: when the head began to come.
  RequestRecord(RequestSink& sink, RequestRow* row, TimePoint begun);
  RequestRecord(const RequestRecord&) = delete;
  RequestRecord& operator=(const RequestRecord&) = delete;
  ~RequestRecord();

  RequestFacts facts;
  uint16_t status = 0;                  // of the final response to the client; 0: none was begun
  std::optional<uint32_t> grpc_status;  // of its trailers, or of our own answer
  uint64_t sent_bytes = 0;              // body, client → server
  uint64_t received_bytes = 0;          // body, server → client

  // Whether a line will be made of this request, however it ends, and so whether `facts` are worth filling. One of a
  // refusal is made in any case: then who was refused, and by what, is filled at its end.
  bool wants_text() const { return wants_text_; }
  // Copies what the client asked for, bounded; nothing when no line will be made.
  void describe(std::string_view method, std::string_view host, std::string_view path);
  // It is known better who talks to whom.
  void move_to(RequestRow* row);
  // Sent to this endpoint; all but the first are retries.
  void attempt(const SocketAddress& endpoint);
  // The response's first byte came; the first call counts.
  void first_byte(TimePoint now);
  // Adds the bytes that moved since the last call to the row, so that long streams show up before they end.
  void publish_bytes();
  // The end, once. `why` none: in order.
  void end(TimePoint now, const Error& why);
  bool ended() const { return row_ == nullptr; }

  const RequestLabels& labels() const { return *row_->labels; }
  TimePoint begun() const { return begun_; }
  uint32_t attempts() const { return attempts_; }

 private:
  RequestSink& sink_;
  RequestRow* row_;  // null: ended
  TimePoint begun_;
  std::optional<TimePoint> first_byte_;
  uint64_t published_sent_ = 0, published_received_ = 0;
  uint32_t attempts_ = 0;
  bool wants_text_;
};

}  // namespace weir::telemetry
