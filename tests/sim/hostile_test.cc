// Peers that stop half way: what they hold of what all connections of a worker share. Receive buffers are such a thing:
// who waits must not keep one, or some thousands of silent connections are the end of receiving for everybody.
#include <catch2/catch.hpp>

#include "nodeproxy/tls/session.h"
#include "tests/sim/mesh.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

std::string client_hello(const Mesh& mesh) {
  const auto session =
      *tls::Session::dial(tls::test::good_context(mesh.authority, kClientId), tls::test::id(kServerId));
  REQUIRE(session->handshake());
  const auto bytes = session->output();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

TEST_CASE("a peer that stops within its ClientHello or behind it keeps no receive buffer") {
  Mesh mesh(401);
  const std::string hello = client_hello(mesh);
  const size_t stops = GENERATE(0, 1, 2);  // within the ClientHello, behind it, within the next record
  const std::string whole = hello + std::string("\x14\3\3", 3);
  const std::string said = whole.substr(0, stops == 0 ? 60 : hello.size() + (stops == 2 ? 3 : 0));
  const size_t first = stops == 2 ? hello.size() : 30;
  CAPTURE(stops);
  std::vector<io::SimApp*> peers;
  for (uint16_t i = 0; i < 20; ++i) {
    peers.push_back(&mesh.dial_from_outside(static_cast<uint16_t>(50'000 + i)));
    peers.back()->send(said.substr(0, first));
  }
  mesh.world.run_for(50ms);
  for (io::SimApp* peer : peers) peer->send(said.substr(first));
  mesh.world.run_for(1s);
  for (const io::SimApp* peer : peers) REQUIRE_FALSE((peer->saw_fin() || peer->saw_reset()));
  CHECK(mesh.server.driver.buffers_on_loan() == 0);
  mesh.world.run_for(20s);  // its time is over
  CHECK(mesh.server.failed() == peers.size());
}

TEST_CASE("connections and lanes at rest keep no receive buffer") {
  Mesh mesh(402);
  mesh.world.listen_app(kServer, 1).on_accept = [](io::SimApp& app) {
    app.on_change = [](io::SimApp& echo) { echo.send(echo.take_received()); };
  };
  std::vector<io::SimApp*> clients = {&mesh.dial_from_outside(50'000)};
  for (uint16_t i = 0; i < 5; ++i) clients.push_back(&mesh.dial(kService, static_cast<uint16_t>(40'000 + i)));
  for (io::SimApp* client : clients) client->send("hello");
  for (io::SimApp* client : clients)
    REQUIRE(mesh.world.run_until([&] { return client->received() == "hello"; }));
  mesh.world.run_for(1s);
  CHECK(mesh.client.driver.buffers_on_loan() == 0);
  CHECK(mesh.server.driver.buffers_on_loan() == 0);
}

}  // namespace weir::test
