#pragma once
// Whose turn it is on a worker: what has completed and what may go on waits here, on the account of the pod that it is
// done for, and the accounts take turns. So a pod that floods its worker with handshakes, frames or bulk waits for
// itself, and another's ping-pong waits for a quantum, not for all that came before it.
// Stochastic fair queueing (McKenney, 1990): an account is a hash of an address, so there is nothing to keep or to free,
// and two pods that meet in one account share it. Deficit round robin by processor time (Shreedhar and Varghese, 1996),
// and an account that was idle goes first (RFC 8290, section 4.1: new flows before old ones).
// Thread: one worker. Lifetime: the driver's; empty when it goes.
#include <coroutine>
#include <cstdint>
#include <vector>

#include "nodeproxy/base/ip.h"
#include "nodeproxy/io/buffer.h"
#include "nodeproxy/io/timers.h"

namespace weir::io {

// An account of a worker's time. 0 is the worker's own: configuration, metrics, the agent's socket.
using Share = uint16_t;
inline constexpr Share kOwnShare = 0;
// The share of everything that is done for whoever has this address. Another in each process: nobody can choose
// addresses that meet a victim's.
Share share_of(const Ip& ip);
Share share_of_listener(int fd);

class FairQueue {
 public:
  // A coroutine that may go on, or (null) an operation's completion.
  struct Item {
    std::coroutine_handle<> resume = {};
    uint64_t handle = 0;
    int32_t result = 0;
    bool more = false;
    Buffer buffer = {};
  };

  FairQueue();
  bool empty() const { return items_ == 0; }
  void push(Share share, Item item);
  // The next one, and whose it is. Not when empty.
  std::pair<Share, Item> pop();
  // Whether another account is waiting; only then must this one's time be charged.
  bool contested(Share share) const { return busy_ > (accounts_[share].first != 0 ? 1 : 0); }
  void charge(Share share, Clock::duration spent);

 private:
  struct Node {
    Item item;
    uint32_t next = 0;
  };
  struct Account {
    uint32_t first = 0, last = 0;  // nodes; 0: none
    Share next = 0;                // in its list of accounts
    bool active = false;           // in a list
    int64_t credit_ns = 0;
  };
  struct List {
    Share first = 0, last = 0;
    bool empty = true;
  };

  void append(List& list, Share share);
  Share take_first(List& list);

  std::vector<Node> nodes_;
  uint32_t free_ = 0;
  std::vector<Account> accounts_;
  List new_, old_;
  uint32_t items_ = 0, busy_ = 0;  // accounts with items
};

}  // namespace weir::io
