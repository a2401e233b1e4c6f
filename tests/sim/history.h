#pragma once
// What the random histories of TCP, HTTP and WebSockets share: the weather, the seeds, what happens to the pods, and what
// must be true when all is over.
// WEIR_SIM_SEED repeats a run, WEIR_SIM_STEPS makes it longer (all histories of a kind together).
// Thread: the test's.
#include <functional>

#include "tests/sim/dice.h"
#include "tests/sim/mesh.h"

namespace weir::test {

inline constexpr uint64_t kStepsOfOne = 60'000;

// What goes wrong beside the application's and the clients' own doing.
enum class Weather : uint8_t { calm, fair, storm };
io::SimFaults faults(Weather weather);

// Runs one history with a fresh seed, then as many of `first` and on as are wanted; frames that stay are a failure.
void run_histories(uint64_t first, Weather weather, const std::function<void(uint64_t seed)>& one);
template <typename History>
void histories(uint64_t first, Weather weather) {
  run_histories(first, weather, [weather](uint64_t seed) {
    History one(seed, weather);
    one.run(kStepsOfOne);
    one.check();
  });
}

// A policy that denies what is below /denied; it binds nobody until it is given to the server.
void add_path_policy(Mesh& mesh);
void give_path_policy(Mesh& mesh, bool on);
// The routes of the HTTP service, emptied, at this place in the configuration; 0: to be added.
mesh::v1::RouteTable& clear_routes(mesh::v1::Update& update, int& at);
// Edits of heads that change nothing, and, but for calm weather, time-outs; retry by status.
void decorate(Dice& dice, Weather weather, mesh::v1::RouteRule& rule);

// So many bytes, which differ with the place and with the salt.
std::string pattern(size_t bytes, uint64_t salt);
// A slow reader: reads nothing for a while.
void hold_for_a_while(Dice& dice, io::SimWorld& world, io::SimApp& app);
// A pod goes, is retired, or its proxy drains; or nothing of that. Whether the client's pod still accepts.
bool last_chapter(Dice& dice, Mesh& mesh);

uint64_t recorded(const Node& node);   // requests
uint64_t under_way(const Node& node);  // likewise
// Ends everything.
void check_nothing_is_left(Mesh& mesh);

}  // namespace weir::test
