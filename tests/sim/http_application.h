#pragma once
// The application of a random history: HTTP/1.1 and HTTP/2 on one port, answering each request in the manner that the
// ledger says.
// Thread: the test's. Lifetime: outlives the mesh; its connections are kept until it goes.
#include <memory>
#include <vector>

#include "nodeproxy/io/sim.h"
#include "tests/sim/http_ledger.h"

namespace weir::test {

class ServerConnection {
 public:
  virtual ~ServerConnection() = default;
  virtual void on_change(io::SimApp& app) = 0;
};

class Application {
 public:
  explicit Application(Ledger& ledger) : ledger(ledger) {}
  void serve(io::SimWorld& world, const SocketAddress& address);

  Ledger& ledger;
  io::SimWorld* world = nullptr;

 private:
  std::vector<std::unique_ptr<ServerConnection>> connections_;
};

// Of http_application_h2.cc.
std::unique_ptr<ServerConnection> serve_h2(Application& application, io::SimApp& app);

}  // namespace weir::test
