#pragma once
// Who leads, by a Lease: of all replicas one holds it, renews it every 2 s, and has lost it when it could not for 10 s;
// another may take it once it has not seen it change for 15 s by its own clock. The clocks of machines are never
// compared, and between losing and taking lie 5 s.
//
// Concept: the owner calls tick() every retry period; all waiting is in the times it hands in, so that a test needs no
// clock. A holder that leaves orderly gives the Lease back, and the next takes it at once.
// Owner: the app. Thread: the loop's. Source: client-go tools/leaderelection; coordination.k8s.io/v1.
#include <chrono>
#include <functional>
#include <string>

#include "agent/controller/api.h"

namespace weir::agent::controller {

class Lease {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    std::string holder;  // unique among replicas
    std::string ns = "weir-system", name = "weir-controller";
    std::chrono::seconds life{15}, renew_deadline{10}, retry{2};
  };

  Lease(Options options, Ask ask, std::function<std::string()> rfc3339_micro,
        std::function<void(bool)> changed)
      : options_(std::move(options)),
        ask_(std::move(ask)),
        wall_(std::move(rfc3339_micro)),
        changed_(std::move(changed)) {}
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  void tick(Clock::time_point now);
  bool leads() const { return leads_; }
  const std::string& holder() const { return seen_holder_; }  // as last seen; empty: nobody
  std::chrono::milliseconds retry() const { return options_.retry; }

  // Stops leading and gives the Lease back; `done` in any case, once.
  void release(std::function<void()> done);

 private:
  void read_answer(Clock::time_point asked_at, const Result<kube::Answer>& answer);
  void take(Clock::time_point asked_at, const std::string& found);
  void set_leads(bool leads);
  std::string path() const;

  const Options options_;
  const Ask ask_;
  const std::function<std::string()> wall_;
  const std::function<void(bool)> changed_;
  bool leads_ = false, under_way_ = false, released_ = false;
  Clock::time_point renewed_at_{};
  // The Lease as last seen, and since when it has looked so.
  std::string seen_holder_, seen_version_;
  std::chrono::seconds seen_life_{0};
  Clock::time_point seen_at_{};
};

}  // namespace weir::agent::controller
