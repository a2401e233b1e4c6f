#pragma once
// What a descriptor number stands for in the simulator: a listener, or a socket before, during and after its connect.
// Shared by sim.cc and sim_world.cc alone. Thread: the simulation's. Lifetime: from open_socket or accept to close.
#include <vector>

#include "nodeproxy/io/sim.h"

namespace weir::io {

struct SimDriver::Descriptor final : SimObserver {
  enum class State : uint8_t { listening, fresh, dialling, answered, connected };

  SimDriver* driver = nullptr;
  State state = State::fresh;
  uint64_t birth = 0;  // tells it from a later descriptor of the same number
  SimListener listener;
  SocketAddress bind, dialled;
  int connect_error = 0;
  bool reset_on_close = false;
  SimEnd end;
  int in_flight = 0;              // operations
  std::vector<uint64_t> waiting;  // operations that found nothing to do

  void on_network() override {
    for (const uint64_t handle : std::exchange(waiting, {})) driver->attempt_later(handle);
  }
};

}  // namespace weir::io
