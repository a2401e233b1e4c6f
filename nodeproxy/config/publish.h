#pragma once
// Hands snapshots from the config thread to the workers: no lock, and no reference count that cores share, on the path.
// Each worker has one cache line: the newest snapshot for it (written by config) and the number of the one it uses
// (written by the worker, only ever rising). A snapshot older than every worker's number can no longer be reached by
// anyone, and the config thread frees it.
// Owner: app; outlives the workers. Thread: publish(), reclaim() and set_wake() config thread; Reader its worker;
// retained() any thread.
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "nodeproxy/config/snapshot.h"

namespace weir::config {

class Publisher {
  struct Entry {
    uint64_t
        number;  // of the publication, rising from 1; not Snapshot::version, which starts again with a new agent
    std::shared_ptr<const Snapshot> snapshot;
  };

 public:
  // A worker's end. Its thread only.
  class alignas(64) Reader {
   public:
    // Takes the newest snapshot (null before the first) and gives up the one before: pointers into that one must not
    // be used after this call. Cheap when nothing is new: one load from a line of its own.
    const Snapshot* poll() {
      const Entry* newest = latest_.load(std::memory_order_acquire);
      if (newest != taken_) {
        taken_ = newest;
        // Release: every read of the older snapshot is done before the config thread may see this and free it.
        in_use_.store(newest->number, std::memory_order_release);
      }
      return taken_ == nullptr ? nullptr : taken_->snapshot.get();
    }
    // In two steps, for who must compare: the newest, if there is a newer one than is in use (else null), while the
    // one in use stays valid; then take_next() gives that one up. Nothing else may be called in between.
    const Snapshot* next() {
      next_ = latest_.load(std::memory_order_acquire);
      return next_ == taken_ ? nullptr : next_->snapshot.get();
    }
    void take_next() {
      taken_ = next_;
      in_use_.store(taken_->number, std::memory_order_release);
    }
    // What poll() last gave.
    const Snapshot* current() const { return taken_ == nullptr ? nullptr : taken_->snapshot.get(); }
    // Whether poll() would give another one.
    bool stale() const { return latest_.load(std::memory_order_acquire) != taken_; }
    // Gives up every snapshot for good: the worker's last call.
    void retire() {
      taken_ = nullptr;
      in_use_.store(UINT64_MAX, std::memory_order_release);
    }

   private:
    friend class Publisher;
    std::atomic<const Entry*> latest_{nullptr};
    std::atomic<uint64_t> in_use_{0};
    const Entry* taken_ = nullptr;
    const Entry* next_ = nullptr;
    std::function<void()> wake_;
  };

  explicit Publisher(size_t workers);
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  Reader& reader(size_t worker) { return readers_[worker]; }
  size_t workers() const { return readers_.size(); }

  // Called on the config thread after each publication, e.g. the worker driver's wake. Set before publishing starts.
  void set_wake(size_t worker, std::function<void()> wake);

  // Hands `snapshot` to every worker and frees what none uses any more.
  void publish(std::shared_ptr<const Snapshot> snapshot);

  // Frees what no worker uses; how many snapshots were let go. Call now and then (AgentLink's on_tick).
  size_t reclaim();

  // Snapshots alive here: 1 when every worker has taken the newest.
  size_t retained() const { return retained_.load(std::memory_order_relaxed); }

 private:
  std::deque<Entry> entries_;  // oldest first; a deque's elements stay where they are
  std::vector<Reader> readers_;
  std::atomic<size_t> retained_{0};
  uint64_t next_number_ = 1;
};

}  // namespace weir::config
