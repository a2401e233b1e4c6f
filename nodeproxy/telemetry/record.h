#pragma once
// The life of one connection as telemetry sees it: begun when it is accepted, labelled when it is known who talks to
// whom, ended exactly once, because ending consumes the record. Writes the row's counters and one access-log line per
// reporter, for abnormal ends too.
// Thread: the flow's worker. Lifetime: part of the flow.
#include <chrono>
#include <string>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/telemetry/access_log.h"
#include "nodeproxy/telemetry/flow_labels.h"
#include "nodeproxy/telemetry/refusals.h"
#include "nodeproxy/telemetry/series.h"

namespace weir::telemetry {

// Facts for the log that are too many for labels. Filled as the corridor learns them.
struct Facts {
  Reporter reporter = Reporter::source;
  SocketAddress client;                     // as the application would see it
  SocketAddress dialled;                    // what the client dialled
  SocketAddress endpoint;                   // where it went
  std::string source_pod, destination_pod;  // "namespace/name" or empty
  std::string policy, rule;                 // what denied it, or matched an Audit
  FlowLabels labels;
};

struct Sink {
  Series& series;
  AccessLog& log;
  Refusals* refusals = nullptr;  // null: none are kept
};

class Record {
 public:
  explicit Record(std::chrono::steady_clock::time_point begun) : begun_(begun) {}
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  Facts facts;
  uint64_t sent_bytes = 0;      // client → server
  uint64_t received_bytes = 0;  // server → client

  // The connection is through to the other side; labels are final.
  void opened(Sink& sink);
  bool is_open() const { return row_ != nullptr; }
  // Adds what moved since the last call to the row, so that long connections show up before they end.
  void publish_bytes();
  // The end, once. `error` none: in order. Before opened(): counted as failed.
  void end(Sink& sink, std::chrono::steady_clock::time_point now, const Error& why);
  // Not a connection after all (it carries sessions that have records of their own): nothing is counted or logged.
  void discard() { ended_ = true; }
  // Of what was discarded: there is something to tell of it after all.
  void restore() { ended_ = false; }
  bool ended() const { return ended_; }
  std::chrono::steady_clock::time_point begun() const { return begun_; }

 private:
  std::chrono::steady_clock::time_point begun_;
  Row* row_ = nullptr;
  uint64_t published_sent_ = 0, published_received_ = 0;
  bool ended_ = false;
};

}  // namespace weir::telemetry
