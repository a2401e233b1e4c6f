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

}  // namespace weir::test
