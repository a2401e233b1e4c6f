#pragma once
// One side of a tunnel that was agreed to, whichever version carries it: it says what it has to say in pieces at random
// times, ends as the ledger wants, and judges what it hears.
// Thread: the test's. Lifetime: outlives the mesh: what it will say next is an event of the network.
#include <functional>

#include "nodeproxy/io/sim.h"
#include "tests/sim/ws_ledger.h"

namespace weir::test {

class Talk {
 public:
  struct Mouth {
    std::function<void(std::string_view)> say;
    std::function<void()> finish, reset;
  };
  // `copy`: of the application whose side this is; null: the client's.
  Talk(Tunnels& ledger, io::SimWorld& world, Tunnel& tunnel, Copy* copy, Mouth mouth)
      : ledger_(ledger), world_(world), tunnel_(tunnel), copy_(copy), mouth_(std::move(mouth)) {}

  // Says something at once: a client that does not wait for the answer.
  void say(size_t bytes);
  void finish();
  // The tunnel stands.
  void start() { go_on(); }
  void hear(std::string_view bytes) {
    copy_ ? ledger_.hear_client(tunnel_, *copy_, bytes) : ledger_.hear_application(tunnel_, bytes);
  }
  void hear_end();
  void lose() { side().lost = true; }
  bool over() const { return side().over(); }

 private:
  Side& side() const { return copy_ ? copy_->side : tunnel_.client; }
  void go_on();
  void speak();

  Tunnels& ledger_;
  io::SimWorld& world_;
  Tunnel& tunnel_;
  Copy* copy_;
  Mouth mouth_;
};

}  // namespace weir::test
