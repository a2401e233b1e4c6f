#pragma once
// What an epoll driver knows of each descriptor. Registration is edge-triggered, for everything at once, and lasts as
// long as the descriptor: one epoll_ctl(2) for a connection, and none for one that never has to be waited for. Between
// edges the watch remembers: `readable` is false only when the kernel has nothing to read and will tell of the next
// bytes (epoll(7): after EAGAIN, or after a stream gave less than was asked for).
// Every watch has a generation, which its registration carries: what the kernel still has to say of a descriptor that
// was closed finds nobody instead of the next one of the same number.
// Thread: one worker. Lifetime: the driver's.
#include <sys/epoll.h>

#include <cstdint>
#include <deque>
#include <optional>
#include <span>

#include "nodeproxy/base/fd.h"

namespace weir::io {

struct EpollWatch {
  uint32_t generation = 0;
  bool registered = false;
  bool stream = false;  // a connection: stays registered until it is closed
  bool readable = true, writable = true;
  bool read_on = false;   // FIN, error or urgent data: less than was asked for does not mean that this is all
  bool write_on = false;  // error or hang-up: a send says which
  uint64_t waiting_in = 0, waiting_out = 0;  // the driver's: heads of chains of operations

  bool idle() const { return waiting_in == 0 && waiting_out == 0; }
  void nothing_to_read() { readable = false; }
  void read_short() { readable = read_on; }
  void no_room_to_write() { writable = false; }
  void wrote_short() { writable = write_on; }
};

class EpollWatches {
 public:
  // Returns 0 or −errno. `wake_fd`: an eventfd that ends a wait whenever it is written; nobody has to read it.
  int open(int wake_fd);

  EpollWatch& of(int fd);
  // From now on edges are told; at once if something is there already. Returns 0 or −errno.
  int watch(int fd);
  // No longer, although it stays open (or may be open elsewhere, which would keep the registration).
  void forget(int fd);
  // A descriptor that is new, or just going: whatever was known of this number is void.
  void renew(int fd);

  // Waits for `timeout_ms` (−1: for ever). What has happened, at most 256 of it; a signal is nothing.
  std::span<const epoll_event> wait(int timeout_ms);
  // Whose event this is, its watch brought up to date; nothing for the wake-up and for what is gone.
  std::optional<int> take(const epoll_event& event);

 private:
  Fd epoll_;
  std::deque<EpollWatch> watches_;  // by descriptor; addresses stay
  epoll_event events_[256];
};

}  // namespace weir::io
