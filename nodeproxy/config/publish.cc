// The config thread's half of handing out snapshots. See publish.h.
#include "nodeproxy/config/publish.h"

#include <algorithm>
#include <utility>

namespace weir::config {

Publisher::Publisher(size_t workers) : readers_(workers) {}

void Publisher::set_wake(size_t worker, std::function<void()> wake) {
  readers_[worker].wake_ = std::move(wake);
}

void Publisher::publish(std::shared_ptr<const Snapshot> snapshot) {
  const Entry& entry = entries_.emplace_back(next_number_++, std::move(snapshot));
  for (Reader& reader : readers_) reader.latest_.store(&entry, std::memory_order_release);
  for (const Reader& reader : readers_)
    if (reader.wake_) reader.wake_();
  reclaim();
}

size_t Publisher::reclaim() {
  // A worker whose number is N has loaded N or something newer and never looks back, so everything before the lowest
  // number is out of reach. One that is just between its load and its store still shows the older number: safe too.
  uint64_t lowest = UINT64_MAX;
  for (const Reader& reader : readers_)
    lowest = std::min(lowest, reader.in_use_.load(std::memory_order_acquire));
  size_t freed = 0;
  while (entries_.size() > 1 && entries_.front().number < lowest) {
    entries_.pop_front();
    ++freed;
  }
  retained_.store(entries_.size(), std::memory_order_relaxed);
  return freed;
}

}  // namespace weir::config
