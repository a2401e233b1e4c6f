#pragma once
// Everything of a worker that its flows may touch: the snapshot they read, the counters they write, the pools and
// balancers they share. One per worker; not a singleton, so that a test builds as many workers as it likes.
// Thread: one worker. Lifetime: the worker's; outlives every flow.
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "nodeproxy/balance/pick.h"
#include "nodeproxy/base/limits.h"
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/io/driver.h"
#include "nodeproxy/net/acceptor.h"
#include "nodeproxy/net/shares.h"
#include "nodeproxy/net/source_ports.h"
#include "nodeproxy/telemetry/record.h"
#include "nodeproxy/telemetry/request_record.h"
#include "nodeproxy/tls/chains.h"
#include "nodeproxy/tls/context.h"

namespace weir::upstream {
class LanePool;
class HttpPool;
}  // namespace weir::upstream

namespace weir::flow {

class LocalPod;

// Of a pod's connection: from it or to it.
enum class Way : uint8_t { outbound, inbound };

struct Context {
  io::Driver& driver;
  const config::Snapshot* snapshot = nullptr;  // null until the first one came
  telemetry::Series series;
  telemetry::AccessLog log;
  telemetry::Refusals refusals;
  telemetry::Sink sink;
  telemetry::RequestSeries request_series;
  telemetry::Tap tap;
  telemetry::RequestSink request_sink;
  telemetry::WorkerCounters counters;
  net::PortRanges ports;
  net::Shares shares;
  net::AcceptPauses accept_pauses;
  balance::State balance;
  tls::VerifiedChains chains;
  std::shared_ptr<const tls::Bundle> trust;  // null until one came
  upstream::LanePool* lanes = nullptr;
  upstream::HttpPool* http = nullptr;
  std::unordered_map<std::string, std::unique_ptr<LocalPod>> pods;                    // by uid
  std::unordered_map<std::string, std::shared_ptr<const tls::Context>> certificates;  // by identity
  // Gives an accepted connection to another worker, which serves the pod and is waiting for it (spread.h).
  std::function<void(uint32_t worker, const std::string& uid, Way way, int fd)> hand_over;
  uint64_t live_flows = 0;
  uint32_t connections_per_pod = limits::connections_per_pod;
  uint32_t requests_per_pod = limits::requests_per_pod;
  bool draining = false;

  Context(io::Driver& driver, telemetry::LogWriter* writer, uint32_t worker, uint32_t workers, uint64_t seed)
      : driver(driver),
        log(writer),
        sink{series, log, &refusals},
        request_sink{request_series, log, tap, [&driver] { return driver.now(); }, &refusals},
        ports(worker, workers, seed),
        shares(driver),
        balance(seed) {}

  LocalPod* pod(const std::string& uid) const {
    const auto found = pods.find(uid);
    return found == pods.end() ? nullptr : found->second.get();
  }
  // Null while the identity's certificate has not come.
  std::shared_ptr<const tls::Context> certificate(const std::string& identity) const {
    const auto found = certificates.find(identity);
    return found == certificates.end() ? nullptr : found->second;
  }
};

}  // namespace weir::flow
