#pragma once
// The application of a random history: HTTP/1.1 and HTTP/2 on one port, answering each request in the manner that the
// ledger says.
// Thread: the test's. Lifetime: outlives the mesh; its connections are kept until it goes.
#include <functional>
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

// Listens, and tells HTTP/2 by its first bytes.
class ServedPort {
 public:
  using Make = std::function<std::unique_ptr<ServerConnection>(io::SimApp& app, bool h2)>;
  void serve(io::SimWorld& world, const SocketAddress& address, Make make);

 private:
  std::vector<std::unique_ptr<ServerConnection>> connections_;
};

class Application {
 public:
  explicit Application(Ledger& ledger) : ledger(ledger) {}
  void serve(io::SimWorld& world, const SocketAddress& address);

  Ledger& ledger;
  io::SimWorld* world = nullptr;

 private:
  ServedPort port_;
};

// Of http_application_h2.cc.
std::unique_ptr<ServerConnection> serve_h2(Application& application, io::SimApp& app);

}  // namespace weir::test
