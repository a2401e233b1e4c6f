#pragma once
// A service under load on a virtual clock: requests arrive at random moments whatever the answers do (open loop), the
// balancer chooses, endpoints answer after a service time of their own, with a queue when all their threads are busy.
//
// Concept: run() is one worker's view of one service for a while; the same seed gives the same run.
// Owner, thread, lifetime: each test's own.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <vector>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

namespace weir::balance::test {

struct Server {
  double mean_ms = 4;   // of the service time
  double spread = 0.5;  // sigma of its logarithm; 0.5: the 99th percentile is 3.2 times the median
  double delay_ms = 0;  // beside, for every request
  double slow_from_s = 0, slow_to_s = 1e9;
  int threads = 16;
  double failing = 0;  // share of requests that fail, after a tenth of a millisecond
};

struct Load {
  double per_second = 500;
  double seconds = 120;
  double warm_up_s = 0;  // not counted
  unsigned seed = 1;
};

struct Report {
  std::vector<double> latencies_ms;
  std::vector<int> requests;  // by server
  std::vector<int> failures;
  int total = 0;

  double percentile(double share) {
    const auto at = static_cast<size_t>(share * static_cast<double>(latencies_ms.size() - 1));
    std::nth_element(latencies_ms.begin(), latencies_ms.begin() + static_cast<ptrdiff_t>(at),
                     latencies_ms.end());
    return latencies_ms[at];
  }
  double share(size_t server) const { return static_cast<double>(requests[server]) / total; }
};

class Simulation {
 public:
  Simulation(const Service& service, std::vector<Server> servers, Load load)
      : service_(service), servers_(std::move(servers)), load_(load), dice_(load.seed), state_(load.seed) {
    free_at_.resize(servers_.size());
    for (size_t i = 0; i < servers_.size(); ++i) {
      free_at_[i].assign(static_cast<size_t>(servers_[i].threads), 0.0);
      index_[service.slices[0]->endpoints[i].id] = i;
    }
  }

  Report run() {
    Report report;
    report.requests.resize(servers_.size());
    report.failures.resize(servers_.size());
    std::exponential_distribution<double> gap(load_.per_second);
    for (double now = gap(dice_); now < load_.seconds; now += gap(dice_)) {
      while (!under_way_.empty() && under_way_.top().end_s <= now) finish();
      begin(now, report);
    }
    while (!under_way_.empty()) finish();
    return report;
  }

  State& state() { return state_; }

 private:
  struct Call {
    double begin_s, end_s;
    size_t slot;
    bool failed;
    bool operator<(const Call& other) const { return end_s > other.end_s; }
  };

  static TimePoint at(double seconds) {
    return TimePoint(std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(1000 + seconds)));
  }

  void begin(double now, Report& report) {
    Request asked = request(service_);
    asked.http = true;
    asked.now = at(now);
    const auto choice = pick(asked, state_);
    if (!choice) FAIL("no endpoint");
    const size_t server = index_.at(choice->endpoint->id);
    const Server& model = servers_[server];
    const bool failed = std::uniform_real_distribution<double>(0, 1)(dice_) < model.failing;
    const double median = model.mean_ms / std::exp(model.spread * model.spread / 2);
    double service_s = std::lognormal_distribution<double>(std::log(median), model.spread)(dice_) / 1000;
    if (failed) service_s = 0.0001;
    const auto thread = std::min_element(free_at_[server].begin(), free_at_[server].end());
    const double end = std::max(now, *thread) + service_s;
    *thread = end;
    const bool slow = now >= model.slow_from_s && now < model.slow_to_s;
    const double answered = end + (slow ? model.delay_ms / 1000 : 0);
    if (now >= load_.warm_up_s) {
      report.latencies_ms.push_back((answered - now) * 1000);
      ++report.requests[server];
      report.failures[server] += failed ? 1 : 0;
      ++report.total;
    }
    if (leases_free_.empty()) {
      leases_free_.push_back(leases_.size());
      leases_.emplace_back();
    }
    const size_t slot = leases_free_.back();
    leases_free_.pop_back();
    leases_[slot] = state_.request(*choice, at(now));
    under_way_.push({now, answered, slot, failed});
  }

  void finish() {
    const Call call = under_way_.top();
    under_way_.pop();
    leases_[call.slot].release(
        {call.failed ? Outcome::Kind::failed : Outcome::Kind::ok, at(call.end_s) - at(call.begin_s)},
        at(call.end_s));
    leases_free_.push_back(call.slot);
  }

  const Service& service_;
  std::vector<Server> servers_;
  Load load_;
  std::mt19937 dice_;
  State state_;
  std::vector<std::vector<double>> free_at_;  // of each server's threads
  std::map<uint64_t, size_t> index_;
  std::priority_queue<Call> under_way_;
  std::vector<RequestLease> leases_;
  std::vector<size_t> leases_free_;
};

}  // namespace weir::balance::test
