// Placing a connection. See spread.h.
#include "nodeproxy/flow/spread.h"

namespace weir::flow {

Spread::Spread(uint32_t workers, uint32_t slack)
    : workers_(workers), slack_(slack), slots_(std::make_unique<Slot[]>(workers)) {}

void Spread::open(uint32_t worker) { slot(worker).fetch_and(~kClosed, std::memory_order_acq_rel); }

void Spread::close(uint32_t worker) { slot(worker).fetch_or(kClosed, std::memory_order_acq_rel); }

uint32_t Spread::place(uint32_t worker) {
  const uint32_t mine = count(worker);
  uint32_t least = mine, other = worker;
  for (uint32_t i = 0; i < workers_; ++i) {
    const uint32_t held = slot(i).load(std::memory_order_relaxed);  // closed: more than any count
    if (held < least) {
      least = held;
      other = i;
    }
  }
  // Counted only if it still has so many, and so is still open. Who is overtaken keeps the connection.
  if (mine >= least + slack_ + least / 4 &&
      slot(other).compare_exchange_strong(least, least + 1, std::memory_order_acq_rel)) {
    return other;
  }
  slot(worker).fetch_add(1, std::memory_order_acq_rel);
  return worker;
}

}  // namespace weir::flow
