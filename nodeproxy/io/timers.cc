// The heap of timers.h.
#include "nodeproxy/io/timers.h"

#include <utility>

namespace weir::io {

void Timers::arm(Timer& timer, TimePoint at) {
  if (timer.armed()) disarm(timer);
  timer.at_ = at;
  heap_.push_back(&timer);
  timer.index_ = static_cast<uint32_t>(heap_.size() - 1);
  sift_up(timer.index_);
}

void Timers::disarm(Timer& timer) {
  if (!timer.armed()) return;
  const uint32_t index = std::exchange(timer.index_, Timer::kIdle);
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  place(last, index);
  sift_up(index);
  sift_down(last->index_);
}

void Timers::run(TimePoint now) {
  while (!heap_.empty() && heap_.front()->at_ <= now) {
    Timer* due = heap_.front();
    disarm(*due);
    due->fire();
  }
}

void Timers::place(Timer* timer, uint32_t index) {
  heap_[index] = timer;
  timer->index_ = index;
}

void Timers::sift_up(uint32_t index) {
  Timer* timer = heap_[index];
  while (index > 0) {
    const uint32_t parent = (index - 1) / 2;
    if (heap_[parent]->at_ <= timer->at_) break;
    place(heap_[parent], index);
    index = parent;
  }
  place(timer, index);
}

void Timers::sift_down(uint32_t index) {
  Timer* timer = heap_[index];
  const uint32_t size = static_cast<uint32_t>(heap_.size());
  for (;;) {
    uint32_t child = index * 2 + 1;
    if (child >= size) break;
    if (child + 1 < size && heap_[child + 1]->at_ < heap_[child]->at_) ++child;
    if (timer->at_ <= heap_[child]->at_) break;
    place(heap_[child], index);
    index = child;
  }
  place(timer, index);
}

}  // namespace weir::io
