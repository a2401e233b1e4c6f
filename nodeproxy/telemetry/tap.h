#pragma once
// Recent request ends for whoever watches with `weirctl tap`: a bounded ring of access-log lines on each worker. It is
// filled only while somebody has read in the last seconds; otherwise a request costs one test of a bool and no line is
// made for it. Readers ask by sequence number, so they see each line once and are told what was overwritten.
// Thread: one worker; pages are values.
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/base/limits.h"

namespace weir::telemetry {

struct RequestLabels;
struct RequestRow;

// What a watcher wants to see; empty members: everything.
struct TapFilter {
  std::string workload = {};  // "namespace/name" of source or destination, or of the service
  std::string route = {};     // a rule's "namespace/route/rule", or "namespace/route" for all its rules
  std::optional<uint16_t> status = {};       // exact; 0: those without a response
  std::optional<uint8_t> status_class = {};  // 5 for 5xx

  // "5xx", "404" or "none"; whether it is one of those.
  bool set_status(std::string_view text);
  bool matches(const RequestLabels& labels, uint16_t response_status) const;
};

struct TapLine {
  std::chrono::system_clock::time_point time;
  std::string text;  // an access-log line with its newline
};

struct TapPage {
  uint32_t worker = 0;
  std::vector<TapLine> lines;
  uint64_t next = 0;    // ask from here
  uint64_t missed = 0;  // ended since the last look, but overwritten
};

class Tap {
 public:
  bool watched() const { return watched_; }
  void add(const RequestRow& row, uint16_t status, std::string_view line);
  // What matches of the requests from `since` on, `most` at most, and from here on the tap is watched. Without `since`:
  // nothing yet, only where to go on from.
  TapPage read(std::optional<uint64_t> since, const TapFilter& filter, size_t most,
               std::chrono::steady_clock::time_point now);
  // Between turns: nobody has looked for a while, so the ring is freed.
  void rest(std::chrono::steady_clock::time_point now);

 private:
  struct Entry {
    const RequestRow* row;  // rows stay as long as the series
    uint16_t status;
    TapLine line;
  };

  std::deque<Entry> ring_;
  size_t ring_bytes_ = 0;
  uint64_t first_ = 0;  // the sequence number of ring_[0]
  std::chrono::steady_clock::time_point watched_until_{};
  bool watched_ = false;
};

}  // namespace weir::telemetry
