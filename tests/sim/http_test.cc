// HTTP through the whole corridor of two nodes on the simulated driver: a client's bytes in, an application's bytes out,
// lanes with real TLS between.
#include <google/protobuf/text_format.h>

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

namespace {

// One request to the HTTP service; how long its answer took, and the answer.
std::pair<io::Clock::duration, std::string> answered_after(Mesh& mesh, const SocketAddress& to) {
  auto& client = mesh.dial(to, 40'006);
  const io::TimePoint begun = mesh.client.driver.now();
  client.send(kGet);
  REQUIRE(mesh.world.run_until([&] { return client.received().find("\r\n\r\n") != std::string::npos; }));
  return {mesh.client.driver.now() - begun, client.received()};
}

const SocketAddress kPlainService = *SocketAddress::parse("10.60.0.2:80");
const SocketAddress kDeaf = *SocketAddress::parse("10.50.3.1:8080"),
                    kAlive = *SocketAddress::parse("10.50.3.2:8080");

// A service whose endpoints are in no mesh: of two, one answers no SYN.
void add_plain_service(mesh::v1::Update& update, const std::string& timeouts, bool with_alive) {
  mesh::v1::Update more;
  std::string text =
      "changed { service { name: \"shop/plain\" addresses: \"\\x0a\\x3c\\x00\\x02\" ports { port: 80 "
      "name: \"http\" } traffic { timeouts { " +
      timeouts +
      " } } } } changed { endpoints { name: \"plain-1\" "
      "service: \"shop/plain\" ports { name: \"http\" port: 8080 } endpoints { address: "
      "\"\\x0a\\x32\\x03\\x01\" ready: true serving: true weight: 100 }";
  if (with_alive)
    text += " endpoints { address: \"\\x0a\\x32\\x03\\x02\" ready: true serving: true weight: 100 }";
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text + " } }", &more));
  for (auto& resource : *more.mutable_changed()) update.add_changed()->Swap(&resource);
}

}  // namespace

TEST_CASE("the time-out of a request is kept while a connection, a lane or a certificate is waited for") {
  using namespace std::chrono_literals;
  Mesh mesh(6);
  SocketAddress to = kHttpService;
  const auto limit_server = [](mesh::v1::Update& update) {
    update.mutable_changed(4)->mutable_service()->mutable_traffic()->mutable_timeouts()->set_request_ms(700);
  };
  SECTION("an endpoint that answers no SYN") {
    to = kPlainService;
    mesh.world.network().make_silent(kDeaf.ip);
    mesh.configure([](mesh::v1::Update& update) { add_plain_service(update, "request_ms: 700", false); });
  }
  SECTION("a proxy that answers no SYN") {
    mesh.world.network().make_silent(kServer.ip);
    mesh.configure(limit_server);
  }
  SECTION("a certificate that does not come") {
    mesh.configure(limit_server);
    mesh.lose_certificate(mesh.client, kClientId);
  }
  const auto [took, answer] = answered_after(mesh, to);
  CHECK(answer.starts_with("HTTP/1.1 504 "));
  CHECK(answer.ends_with("request_timeout\n"));
  CHECK(took >= 700ms);
  CHECK(took < 800ms);
}

TEST_CASE("a try that waits for a connection gives way to another endpoint at its own time-out") {
  using namespace std::chrono_literals;
  Mesh mesh(7);
  mesh.world.network().make_silent(kDeaf.ip);
  mesh.world.listen_app(kAlive, 1).on_accept = [&](io::SimApp& app) {
    app.on_change = [](io::SimApp& self) {
      if (ends_with(self.take_received(), "\r\n\r\n")) self.send(kOk);
    };
  };
  mesh.configure([](mesh::v1::Update& update) {
    add_plain_service(update, "request_ms: 2000 backend_request_ms: 300", true);
  });
  // Whoever of the two is tried first.
  for (int i = 0; i < 8; ++i) {
    auto& client = mesh.dial(kPlainService, static_cast<uint16_t>(40'010 + i));
    const io::TimePoint begun = mesh.client.driver.now();
    client.send(kGet);
    REQUIRE(mesh.world.run_until([&] { return ends_with(client.received(), "ok"); }));
    CHECK(mesh.client.driver.now() - begun < 700ms);
  }
}

}  // namespace weir::test
