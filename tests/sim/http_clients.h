#pragma once
// The clients of a random history: one connection each, which makes the requests it was given and judges what comes back.
// Thread: the test's. Lifetime: outlives the mesh.
#include <memory>
#include <vector>

#include "nodeproxy/io/sim.h"
#include "tests/sim/http_ledger.h"

namespace weir::test {

class TestClient {
 public:
  virtual ~TestClient() = default;
  // Nothing is waited for any more: everything was answered, or the connection has ended.
  virtual bool over() const = 0;
  virtual std::string describe() const = 0;
  // Requests that the proxy may never answer: the client has left, or the application was told to be silent.
  bool may_wait() const { return may_wait_; }

 protected:
  bool may_wait_ = false;
};

// `depth`: how many requests are sent before the first is answered.
std::unique_ptr<TestClient> client_h1(Ledger& ledger, io::SimWorld& world, io::SimApp& app,
                                      std::vector<Request*> requests, size_t depth);
std::unique_ptr<TestClient> client_h2(Ledger& ledger, io::SimWorld& world, io::SimApp& app,
                                      std::vector<Request*> requests);

}  // namespace weir::test
