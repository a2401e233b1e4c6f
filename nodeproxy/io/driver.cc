// The parts of a turn that every driver shares: the ready queue and the deferred work. See driver.h.
#include "nodeproxy/io/driver.h"

#include <algorithm>

namespace weir::io {

void Driver::run_ready() {
  do {
    while (!ready_.empty()) {
      const auto handle = ready_.front();
      ready_.pop_front();
      handle.resume();
    }
    running_.swap(deferred_);
    for (size_t i = 0; i < running_.size(); ++i) {
      Deferred* work = running_[i];
      if (!work) continue;
      work->queued_ = false;
      running_[i] = nullptr;
      work->run_deferred();
    }
    running_.clear();
  } while (has_ready());
}

void Driver::forget(Deferred& work) {
  if (!work.queued_) return;
  work.queued_ = false;
  std::erase(deferred_, &work);
  std::replace(running_.begin(), running_.end(), &work, static_cast<Deferred*>(nullptr));
}

}  // namespace weir::io
