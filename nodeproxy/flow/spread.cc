// Placing a connection. See spread.h.
#include "nodeproxy/flow/spread.h"

#include "nodeproxy/base/limits.h"

namespace weir::flow {
namespace {

constexpr uint32_t kLaneSlack =
    4;  // diallers see to the balance; this is for those that are all of one number

}  // namespace

void Spread::open(uint32_t worker) { slot(worker).fetch_and(~kClosed, std::memory_order_acq_rel); }

void Spread::close(uint32_t worker) { slot(worker).fetch_or(kClosed, std::memory_order_acq_rel); }

// A dialler's workers have a residue class of ports each, and step through it (net/source_ports.h): modulo our own number of
// workers this is the same worker where both have as many, and an even division where they do not.
uint32_t Spread::place_lane(uint32_t acceptor, uint16_t from_port) {
  if (from_port < limits::lane_port_first) return place(acceptor);
  return place(acceptor, (from_port - limits::lane_port_first) % workers_, kLaneSlack);
}

uint32_t Spread::place(uint32_t acceptor, uint32_t preferred, uint32_t slack) {
  uint32_t least = kClosed, other = acceptor;
  for (uint32_t i = 0; i < workers_; ++i) {
    const uint32_t held = slot(i).load(std::memory_order_relaxed);  // closed: more than any count
    if (held < least) {
      least = held;
      other = i;
    }
  }
  if (count(preferred) < least + slack + least / 4) other = preferred;
  if (other != acceptor && enter_open(other)) return other;
  slot(acceptor).fetch_add(1, std::memory_order_acq_rel);
  return acceptor;
}

bool Spread::enter_open(uint32_t worker) {
  uint32_t held = slot(worker).load(std::memory_order_relaxed);
  while (held < kClosed) {
    if (slot(worker).compare_exchange_weak(held, held + 1, std::memory_order_acq_rel)) return true;
  }
  return false;
}

}  // namespace weir::flow
