#pragma once
// What a worker counts: one row of plain counters for each set of labels, written by that worker alone and copied out
// for a scrape by a message to it, so nothing on the path is shared. Labels name owners (a Deployment), never pods, and
// come from the configuration, never from a client's bytes; past a cap everything falls into one row named `other`.
// Thread: one worker; Rows copied out are values.
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nodeproxy/base/reason.h"

namespace weir::telemetry {

enum class Reporter : uint8_t { source, destination };
enum class Security : uint8_t { mtls, local, none };

std::string_view label(Reporter reporter);
std::string_view label(Security security);

// One end of a connection as metrics and the access log name it.
struct Party {
  std::string workload;   // the owner's name, or "unknown"
  std::string ns;         // namespace
  std::string principal;  // SPIFFE identity where it was authenticated (or is our own), else empty

  bool operator==(const Party&) const = default;
};

struct Labels {
  Reporter reporter = Reporter::source;
  Security security = Security::none;
  Party source, destination;
  std::string service;  // "namespace/name", or empty

  bool operator==(const Labels&) const = default;
};

size_t hash_of(const Labels& labels);
// The labels of everything past the cap.
Labels other_labels(const Labels& labels);

// Upper bounds of the duration histogram, in seconds; one more bucket is +Inf.
inline constexpr std::array<double, 10> kDurationBounds{0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600, 3600};

struct Row {
  Labels labels;
  uint64_t opened = 0, closed = 0;
  uint64_t sent_bytes = 0;      // client → server
  uint64_t received_bytes = 0;  // server → client
  std::array<uint64_t, kReasonCount> failed{};
  std::array<uint64_t, kDurationBounds.size() + 1> durations{};
  double duration_sum_seconds = 0;

  void observe(std::chrono::nanoseconds duration);
};

class Series {
 public:
  explicit Series(size_t cap = 10'000) : cap_(cap) {}
  // The row of these labels; stays valid as long as the Series.
  Row& row(const Labels& labels);
  std::vector<Row> copy() const;

 private:
  struct Hash {
    size_t operator()(const Labels& labels) const;
  };
  size_t cap_;
  std::unordered_map<Labels, std::unique_ptr<Row>, Hash> rows_;
};

// What a worker counts beside connections.
struct WorkerCounters {
  uint64_t handshakes_full_client = 0, handshakes_full_server = 0;
  uint64_t handshakes_resumed_client = 0, handshakes_resumed_server = 0;
  std::array<uint64_t, kReasonCount> handshakes_failed{};
  uint64_t chains_known = 0, chains_followed = 0;
  uint64_t lanes_opened = 0;
  std::array<uint64_t, kReasonCount> lanes_closed{};
  uint64_t sessions_opened = 0, sessions_closed = 0;
  uint64_t log_lines_dropped = 0;
  uint64_t audits = 0;
  uint64_t turns = 0;
  uint64_t connections_handed_over = 0;  // to other workers
};

}  // namespace weir::telemetry
