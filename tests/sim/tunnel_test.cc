// Tunnels through the corridor, one direction of which has ended or failed.
#include <catch2/catch.hpp>

#include "tests/sim/history.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kAsk =
    "GET /chat HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
constexpr const char* kAgree =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nframes";

// Asks and is agreed to.
io::SimApp& agree(Mesh& mesh, io::SimApp& client) {
  static io::SimApp* server;
  server = nullptr;
  mesh.world.listen_app(kServer, 1).on_accept = [](io::SimApp& app) { server = &app; };
  client.send(kAsk);
  REQUIRE(mesh.world.run_until([] { return server && server->received().ends_with("\r\n\r\n"); }));
  server->send(kAgree);
  REQUIRE(mesh.world.run_until([&] { return client.received().ends_with("frames"); }));
  return *server;
}

}  // namespace

TEST_CASE("a pod that goes ends a tunnel whose application has said its last, and passes it off as no end") {
  Mesh mesh(1);
  io::SimApp& client = mesh.dial(kHttpService, 40'001);
  io::SimApp& server = agree(mesh, client);
  server.finish();
  REQUIRE(mesh.world.run_until([&] { return client.saw_fin(); }));
  mesh.client_pod->remove(Reason::pod_removed);
  CHECK(mesh.world.run_until([&] { return mesh.client.context.live_flows == 0; }, 10s));
  CHECK(mesh.world.run_until([&] { return server.closed(); }, 10s));
  CHECK(!server.saw_fin());
}

TEST_CASE(
    "a tunnel that is half-closed and silent for an hour ends, and one that is open or speaks does not") {
  Mesh mesh(4);
  io::SimApp& client = mesh.dial(kHttpService, 40'004);
  io::SimApp& server = agree(mesh, client);
  mesh.world.run_for(2h);
  REQUIRE(mesh.client.context.live_flows == 1);
  const bool by_server = GENERATE(true, false);
  io::SimApp& quiet = by_server ? server : client;
  io::SimApp& speaker = by_server ? client : server;
  quiet.finish();
  for (int i = 0; i < 4; ++i) {
    mesh.world.run_for(50min);
    speaker.send("still here");
  }
  mesh.world.run_for(50min);
  CHECK(mesh.client.context.live_flows == 1);
  mesh.world.run_for(90min);
  CHECK(mesh.client.context.live_flows == 0);
  speaker.send("anybody?");  // it has read to its end: only now it hears
  mesh.world.run_for(1s);
  CHECK(speaker.saw_reset());
}

TEST_CASE("a policy ends a tunnel that it no longer allows, though its application has said its last") {
  Mesh mesh(2);
  add_path_policy(mesh);
  mesh.configure([](mesh::v1::Update& update) {
    update.mutable_changed(update.changed_size() - 1)
        ->mutable_policy()
        ->mutable_rules(0)
        ->mutable_to(0)
        ->set_paths(0, "/elsewhere");
  });
  give_path_policy(mesh, true);
  io::SimApp& client = mesh.dial(kHttpService, 40'002);
  io::SimApp& server = agree(mesh, client);
  server.finish();
  REQUIRE(mesh.world.run_until([&] { return client.saw_fin(); }));
  mesh.configure([](mesh::v1::Update& update) {
    update.mutable_changed(update.changed_size() - 1)
        ->mutable_policy()
        ->mutable_rules(0)
        ->mutable_to(0)
        ->set_paths(0, "/chat");
  });
  CHECK(mesh.world.run_until([&] { return server.closed(); }, 10s));
  CHECK(!server.saw_fin());
}

TEST_CASE("a failure to write into a tunnel is told to both its sides") {
  Mesh mesh(3);
  add_path_policy(mesh);
  give_path_policy(mesh, true);
  io::SimApp& client = mesh.dial_from_outside(40'003);
  io::SimApp& server = agree(mesh, client);
  mesh.world.fail_next(io::SimWorld::Step::send, ENOBUFS);
  client.send("more");
  CHECK(mesh.world.run_until([&] { return client.saw_reset() && server.saw_reset(); }, 10s));
}

}  // namespace weir::test
