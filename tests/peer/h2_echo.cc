// An HTTP/2 server on blocking loopback sockets, a process for each connection, over our codec alone: what h2spec is run
// against while no proxy is in between. Answers what it was sent, or a line of text. Prints its port.
//   h2_echo [PORT]; h2spec -h 127.0.0.1 -p PORT --strict
// Thread: one a process. Lifetime: until killed.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "nodeproxy/base/fd.h"
#include "nodeproxy/http/h2_connection.h"

namespace {

using namespace weir;
using http::h2::Connection;

class Echo : public http::h2::Events {
 public:
  std::unique_ptr<Connection> connection = Connection::server(*this);

  void on_head(uint32_t stream, http::Head&&, bool end) override {
    if (end) return answer(stream, io::copy_to_buffer(std::as_bytes(std::span("a line of text\n", 15))));
    streaming_[stream] = false;
  }
  void on_head_too_large(uint32_t stream, http::Head&&, bool) override {
    http::Head head;
    head.status = 431;
    static_cast<void>(connection->respond(stream, head, true));
    connection->release(stream);
  }
  void on_data(uint32_t stream, std::span<const std::byte> bytes) override {
    begin(stream);
    connection->write(stream, io::copy_to_buffer(bytes));
    connection->consume(stream, bytes.size());
  }
  void on_trailers(uint32_t, http::Headers&&) override {}
  void on_end(uint32_t stream) override {
    begin(stream);
    connection->finish(stream);
  }
  void on_reset(uint32_t, Reason, uint32_t, bool) override {}
  void on_closed(uint32_t stream) override {
    streaming_.erase(stream);
    connection->release(stream);
  }

 private:
  void begin(uint32_t stream) {
    if (std::exchange(streaming_[stream], true)) return;
    http::Head head;
    head.status = 200;
    static_cast<void>(connection->respond(stream, head, false));
  }
  void answer(uint32_t stream, io::Buffer body) {
    begin(stream);
    connection->write(stream, std::move(body));
    connection->finish(stream);
  }
  std::map<uint32_t, bool> streaming_;  // whether its head is out
};

bool flush(Connection& connection, int fd) {
  std::array<std::byte, 64 * 1024> out;
  while (connection.wants_output()) {
    const size_t n = connection.produce(out);
    if (n == 0) return true;
    if (::send(fd, out.data(), n, MSG_NOSIGNAL) != static_cast<ssize_t>(n)) return false;
  }
  return true;
}

void serve(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  Echo echo;
  std::array<std::byte, 64 * 1024> in;
  while (flush(*echo.connection, fd) && !echo.connection->finished()) {
    const ssize_t n = ::recv(fd, in.data(), in.size(), 0);
    if (n <= 0) break;
    static_cast<void>(echo.connection->feed(std::span(in).first(static_cast<size_t>(n)), io::Clock::now()));
  }
  ::shutdown(fd, SHUT_WR);  // GOAWAY must not be lost to a reset
  while (::recv(fd, in.data(), in.size(), 0) > 0) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(argc > 1 ? std::atoi(argv[1]) : 0));
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener.get(), any, size) != 0 || ::listen(listener.get(), 64) != 0 ||
      ::getsockname(listener.get(), any, &size) != 0)
    return 1;
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  ::signal(SIGCHLD, SIG_IGN);
  for (;;) {
    const Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer || ::fork() != 0) continue;
    serve(peer.get());
    return 0;
  }
}
