#pragma once
// The clients of a random history of WebSockets: one connection each, which asks for the tunnels it was given. Over
// HTTP/1.1 one after the other until one is agreed to, over HTTP/2 all of them.
// Thread: the test's. Lifetime: outlives the mesh.
#include "tests/sim/http_clients.h"
#include "tests/sim/ws_ledger.h"

namespace weir::test {

std::unique_ptr<TestClient> websocket_client_h1(Tunnels& ledger, io::SimWorld& world, io::SimApp& app,
                                                std::vector<Tunnel*> tunnels);
std::unique_ptr<TestClient> websocket_client_h2(Tunnels& ledger, io::SimWorld& world, io::SimApp& app,
                                                std::vector<Tunnel*> tunnels);

}  // namespace weir::test
