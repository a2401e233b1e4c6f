// What every driver must do, over loopback sockets of its own: one suite, each driver.
#include <sys/resource.h>

#include "tests/unit/io/worlds.h"

namespace weir::io {
namespace {

using namespace std::chrono_literals;

Task<Socket> connect_to(Driver& driver, SocketAddress to) {
  Result<int> fd = driver.open_socket({});
  if (!fd) co_return Socket();
  Socket socket(driver, *fd);
  if (!co_await socket.connect(to, driver.now() + 5s)) co_return Socket();
  co_return socket;
}

// Reads until FIN, sending everything back, then closes with FIN. Returns what ended it.
Task<void> echo(Acceptor& acceptor, Reason& ended) {
  Socket socket = co_await acceptor.next();
  for (;;) {
    Result<Buffer> got = co_await socket.receive(ReceiveSize::small);
    if (!got) {
      ended = got.error().reason;
      co_return;
    }
    if (got->empty()) break;
    if (!co_await socket.send(got->bytes())) co_return;
  }
  ended = Reason::none;
}

Task<void> say_and_hear(Driver& driver, SocketAddress to, std::string_view text, std::string& heard) {
  Socket socket = co_await connect_to(driver, to);
  if (!socket) co_return;
  if (!co_await socket.send(as_bytes(text))) co_return;
  socket.shutdown_write();
  for (;;) {
    Result<Buffer> got = co_await socket.receive(ReceiveSize::small);
    if (!got || got->empty()) co_return;
    heard += to_text(*got);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("a driver carries bytes both ways and a half-close", "[io]", UringWorld) {
  TestType world;
  Driver& driver = world.driver();
  Acceptor acceptor(driver, world.listen());
  Scope scope(driver);
  std::string heard;
  Reason ended = Reason::internal;
  scope.spawn(echo(acceptor, ended));
  scope.spawn(say_and_hear(driver, *driver.local_address(acceptor.fd()), "hello", heard));
  run_until_empty(scope);
  CHECK(heard == "hello");
  CHECK(ended == Reason::none);
}

}  // namespace weir::io
