// HTTP through the whole corridor of two nodes on the simulated driver: a client's bytes in, an application's bytes out,
// lanes with real TLS between.
#include <catch2/catch.hpp>

#include "tests/sim/mesh.h"

namespace weir::test {
namespace {

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: server\r\n\r\n";
constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

uint64_t requests(const Node& node, Reason reason = Reason::none) {
  uint64_t total = 0;
  for (const auto& row : node.context.request_series.copy())
    for (const auto& outcome : row.outcomes)
      if (outcome.reason == reason) total += outcome.count;
  return total;
}

bool ends_with(const std::string& text, std::string_view end) { return text.ends_with(end); }

}  // namespace

TEST_CASE("a request crosses two proxies and its answer comes back") {
  Mesh mesh(1);
  io::SimApp* server = nullptr;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) { server = &app; };
  auto& client = mesh.dial(kHttpService, 40'001);
  client.send(kGet);
  REQUIRE(mesh.world.run_until([&] { return server && ends_with(server->received(), "\r\n\r\n"); }));
  CHECK(server->take_received() == kGet);
  server->send(kOk);
  REQUIRE(mesh.world.run_until([&] { return ends_with(client.received(), "ok"); }));
  CHECK(client.take_received() == kOk);
  CHECK(requests(mesh.client) == 1);
}

TEST_CASE("requests of one connection share the connection to the application") {
  Mesh mesh(2);
  int accepted = 0;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) {
    ++accepted;
    app.on_change = [](io::SimApp& self) {
      if (ends_with(self.received(), "\r\n\r\n")) {
        self.take_received();
        self.send(kOk);
      }
    };
  };
  auto& client = mesh.dial(kHttpService, 40'002);
  for (int i = 0; i < 5; ++i) {
    client.send(kGet);
    REQUIRE(mesh.world.run_until([&] { return ends_with(client.received(), "ok"); }));
    client.take_received();
  }
  CHECK(accepted == 1);
  CHECK(requests(mesh.client) == 5);
}

TEST_CASE("pipelined requests are answered in order") {
  Mesh mesh(3);
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) {
    app.on_change = [](io::SimApp& self) {
      if (!ends_with(self.received(), "\r\n\r\n")) return;
      const std::string path = self.take_received().substr(4, 2);
      self.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + path);
    };
  };
  auto& client = mesh.dial(kHttpService, 40'003);
  client.send(
      "GET /1 HTTP/1.1\r\nHost: s\r\n\r\nGET /2 HTTP/1.1\r\nHost: s\r\n\r\nGET /3 HTTP/1.1\r\nHost: "
      "s\r\n\r\n");
  REQUIRE(mesh.world.run_until([&] { return ends_with(client.received(), "/3"); }));
  const std::string all = client.received();
  CHECK(all.find("/1") < all.find("/2"));
  CHECK(all.find("/2") < all.find("/3"));
}

TEST_CASE("what is no request is answered 400 and the connection ends") {
  Mesh mesh(4);
  auto& client = mesh.dial(kHttpService, 40'004);
  client.send("GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
  REQUIRE(mesh.world.run_until([&] { return client.saw_fin(); }));
  CHECK(client.received().starts_with("HTTP/1.1 400 "));
  CHECK(requests(mesh.client, Reason::bad_request) == 1);
}

TEST_CASE("a client that resets while it waits resets its exchange at the application") {
  Mesh mesh(5);
  io::SimApp* server = nullptr;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) { server = &app; };
  auto& client = mesh.dial(kHttpService, 40'005);
  client.send(kGet);
  REQUIRE(mesh.world.run_until([&] { return server && ends_with(server->received(), "\r\n\r\n"); }));
  client.reset();
  REQUIRE(mesh.world.run_until([&] { return server->saw_reset(); }));
  CHECK(requests(mesh.client, Reason::client_reset) == 1);
}

}  // namespace weir::test
