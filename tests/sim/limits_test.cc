// What happens at a limit of the corridor, with limits small enough to reach: the one too many is refused for that
// reason, whoever was there is left in peace, and room that is made is used.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/sim/mesh.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

void echo_on(Mesh& mesh, const SocketAddress& address) {
  mesh.world.listen_app(address, 1).on_accept = [](io::SimApp& app) {
    app.on_change = [](io::SimApp& echo) {
      echo.send(echo.take_received());
      if (echo.saw_fin()) echo.finish();
    };
  };
}

// Whether the connection answers; false: it was reset.
bool answers(Mesh& mesh, io::SimApp& app, const std::string& text = "hello") {
  app.send(text);
  mesh.world.run_until([&] { return app.received() == text || app.saw_reset(); });
  return app.take_received() == text && !app.saw_reset();
}

void end_in_order(Mesh& mesh, io::SimApp& app) {
  app.finish();
  REQUIRE(mesh.world.run_until([&] { return app.saw_fin(); }));
  mesh.world.run_for(10ms);  // what both nodes still have to put away
}

}  // namespace

TEST_CASE("a pod at its limit of connections is refused one more, and served again when one has ended") {
  const bool outbound = GENERATE(true, false);
  Mesh mesh(outbound ? 301 : 302);
  echo_on(mesh, kServer);
  Node& node = outbound ? mesh.client : mesh.server;
  node.context.connections_per_pod = 3;
  uint16_t port = 50'000;
  const auto dial = [&]() -> io::SimApp& {
    return outbound ? mesh.dial(kService, port++) : mesh.dial_from_outside(port++);
  };
  std::vector<io::SimApp*> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(&dial());
    REQUIRE(answers(mesh, *held.back()));
  }
  CHECK_FALSE(answers(mesh, dial()));
  CHECK(node.failed(Reason::overloaded) == 1);
  for (io::SimApp* app : held) CHECK(answers(mesh, *app, "still here"));
  end_in_order(mesh, *held.back());
  CHECK(answers(mesh, dial()));
  CHECK(node.failed() == 1);
}

TEST_CASE(
    "a pod at its limit of requests in flight is answered one more with 503, and served when one has ended") {
  Mesh mesh(305);
  std::vector<io::SimApp*> asked;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) { asked.push_back(&app); };
  mesh.client.context.requests_per_pod = 2;
  uint16_t port = 50'000;
  const auto ask = [&]() -> io::SimApp& {
    auto& app = mesh.dial(kHttpService, port++);
    app.send("GET / HTTP/1.1\r\nHost: s\r\n\r\n");
    return app;
  };
  const auto waiting = [&] {
    return std::count_if(asked.begin(), asked.end(), [](auto* app) { return !app->received().empty(); });
  };
  io::SimApp &first = ask(), &second = ask();
  REQUIRE(mesh.world.run_until([&] { return waiting() == 2; }));
  io::SimApp& third = ask();
  REQUIRE(mesh.world.run_until([&] { return !third.received().empty(); }));
  CHECK(third.received().starts_with("HTTP/1.1 503 "));
  asked[0]->take_received();
  asked[0]->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  REQUIRE(mesh.world.run_until(
      [&] { return first.received().ends_with("ok") || second.received().ends_with("ok"); }));
  io::SimApp& fourth = ask();
  REQUIRE(mesh.world.run_until([&] { return waiting() == 2; }));
  CHECK(fourth.received().empty());
}

