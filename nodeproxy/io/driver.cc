// The parts of a turn that every driver shares: the queue and the deferred work. See driver.h.
#include "nodeproxy/io/driver.h"

#include <algorithm>

#include "nodeproxy/base/limits.h"

namespace weir::io {
namespace {

constexpr int kUnclocked = 8;  // items between two looks at the clock while nobody else waits

}  // namespace

void Driver::run_ready() {
  const TimePoint end = now() + limits::turn_max;
  bool in_time = run_queue(now(), end);
  run_deferred();
  while (in_time && has_ready()) {
    in_time = run_queue(read_clock(), end);
    run_deferred();
  }
}

// False: the turn's time is over. The clock is asked only where somebody is waiting: it costs as much as a small item.
bool Driver::run_queue(TimePoint last, TimePoint end) {
  int unclocked = 0;
  while (!queue_.empty()) {
    auto [share, item] = queue_.pop();
    running_share_ = share;
    if (item.resume) {
      item.resume.resume();
    } else {
      finish(item.handle, item.result, std::move(item.buffer), item.more);
    }
    if (queue_.empty() || (!queue_.contested(share) && ++unclocked % kUnclocked != 0)) continue;
    const TimePoint ended = read_clock();
    queue_.charge(share, ended - last);
    last = ended;
    if (ended > end) break;
  }
  running_share_ = kOwnShare;
  return queue_.empty();
}

void Driver::run_deferred() {
  running_.swap(deferred_);
  for (size_t i = 0; i < running_.size(); ++i) {
    Deferred* work = running_[i];
    if (!work) continue;
    work->queued_ = false;
    running_[i] = nullptr;
    work->run_deferred();
  }
  running_.clear();
}

void Driver::forget(Deferred& work) {
  if (!work.queued_) return;
  work.queued_ = false;
  std::erase(deferred_, &work);
  std::replace(running_.begin(), running_.end(), &work, static_cast<Deferred*>(nullptr));
}

}  // namespace weir::io
