// Whose lanes are whose, while pods come and go at their ends.
#include <catch2/catch.hpp>

#include "tests/sim/mesh.h"

namespace weir::test {
namespace {

TEST_CASE("a pod that comes to another's address gets lanes of its own, also under the same identity") {
  Mesh mesh(18);
  mesh.world.listen_app(kServer, 1).on_accept = [](io::SimApp& app) {
    app.on_change = [](io::SimApp& echo) { echo.send(echo.take_received()); };
  };
  for (const uint16_t port : {40'018, 40'019}) {
    auto& client = mesh.dial(kServer, port);
    client.send("hello");
    REQUIRE(mesh.world.run_until([&] { return client.received() == "hello"; }));
  }
  CHECK(mesh.client.lanes.lanes() == 1);
  mesh.configure(
      [](mesh::v1::Update& update) { update.mutable_changed(3)->mutable_workload()->set_uid("heir"); });
  mesh.dial(kServer, 40'020).send("hello");
  // A lane is dialled, and refused: nobody serves the heir here. On the old one there would be no handshake.
  REQUIRE(mesh.world.run_until([&] { return !mesh.client.last_handshake; }));
}

TEST_CASE("a pod may go while its first lane is still being dialled") {
  Mesh mesh(17);
  mesh.world.network().make_silent(kServer.ip);
  auto& client = mesh.dial(kService, 40'017);
  client.send("hello");
  mesh.world.run_for(std::chrono::seconds(1));
  REQUIRE_FALSE(client.saw_reset());
  mesh.client_pod->remove(Reason::pod_removed);
  REQUIRE(mesh.world.run_until([&] { return client.saw_reset(); }));
  mesh.world.run_for(std::chrono::seconds(6));
  CHECK(mesh.client.lanes.lanes() == 0);
}

}  // namespace
}  // namespace weir::test
