// Waking the waiter of signal.h: always through the loop, never on the notifier's stack.
#include "nodeproxy/io/signal.h"

namespace weir::io {

void Signal::notify() {
  if (waiter_) {
    waiter_->end(Reason::none);
  } else {
    set_ = true;
  }
}

void Signal::Wait::end(Reason outcome) {
  if (signal_.waiter_ != this) return;  // already ending in this turn
  signal_.waiter_ = nullptr;
  outcome_ = outcome;
  scope_->driver().timers().disarm(*this);
  leave();
  scope_->driver().ready(waiting_, scope_->share());
}

}  // namespace weir::io
