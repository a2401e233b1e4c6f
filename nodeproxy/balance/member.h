#pragma once
// What a worker knows of one endpoint as a member of a Group: its load, its latency, and how it has been doing. Keyed by
// Endpoint::id, so that it survives new snapshots and a short absence.
// Owner: a Group, which keeps it while a lease is out on it. Thread: its worker's.
#include <array>
#include <cstdint>
#include <optional>

#include "nodeproxy/balance/ewma.h"
#include "nodeproxy/base/ip.h"

namespace weir::balance {

// How a request (or an opaque connection's attempt to connect) went, for the endpoint.
struct Outcome {
  enum class Kind : uint8_t {
    ok,         // it answered, whatever the answer said
    failed,     // 5xx, reset, time-out, no connection: counts for ejection, and against its latency
    busy,       // 429, RESOURCE_EXHAUSTED: it works, but being quick to say so must not draw more requests
    abandoned,  // the client gave up first
  };
  Kind kind = Kind::ok;
  // From the request's last byte to the answer's first. None where it says nothing: a stream of requests, a long poll.
  std::optional<Nanoseconds> latency = {};
};

// Why an endpoint is ejected.
enum class Cause : uint8_t { consecutive_failures, success_rate, latency };
inline constexpr size_t kCauses = 3;
using Ejections = std::array<uint64_t, kCauses>;  // how many, by cause

struct Member {
  uint64_t id = 0;
  Ip address;

  uint32_t in_flight = 0;  // requests
  PeakEwma latency;

  // Since the last ejection, or ever.
  uint32_t failures_in_row = 0;
  struct {
    uint32_t answered = 0, failed = 0;
    uint32_t timed = 0;  // of `answered`, those with a latency
    double latency_ns = 0;
  } interval;

  bool ejected = false;
  Cause cause = Cause::consecutive_failures;
  uint32_t times_in_row = 0;
  TimePoint until;     // ejected: until when
  TimePoint returned;  // since when it is not

  uint64_t seen = 0;  // the build (Members::build) of the list that it was last in
  TimePoint since;    // in the list without a break
  TimePoint gone;     // not in the list since; for those that are not

  // Where it is in the list: its tier, and which candidate of that.
  uint32_t tier = 0, place = 0;

  // The ejection ended, or the rules: nothing of before counts.
  void fresh_start(TimePoint now) {
    ejected = false;
    failures_in_row = 0;
    interval = {};
    latency = {};
    returned = since = now;
  }
};

}  // namespace weir::balance
