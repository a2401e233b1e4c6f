// The corridor of two nodes on the simulator, in single stories; random ones are tcp_history_test.cc.
#include <catch2/catch.hpp>

#include "tests/sim/history.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a request through a Service reaches the application as its client's address and comes back") {
  Mesh mesh(1);
  auto& listener = mesh.world.listen_app(kServer, 1);
  SocketAddress seen;
  listener.on_accept = [&](io::SimApp& app) {
    app.on_change = [&](io::SimApp& echo) {
      seen = echo.peer();
      echo.send(echo.take_received());
    };
  };
  auto& client = mesh.dial(kService, 40'000);
  client.send("hello");
  REQUIRE(mesh.world.run_until([&] { return client.received() == "hello"; }));
  CHECK(seen.ip == kClient);
  CHECK(seen.port >= limits::app_port_first);
  CHECK(seen.port <= limits::app_port_last);
  CHECK(mesh.client.lanes.lanes() == 1);
  CHECK(mesh.server.context.series.copy().at(0).labels.source.principal == kClientId);
  check_nothing_is_left(mesh);
}

TEST_CASE("a server that speaks first is heard without a timer") {
  Mesh mesh(2);
  mesh.world.listen_app(kServer, 1).on_accept = [](io::SimApp& app) { app.send("220 welcome"); };
  const auto begun = mesh.world.now();
  auto& client = mesh.dial(kService, 40'001);
  REQUIRE(mesh.world.run_until([&] { return client.received() == "220 welcome"; }));
  CHECK(mesh.world.now() - begun < 50ms);
  check_nothing_is_left(mesh);
}

TEST_CASE("each direction closes by itself, in either order") {
  for (const bool client_first : {true, false}) {
    Mesh mesh(client_first ? 3 : 4);
    io::SimApp* server = nullptr;
    mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) { server = &app; };
    auto& client = mesh.dial(kService, 40'002);
    client.send("question");
    REQUIRE(mesh.world.run_until([&] { return server && server->received() == "question"; }));
    io::SimApp &first = client_first ? client : *server, &second = client_first ? *server : client;
    first.finish();
    REQUIRE(mesh.world.run_until([&] { return second.saw_fin(); }));
    CHECK_FALSE(first.saw_fin());
    first.take_received();
    second.send("still here");
    REQUIRE(mesh.world.run_until([&] { return first.received() == "still here"; }));
    second.finish();
    REQUIRE(mesh.world.run_until([&] { return first.saw_fin(); }));
    CHECK_FALSE(first.saw_reset());
    check_nothing_is_left(mesh);
  }
}

TEST_CASE("what is half closed and silent for an hour is ended") {
  for (const bool client_first : {true, false}) {
    Mesh mesh(client_first ? 7 : 8);
    io::SimApp* server = nullptr;
    mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) { server = &app; };
    auto& client = mesh.dial(kService, 40'003);
    client.send("question");
    REQUIRE(mesh.world.run_until([&] { return server && server->received() == "question"; }));
    mesh.world.run_for(3h);  // open in both directions, it may be silent as long as it likes
    CHECK_FALSE((client.saw_reset() || server->saw_reset()));
    io::SimApp &first = client_first ? client : *server, &second = client_first ? *server : client;
    first.finish();
    REQUIRE(mesh.world.run_until([&] { return second.saw_fin(); }));
    mesh.world.run_for(50min);
    first.take_received();
    second.send("still here");
    REQUIRE(mesh.world.run_until([&] { return first.received() == "still here"; }));
    mesh.world.run_for(50min);
    CHECK_FALSE((first.saw_reset() || second.saw_reset()));
    mesh.world.run_for(80min);
    CHECK(first.saw_reset());
    CHECK(mesh.client.opened() == mesh.client.closed());
    CHECK(mesh.server.opened() == mesh.server.closed());
    check_nothing_is_left(mesh);
  }
}

TEST_CASE("a reset on one side is a reset on the other, never a clean end") {
  for (const bool from_client : {true, false}) {
    Mesh mesh(from_client ? 5 : 6);
    io::SimApp* server = nullptr;
    mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) { server = &app; };
    auto& client = mesh.dial(kService, 40'003);
    client.send("x");
    REQUIRE(mesh.world.run_until([&] { return server && server->received() == "x"; }));
    (from_client ? client : *server).reset();
    io::SimApp& other = from_client ? *server : client;
    REQUIRE(mesh.world.run_until([&] { return other.saw_reset() || other.saw_fin(); }));
    CHECK(other.saw_reset());
    CHECK_FALSE(other.saw_fin());
    check_nothing_is_left(mesh);
  }
}

TEST_CASE("a stalled reader stalls its writer, in bounded memory, and nobody else on the lane") {
  Mesh mesh(7);
  std::vector<io::SimApp*> servers;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) {
    servers.push_back(&app);
    if (servers.size() == 1) app.hold(true);
    if (servers.size() == 2) app.on_change = [](io::SimApp& echo) { echo.send(echo.take_received()); };
  };
  auto& stalled = mesh.dial(kService, 40'004);
  stalled.send(pattern(8 << 20, 1));
  REQUIRE(mesh.world.run_until([&] { return servers.size() == 1; }));
  mesh.world.run_for(2s);
  CHECK(stalled.unsent_bytes() > (4U << 20));  // most of it never left the client
  auto& other = mesh.dial(kService, 40'005);
  other.send("ping");
  REQUIRE(mesh.world.run_until([&] { return other.received() == "ping"; }));
  CHECK(mesh.client.lanes.lanes() == 1);
  servers[0]->hold(false);
  stalled.finish();
  REQUIRE(mesh.world.run_until([&] { return servers[0]->saw_fin(); }));
  CHECK(servers[0]->received() == pattern(8 << 20, 1));
  check_nothing_is_left(mesh);
}

TEST_CASE("an application that refuses looks refused") {
  Mesh mesh(8);
  auto& client = mesh.dial(kService, 40'006);
  client.send("anyone?");
  REQUIRE(mesh.world.run_until([&] { return client.error() != 0 || client.saw_reset(); }));
  CHECK(client.saw_reset());
  CHECK(mesh.client.failed(Reason::refused) == 1);
  CHECK(mesh.server.failed(Reason::refused) == 1);
  // The lane stood on the application's port, and goes. (Where nobody listens the kernel refuses the next one.)
  mesh.world.run_for(50ms);
  CHECK(mesh.client.lanes.empty());
  CHECK(mesh.server.context.live_flows == 0);
  check_nothing_is_left(mesh);
}

TEST_CASE("without its certificate a pod's connections wait, then fail, and never go in plaintext") {
  Mesh mesh(9);
  mesh.lose_certificate(mesh.client, kClientId);
  bool reached = false;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp&) { reached = true; };
  auto& patient = mesh.dial(kService, 40'007);
  patient.send("x");
  mesh.world.run_for(2s);
  CHECK_FALSE(reached);
  CHECK_FALSE(patient.saw_reset());
  SECTION("it comes late") {
    mesh.give_certificate(mesh.client, kClientId);
    REQUIRE(mesh.world.run_until([&] { return reached; }));
  }
  SECTION("it does not come") {
    REQUIRE(mesh.world.run_until([&] { return patient.saw_reset(); }));
    CHECK_FALSE(reached);
    CHECK(mesh.client.failed(Reason::certificate_missing) == 1);
  }
  check_nothing_is_left(mesh);
}

TEST_CASE("an endpoint that is another workload is refused by its identity") {
  Mesh mesh(10);
  mesh.lose_certificate(mesh.server, kServerId);
  // The pod at that address proves another name than the snapshot expects.
  mesh.server.context.certificates[kServerId] =
      tls::test::good_context(mesh.authority, "spiffe://cluster.local/ns/shop/sa/impostor");
  bool reached = false;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp&) { reached = true; };
  auto& client = mesh.dial(kService, 40'008);
  client.send("secret");
  REQUIRE(mesh.world.run_until([&] { return client.saw_reset(); }));
  CHECK_FALSE(reached);
  CHECK(mesh.client.failed(Reason::identity_mismatch) == 1);
  check_nothing_is_left(mesh);
}

TEST_CASE("a policy that denies is judged at every session, and live ones end when it comes") {
  Mesh mesh(11);
  std::vector<io::SimApp*> servers;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) { servers.push_back(&app); };
  auto& live = mesh.dial(kService, 40'009);
  live.send("x");
  REQUIRE(mesh.world.run_until([&] { return servers.size() == 1 && servers[0]->received() == "x"; }));
  mesh.configure([](mesh::v1::Update& update) {
    auto* policy = update.add_changed()->mutable_policy();
    policy->set_name("shop/deny");
    policy->set_action(mesh::v1::Policy::DENY);
    auto* rule = policy->add_rules();
    rule->set_name("no-client");
    rule->add_from()->add_principals("cluster.local/ns/shop/sa/client");
    update.mutable_changed(3)->mutable_workload()->add_policies()->set_policy("shop/deny");
  });
  REQUIRE(mesh.world.run_until([&] { return live.saw_reset() && servers[0]->saw_reset(); }));
  auto& later = mesh.dial(kService, 40'010);
  later.send("y");
  REQUIRE(mesh.world.run_until([&] { return later.saw_reset(); }));
  CHECK(servers.size() == 1);
  CHECK(mesh.server.failed(Reason::denied) == 1);
  CHECK(mesh.client.failed(Reason::denied) == 1);
  check_nothing_is_left(mesh);
}

TEST_CASE(
    "Strict refuses plaintext from outside, Permissive passes it on, and old plaintext ends with the "
    "change") {
  Mesh mesh(12);
  std::vector<io::SimApp*> servers;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) { servers.push_back(&app); };
  auto& plain = mesh.dial_from_outside(50'000);
  plain.send("GET");
  REQUIRE(mesh.world.run_until([&] { return servers.size() == 1 && servers[0]->received() == "GET"; }));
  CHECK(servers[0]->peer().ip == plain.local().ip);
  mesh.configure([](mesh::v1::Update& update) {
    update.mutable_changed(3)->mutable_workload()->set_mode(mesh::v1::STRICT);
  });
  REQUIRE(mesh.world.run_until([&] { return plain.saw_reset(); }));
  auto& refused = mesh.dial_from_outside(50'001);
  refused.send("GET");
  REQUIRE(mesh.world.run_until([&] { return refused.saw_reset(); }));
  CHECK(servers.size() == 1);
  CHECK(mesh.server.failed(Reason::plaintext_refused) == 1);
  check_nothing_is_left(mesh);
}

TEST_CASE("an address inside the mesh's ranges that nobody knows is held for news, then refused") {
  Mesh mesh(13);
  auto& client = mesh.dial(*SocketAddress::parse("10.50.9.9:80"), 40'011);
  mesh.world.run_for(500ms);
  CHECK_FALSE(client.saw_reset());
  REQUIRE(mesh.world.run_until([&] { return client.saw_reset(); }));
  CHECK(mesh.client.failed(Reason::unknown_destination) == 1);
  check_nothing_is_left(mesh);
}

TEST_CASE("a flow in one pass ends with its destination, which is kept until it has") {
  Mesh mesh(14);
  flow::LocalPod* neighbour = mesh.add_neighbour();
  io::SimApp* server = nullptr;
  mesh.world.listen_app(kNeighbour, 0).on_accept = [&](io::SimApp& app) { server = &app; };
  auto& client = mesh.dial(kNeighbour, 40'012);
  client.send("x");
  REQUIRE(mesh.world.run_until([&] { return server && server->received() == "x"; }));
  REQUIRE(mesh.client.context.live_flows == 1);  // one pass: no second proxy, no lane
  CHECK(mesh.client.lanes.lanes() == 0);
  neighbour->remove(Reason::pod_removed);
  mesh.sweep();
  CHECK(mesh.client.context.pods.contains("neighbour"));
  REQUIRE(mesh.world.run_until([&] { return client.saw_reset() && server->saw_reset(); }));
  mesh.world.run_until_idle();
  mesh.sweep();
  mesh.sweep();
  CHECK_FALSE(mesh.client.context.pods.contains("neighbour"));
  CHECK(mesh.client.context.live_flows == 0);
  check_nothing_is_left(mesh);
}

}  // namespace
}  // namespace weir::test
