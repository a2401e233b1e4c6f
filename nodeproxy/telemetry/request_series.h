#pragma once
// What a worker counts of HTTP requests: one row for each set of labels, found once per flow and destination and kept
// by pointer from then on, so that counting a request is a few additions. A row has a short list of outcomes (response
// class, gRPC code, reason): their number is bounded by three closed vocabularies, and the few that happen are found by
// looking through them. As with connections (series.h) labels come from the configuration, never from a client's
// bytes, and past a cap everything falls into rows named `other`.
// Thread: one worker; RequestCounts copied out are values. Rows stay where they are as long as the series.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "nodeproxy/base/reason.h"
#include "nodeproxy/telemetry/histogram.h"
#include "nodeproxy/telemetry/series.h"

namespace weir::telemetry {

enum class Protocol : uint8_t { http_1, http_2, grpc };
std::string_view label(Protocol protocol);  // "http/1.1", "http/2", "grpc"

struct RequestLabels {
  Labels ends;
  Protocol protocol = Protocol::http_1;
  std::string route;  // of the rule that matched, "namespace/route/rule"; empty: none

  bool operator==(const RequestLabels&) const = default;
};

// How a request ended, as metrics tell it.
struct RequestOutcome {
  // Of HTTP requests `grpc` is not_grpc; of calls the status, or that none came.
  enum Grpc : uint8_t { grpc_code_max = 16, grpc_other, grpc_none, not_grpc };
  uint8_t response_class = 0;  // status / 100; 0: no response
  uint8_t grpc = not_grpc;
  Reason reason = Reason::none;
  uint64_t count = 0;

  std::string_view class_label() const;  // "2xx", "none", "other"
  std::string grpc_label() const;        // "14", "none", "other"; empty when it is not gRPC
  // A failure of the way or the server, as success rates count it: 5xx, a gRPC code that blames the server (those that
  // OpenTelemetry's conventions for server spans call errors), or any reason but an answer that the route itself gives.
  bool failed() const;
};

struct RequestCounts {
  std::shared_ptr<const RequestLabels> labels;
  std::vector<RequestOutcome> outcomes;
  Histogram durations;
  uint64_t in_flight = 0;
  uint64_t sent_bytes = 0;      // of requests' bodies
  uint64_t received_bytes = 0;  // of responses' bodies
  uint64_t retries = 0;

  void count(uint16_t status, std::optional<uint32_t> grpc_status, Reason reason,
             std::chrono::nanoseconds duration);
  void add(const RequestCounts& other);  // all but the labels
  uint64_t requests() const { return durations.count(); }
  uint64_t failures() const;

 private:
  void count_outcome(const RequestOutcome& outcome, uint64_t by);
};

struct RequestRow : RequestCounts {
  // Of access-log lines: what the labels make of them. Made with the first line, empty until then.
  struct Texts {
    std::string head, middle, tail;
  } texts;
};

class RequestSeries {
 public:
  explicit RequestSeries(size_t cap = 10'000) : cap_(cap) {}
  // The row of these labels; stays valid as long as the series.
  RequestRow* row(const RequestLabels& labels);
  std::vector<RequestCounts> copy() const;

 private:
  struct Hash {
    size_t operator()(const RequestLabels& labels) const;
  };
  RequestRow* add(RequestLabels labels);

  size_t cap_;
  std::unordered_map<RequestLabels, std::unique_ptr<RequestRow>, Hash> rows_;
};

}  // namespace weir::telemetry