TEST_CASE("lanes to a destination are limited, and each destination has its own") {
  Mesh mesh(303);
  const SocketAddress other{kServer.ip, 8081};
  echo_on(mesh, kServer);
  echo_on(mesh, other);
  mesh.client.lanes.configure(2, 2);
  uint16_t port = 40'000;
  std::vector<io::SimApp*> held;
  for (int i = 0; i < 4; ++i) {
    held.push_back(&mesh.dial(kService, port++));
    REQUIRE(answers(mesh, *held.back()));
    CHECK(mesh.client.lanes.lanes() == (i < 2 ? 1 : 2));
  }
  CHECK_FALSE(answers(mesh, mesh.dial(kService, port++)));
  CHECK(mesh.client.failed(Reason::overloaded) == 1);
  CHECK(mesh.client.lanes.lanes() == 2);
  for (io::SimApp* app : held) CHECK(answers(mesh, *app, "still here"));
  CHECK(answers(mesh, mesh.dial(other, port++)));
  CHECK(mesh.client.lanes.lanes() == 3);
  end_in_order(mesh, *held.front());
  CHECK(answers(mesh, mesh.dial(kService, port++)));
  CHECK(mesh.client.lanes.lanes() == 3);
}

TEST_CASE("where every session has a lane to itself, lanes are not limited") {
  Mesh mesh(304);
  echo_on(mesh, kServer);
  mesh.client.lanes.configure(1, 2);
  for (uint16_t i = 0; i < 5; ++i) CHECK(answers(mesh, mesh.dial(kService, 40'000 + i)));
  CHECK(mesh.client.lanes.lanes() == 5);
}

TEST_CASE("a lane that moves bulk is left to it while another may be dialled, and shared when none may") {
  const bool another_may = GENERATE(true, false);
  Mesh mesh(another_may ? 305 : 306,
            {.delay_max = 20us, .pipe_bytes_min = 64 * 1024});  // fast enough to be bulk
  io::SimApp* sink = nullptr;
  mesh.world.listen_app(kServer, 1).on_accept = [&](io::SimApp& app) {
    if (!sink) {
      sink = &app;
      app.on_change = [](io::SimApp& bulk) { bulk.take_received(); };
    } else {
      app.on_change = [](io::SimApp& echo) { echo.send(echo.take_received()); };
    }
  };
  mesh.client.lanes.configure(0, another_may ? 2 : 1);
  constexpr size_t kBulkBytes = 80 << 20;
  io::SimApp& bulk = mesh.dial(kService, 40'000);
  bulk.send(std::string(kBulkBytes, 'b'));
  REQUIRE(mesh.world.run_until([&] { return sink && sink->received_bytes() == kBulkBytes; }));
  mesh.world.run_for(5s);  // a lane is judged every five seconds
  CHECK(answers(mesh, mesh.dial(kService, 40'001)));
  CHECK(mesh.client.lanes.lanes() == (another_may ? 2 : 1));
}

// --- Of one source address ----------------------------------------------------------------------------------------

namespace {

const Ip kSecond = *Ip::parse("10.50.1.12");  // of the client pod

uint64_t refused(const Node& node, net::ShareLimit limit) {
  return node.context.shares.refused()[static_cast<size_t>(limit)];
}

// As a worker does between its turns. Nothing may be left of who holds nothing.
void check_forgotten(Mesh& mesh) {
  mesh.end_all();
  mesh.world.run_for(2s);
  for (Node* node : {&mesh.client, &mesh.server}) {
    node->context.shares.sweep();
    CHECK(node->context.shares.size() == 0);
  }
}

}  // namespace

TEST_CASE("a source at its limit of connections is refused one more, and others are not") {
  const bool outbound = GENERATE(true, false);
  Mesh mesh(outbound ? 311 : 312);
  echo_on(mesh, kServer);
  Node& node = outbound ? mesh.client : mesh.server;
  node.context.shares.configure({.connections = 4});
  uint16_t port = 50'000;
  // What comes from outside in plaintext goes on as a connection of its own, which counts too.
  const int most = outbound ? 4 : 2;
  const auto dial = [&](bool other) -> io::SimApp& {
    return outbound ? mesh.dial_from(other ? kSecond : kClient, kService, port++)
                    : mesh.dial_from_outside(port++, other ? *Ip::parse("192.168.9.10") : kOutside);
  };
  std::vector<io::SimApp*> held;
  for (int i = 0; i < most; ++i) {
    held.push_back(&dial(false));
    REQUIRE(answers(mesh, *held.back()));
  }
  CHECK_FALSE(answers(mesh, dial(false)));
  CHECK(node.failed(Reason::overloaded) == 1);
  CHECK(refused(node, net::ShareLimit::connections) == 1);
  CHECK(answers(mesh, dial(true)));
  for (io::SimApp* app : held) CHECK(answers(mesh, *app, "still here"));
  end_in_order(mesh, *held.back());
  CHECK(answers(mesh, dial(false)));
  CHECK(node.failed() == 1);
  check_forgotten(mesh);
}

TEST_CASE("a source at its limit of sessions is refused one more at their end, and others are not") {
  Mesh mesh(313);
  echo_on(mesh, kServer);
  mesh.server.context.shares.configure({.sessions = 2});
  io::SimApp &first = mesh.dial(kService, 40'000), &second = mesh.dial(kService, 40'001);
  REQUIRE((answers(mesh, first) && answers(mesh, second)));
  CHECK_FALSE(answers(mesh, mesh.dial(kService, 40'002)));
  CHECK(mesh.client.failed(Reason::overloaded) == 1);
  CHECK(mesh.server.failed(Reason::overloaded) == 1);
  CHECK(refused(mesh.server, net::ShareLimit::sessions) == 1);
  CHECK(mesh.client.lanes.lanes() == 1);  // which is none the worse for it
  CHECK(answers(mesh, mesh.dial_from(kSecond, kService, 40'003)));
  CHECK((answers(mesh, first, "still here") && answers(mesh, second, "still here")));
  end_in_order(mesh, first);
  CHECK(answers(mesh, mesh.dial(kService, 40'004)));
  CHECK(mesh.server.failed() == 1);
  check_forgotten(mesh);
}

TEST_CASE("a source that has no room for one more window is refused a session, and others are not") {
  const bool at_acceptor = GENERATE(true, false);
  Mesh mesh(at_acceptor ? 314 : 315);
  echo_on(mesh, kServer);
  Node& node = at_acceptor ? mesh.server : mesh.client;
  node.context.shares.configure({.buffered_bytes = 2 * limits::session_window_initial_bytes});
  io::SimApp &first = mesh.dial(kService, 40'000), &second = mesh.dial(kService, 40'001);
  REQUIRE((answers(mesh, first) && answers(mesh, second)));
  CHECK_FALSE(answers(mesh, mesh.dial(kService, 40'002)));
  CHECK(mesh.client.failed(Reason::overloaded) == 1);
  CHECK(mesh.server.failed(Reason::overloaded) == (at_acceptor ? 1 : 0));
  CHECK(refused(node, net::ShareLimit::buffered_bytes) == 1);
  CHECK(answers(mesh, mesh.dial_from(kSecond, kService, 40'003)));
  end_in_order(mesh, first);
  CHECK(answers(mesh, mesh.dial(kService, 40'004)));
  check_forgotten(mesh);
}

TEST_CASE(
    "a source above its handshakes a second is refused at once, others are not, and a second later it is "
    "served") {
  const bool at_acceptor = GENERATE(true, false);
  Mesh mesh(at_acceptor ? 316 : 317);
  echo_on(mesh, kServer);
  mesh.client.lanes.configure(1);  // a lane for each
  Node& node = at_acceptor ? mesh.server : mesh.client;
  node.context.shares.configure({.handshakes = 2});
  REQUIRE((answers(mesh, mesh.dial(kService, 40'000)) && answers(mesh, mesh.dial(kService, 40'001))));
  const auto begun = mesh.world.now();
  CHECK_FALSE(answers(mesh, mesh.dial(kService, 40'002)));
  CHECK(mesh.world.now() - begun < 100ms);
  CHECK(node.failed(Reason::overloaded) == 1);
  CHECK(mesh.client.failed() == 1);
  CHECK(refused(node, net::ShareLimit::handshakes) == 1);
  CHECK(answers(mesh, mesh.dial_from(kSecond, kService, 40'003)));
  mesh.world.run_for(1s);
  CHECK(answers(mesh, mesh.dial(kService, 40'004)));
  check_forgotten(mesh);
}

TEST_CASE("a dial for which there is no descriptor ends with that reason, and the next one is served") {
  // To the other proxy, to the application behind it, and to what is outside the mesh.
  const int where = GENERATE(0, 1, 2);
  Mesh mesh(320 + static_cast<uint64_t>(where));
  echo_on(mesh, kServer);
  const SocketAddress outside{kOutside, 80};
  echo_on(mesh, outside);
  if (where == 1) REQUIRE(answers(mesh, mesh.dial(kService, 40'000)));  // the lane is there
  mesh.world.fail_next(io::SimWorld::Step::open_socket, EMFILE);
  auto& refused = mesh.dial(where == 2 ? outside : kServer, 40'001);  // no other endpoint to try
  CHECK_FALSE(answers(mesh, refused));
  CHECK((where == 1 ? mesh.server : mesh.client).failed(Reason::out_of_descriptors) == 1);
  CHECK(mesh.client.failed(where == 1 ? Reason::overloaded : Reason::out_of_descriptors) == 1);
  CHECK(mesh.client.failed(Reason::refused) == 0);
  CHECK(answers(mesh, mesh.dial(where == 2 ? outside : kServer, 40'002)));
  check_forgotten(mesh);
}

TEST_CASE("accepting pauses while descriptors are short, on every listener, and nobody who waited is lost") {
  Mesh mesh(323);
  echo_on(mesh, kServer);
  io::SimApp& there = mesh.dial(kService, 40'000);
  REQUIRE(answers(mesh, there));
  mesh.world.set_descriptors_beyond(limits::reserved_descriptors);
  std::vector<io::SimApp*> waiting;
  for (uint16_t i = 1; i <= 20; ++i)
    waiting.push_back(&mesh.dial(kService, static_cast<uint16_t>(40'000 + i)));
  for (uint16_t i = 0; i < 20; ++i)
    waiting.push_back(&mesh.dial_from_outside(static_cast<uint16_t>(50'000 + i)));
  for (io::SimApp* app : waiting) app->send("hello");
  mesh.world.run_for(3s);
  CHECK(std::ranges::count_if(waiting, [](const auto* app) { return app->received() == "hello"; }) < 10);
  CHECK(answers(mesh, there, "still here"));
  for (const Node* node : {&mesh.client, &mesh.server})
    CHECK(node->context.accept_pauses.by_reason()[static_cast<size_t>(Reason::out_of_descriptors)] == 1);
  mesh.world.set_descriptors_beyond(INT64_MAX);
  for (io::SimApp* app : waiting) CHECK(mesh.world.run_until([&] { return app->received() == "hello"; }));
  CHECK(mesh.client.failed() + mesh.server.failed() == 0);
}

TEST_CASE("a connection that was accepted into the process's own descriptors is refused for that reason") {
  const bool outbound = GENERATE(true, false);
  Mesh mesh(outbound ? 324 : 325);
  echo_on(mesh, kServer);
  mesh.world.set_descriptors_beyond(limits::reserved_descriptors - 1);
  CHECK_FALSE(answers(mesh, outbound ? mesh.dial(kService, 40'000) : mesh.dial_from_outside(50'000)));
  CHECK((outbound ? mesh.client : mesh.server).failed(Reason::out_of_descriptors) == 1);
  mesh.world.set_descriptors_beyond(INT64_MAX);
  CHECK(answers(mesh, outbound ? mesh.dial(kService, 40'001) : mesh.dial_from_outside(50'001)));
}

}  // namespace weir::test
