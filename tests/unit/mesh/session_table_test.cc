// The table of sessions against std::map, with ids as lanes have them and with colliding ones.
#include "nodeproxy/mesh/session_table.h"

#include <catch2/catch.hpp>
#include <map>
#include <random>

namespace weir::mesh {

TEST_CASE("the session table is a map") {
  const unsigned seed = GENERATE(take(10, random(1u, 1u << 30)));
  INFO("seed " << seed);
  std::mt19937 random(seed);
  SessionTable table;
  std::map<uint32_t, Session*> model;
  uint32_t next = 1;
  const bool rising = random() % 2;
  for (int step = 0; step < 5000; ++step) {
    if (random() % 2 || model.empty()) {
      const uint32_t id =
          rising ? next++ : (random() % 64) * 16 + random() % 2;  // collides in every small table
      if (model.contains(id)) continue;
      auto* session = reinterpret_cast<Session*>(uintptr_t{id} * 16 + 16);  // never dereferenced
      table.insert(id, session);
      model[id] = session;
    } else {
      auto victim = model.begin();
      std::advance(victim, random() % model.size());
      table.erase(victim->first);
      model.erase(victim);
    }
    REQUIRE(table.size() == model.size());
  }
  for (const auto& [id, session] : model) CHECK(table.find(id) == session);
  CHECK(table.find(0xfffffff0) == nullptr);
  table.erase(0xfffffff0);
  size_t seen = 0;
  table.for_each([&](Session* session) {
    seen += model.at(static_cast<uint32_t>(reinterpret_cast<uintptr_t>(session) / 16 - 1)) == session;
  });
  CHECK(seen == model.size());
}

TEST_CASE("an empty session table finds nothing") {
  SessionTable table;
  CHECK(table.find(1) == nullptr);
  CHECK(table.any() == nullptr);
  table.erase(1);
  CHECK(table.size() == 0);
}

}  // namespace weir::mesh
