#pragma once
// Connections of a driver to itself, for tests of the kernel below it, and what to do on them.
// Thread: the test's. Lifetime: one test case.
#include <string>
#include <vector>

#include "tests/unit/io/worlds.h"

namespace weir::io {

inline Task<void> take_one(Acceptor& acceptor, Socket& out) { out = co_await acceptor.next(); }
inline Task<void> connect_one(Socket& socket, SocketAddress to, Status& status) {
  status = co_await socket.connect(to, kNever);
}

// Takes `bytes` bytes and keeps every buffer until told, so that none comes back meanwhile.
inline Task<void> hoard(Socket& socket, ReceiveSize size, size_t bytes, Signal& release, size_t& got_bytes) {
  std::vector<Buffer> hoarded;
  for (size_t left = bytes; left > 0;) {
    Result<Buffer> got = co_await socket.receive(size);
    if (!got || got->empty()) co_return;
    got_bytes += got->size();
    left -= std::min(left, got->size());
    hoarded.push_back(std::move(*got));
  }
  const Status released = co_await release.wait();
  (void)released;
}

inline Task<void> say(Socket& socket, std::string text) {
  const Status sent = co_await socket.send(as_bytes(text));
  CHECK(sent.has_value());
}

struct Connections {
  std::vector<Socket> clients, servers;
  Connections(Acceptor& acceptor, size_t count) : clients(count), servers(count) {
    Driver& driver = acceptor.driver();
    Scope scope(driver);
    for (size_t i = 0; i < count; ++i) {
      Status status;
      clients[i] = Socket(driver, driver.open_socket({}).value());
      scope.spawn(connect_one(clients[i], *driver.local_address(acceptor.fd()), status));
      scope.spawn(take_one(acceptor, servers[i]));
      run_until_empty(scope);
      REQUIRE(status.has_value());
    }
  }
};

}  // namespace weir::io
