#pragma once
// An HTTP/1.1 server on the test's own loop, scripted by the test: each request becomes a Request, which the test
// answers at once, later, in chunks, or not at all. Owner: the test. Thread: the test's, which turns the loop.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/loop/loop.h"

namespace weir::agent {

class FakeServer {
 public:
  struct Connection {
    Fd fd;
    std::string in;
  };
  struct Request {
    std::string method, path, query, head, body;
    std::shared_ptr<Connection> connection;

    std::string header(const std::string& name) const {  // as written, lower-case names
      const size_t at = head.find("\r\n" + name + ": ");
      if (at == std::string::npos) return "";
      const size_t begin = at + name.size() + 4;
      return head.substr(begin, head.find("\r\n", begin) - begin);
    }
    bool open() const { return static_cast<bool>(connection->fd); }
    void send(std::string_view bytes) const {
      if (open()) {
        [[maybe_unused]] const ssize_t n =
            ::send(connection->fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      }
    }
    void answer(int status, const std::string& text) const {
      send("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(text.size()) + "\r\n\r\n" + text);
    }
    void begin_stream() const { send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); }
    void chunk(const std::string& text) const {
      char size[20];
      std::snprintf(size, sizeof(size), "%zx\r\n", text.size());
      send(size + text + "\r\n");
    }
    void end_stream() const { send("0\r\n\r\n"); }
  };
  using Handler = std::function<void(const Request&)>;

  FakeServer(Loop& loop, Handler handler) : loop_(loop), handler_(std::move(handler)) { listen(0); }
  ~FakeServer() { stop(); }

  void listen(uint16_t port) {
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int one = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    REQUIRE(::listen(listener_.get(), 64) == 0);
    socklen_t length = sizeof(address);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    loop_.watch(listener_.get(), POLLIN, [this](short) { accept(); });
  }
  // Cuts every connection and refuses new ones; listen(port()) brings it back.
  void stop() {
    if (listener_) loop_.unwatch(listener_.get());
    listener_.reset();
    cut();
  }
  void cut() {
    for (auto& [fd, connection] : connections_) {
      loop_.unwatch(fd);
      connection->fd.reset();
    }
    connections_.clear();
  }
  uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  size_t accepted() const { return accepted_; }

 private:
  void accept() {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) return;
    ++accepted_;
    const int number = fd.get();
    auto connection = std::make_shared<Connection>();
    connection->fd = std::move(fd);
    connections_[number] = connection;
    loop_.watch(number, POLLIN, [this, number](short) { read(number); });
  }
  void read(int number) {
    const auto connection = connections_.at(number);
    char buffer[65536];
    const ssize_t got = ::recv(number, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got <= 0) {
      loop_.unwatch(number);
      connection->fd.reset();
      connections_.erase(number);
      return;
    }
    connection->in.append(buffer, static_cast<size_t>(got));
    while (connection->fd && take(connection)) {
    }
  }
  bool take(const std::shared_ptr<Connection>& connection) {
    std::string& in = connection->in;
    const size_t end = in.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    Request request;
    request.head = in.substr(0, end + 2);
    request.connection = connection;
    const std::string length = request.header("Content-Length");
    const size_t body = length.empty() ? 0 : std::stoul(length);
    if (in.size() < end + 4 + body) return false;
    request.body = in.substr(end + 4, body);
    in.erase(0, end + 4 + body);
    const size_t space = request.head.find(' ');
    request.method = request.head.substr(0, space);
    std::string target = request.head.substr(space + 1, request.head.find(' ', space + 1) - space - 1);
    const size_t mark = target.find('?');
    request.path = target.substr(0, mark);
    if (mark != std::string::npos) request.query = target.substr(mark + 1);
    handler_(request);
    return true;
  }

  Loop& loop_;
  Handler handler_;
  Fd listener_;
  uint16_t port_ = 0;
  size_t accepted_ = 0;
  std::map<int, std::shared_ptr<Connection>> connections_;
};

// Turns the loop until `done`, and fails the test when that takes too long.
inline void turn_until(Loop& loop, const std::function<bool()>& done, int wait_ms = 5000) {
  const auto end = Loop::Clock::now() + std::chrono::milliseconds(wait_ms);
  while (!done()) {
    REQUIRE(Loop::Clock::now() < end);
    loop.run_once(std::chrono::milliseconds(5));
  }
}
inline void turn_for(Loop& loop, int ms) {
  const auto end = Loop::Clock::now() + std::chrono::milliseconds(ms);
  while (Loop::Clock::now() < end) loop.run_once(std::chrono::milliseconds(5));
}

}  // namespace weir::agent
