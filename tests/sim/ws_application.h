#pragma once
// The application of a random history of WebSockets: HTTP/1.1 and HTTP/2 on one port, answering each question as the
// ledger says, and speaking into the tunnels it has agreed to.
// Thread: the test's. Lifetime: outlives the mesh; its connections are kept until it goes.
#include "tests/sim/http_application.h"
#include "tests/sim/ws_ledger.h"

namespace weir::test {

class WebsocketApplication {
 public:
  explicit WebsocketApplication(Tunnels& ledger) : ledger(ledger) {}
  void serve(io::SimWorld& world, const SocketAddress& address);

  // What is answered to this copy, and how soon.
  Answer answer(const Tunnel& tunnel, const Copy& copy, bool h2);
  io::Clock::duration pause(const Tunnel& tunnel);
  // Tells the client whose answer it got.
  static std::string name(const Tunnel& tunnel, const Copy& copy) {
    return std::to_string(tunnel.id) + "/" + std::to_string(copy.number);
  }

  Tunnels& ledger;
  io::SimWorld* world = nullptr;

 private:
  ServedPort port_;
};

// Of ws_application_h2.cc.
std::unique_ptr<ServerConnection> serve_websockets_h2(WebsocketApplication& application, io::SimApp& app);

}  // namespace weir::test
