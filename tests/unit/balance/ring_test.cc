// The ring and the Maglev table as tables: the same set gives the same one, changes move little, shares are near their
// weights. Members are made of seeds, so each case is a thousand different ones in the long run.
#include "nodeproxy/balance/ring.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

#include "nodeproxy/balance/maglev.h"

using namespace weir::balance;

namespace {

constexpr int kKeys = 100'000;

std::vector<Weighted> members(size_t count, uint64_t seed = 1) {
  std::vector<Weighted> made;
  for (size_t i = 0; i < count; ++i) made.push_back({mix(seed * 1'000'003 + i), 100});
  std::sort(made.begin(), made.end(), [](const Weighted& a, const Weighted& b) { return a.id < b.id; });
  return made;
}

bool anyone(uint32_t) { return true; }

// The owner of each of kKeys keys.
template <typename Table>
std::vector<uint64_t> owners(const std::vector<Weighted>& of) {
  const Table table(of);
  std::vector<uint64_t> ids;
  ids.reserve(kKeys);
  for (uint64_t i = 0; i < kKeys; ++i) ids.push_back(of[table.find(mix(i), anyone)].id);
  return ids;
}

std::map<uint64_t, double> shares(const std::vector<uint64_t>& owners) {
  std::map<uint64_t, double> shares;
  for (const uint64_t id : owners) shares[id] += 1.0 / kKeys;
  return shares;
}

}  // namespace

TEST_CASE("one that leaves a ring moves its own keys and no other") {
  for (const size_t count : {2, 3, 10, 100, 500}) {
    CAPTURE(count);
    auto all = members(count);
    const auto before = owners<Ring>(all);
    const uint64_t gone = all[count / 2].id;
    all.erase(all.begin() + static_cast<ptrdiff_t>(count / 2));
    const auto after = owners<Ring>(all);
    int others = 0;
    for (int i = 0; i < kKeys; ++i) {
      const auto at = static_cast<size_t>(i);
      if (before[at] != gone && before[at] != after[at]) ++others;
    }
    CHECK(others == 0);
  }
}

TEST_CASE("one that leaves a Maglev table moves its own keys and few others") {
  for (const size_t count : {3, 10, 100, 500}) {
    CAPTURE(count);
    auto all = members(count);
    const auto before = owners<Maglev>(all);
    const uint64_t gone = all[count / 2].id;
    all.erase(all.begin() + static_cast<ptrdiff_t>(count / 2));
    const auto after = owners<Maglev>(all);
    int others = 0;
    for (size_t at = 0; at < kKeys; ++at)
      if (before[at] != gone && before[at] != after[at]) ++others;
    CHECK(others < kKeys * 0.03);
  }
}

TEST_CASE("the shares of a Maglev table are even, and those of a ring within a quarter") {
  for (const size_t count : {2, 5, 20, 100}) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      CAPTURE(count, seed);
      const auto all = members(count, seed);
      const Maglev maglev(all);
      std::map<uint16_t, uint32_t> slots;
      for (const uint16_t member : maglev.table()) ++slots[member];
      CHECK(slots.size() == count);
      for (const auto& [member, slots_of] : slots) {
        CHECK(slots_of >= Maglev::slots / count);
        CHECK(slots_of <= Maglev::slots / count + 1);
      }
      for (const auto& [id, share] : shares(owners<Ring>(all)))
        CHECK(share == Approx(1.0 / static_cast<double>(count)).epsilon(0.25));
    }
  }
}

TEST_CASE("weights are kept by the ring and the Maglev table") {
  auto all = members(6);
  const uint64_t weights[] = {10, 50, 100, 100, 200, 540};
  for (size_t i = 0; i < all.size(); ++i) all[i].weight = weights[i];
  const auto ring = shares(owners<Ring>(all)), maglev = shares(owners<Maglev>(all));
  for (const Weighted& member : all) {
    const double fair = static_cast<double>(member.weight) / 1000;
    CAPTURE(member.weight);
    CHECK(ring.at(member.id) == Approx(fair).epsilon(0.2).margin(0.006));
    CHECK(maglev.at(member.id) == Approx(fair).epsilon(0.02).margin(0.001));
  }
}

TEST_CASE("one whose weight changes moves keys to or from itself alone on a ring") {
  auto all = members(10);
  for (Weighted& member : all) member.weight = 1000;
  const auto before = owners<Ring>(all);
  all[3].weight = 600;
  const auto after = owners<Ring>(all);
  int moved = 0;
  for (size_t at = 0; at < kKeys; ++at) {
    if (before[at] == after[at]) continue;
    REQUIRE(before[at] == all[3].id);
    ++moved;
  }
  CHECK(moved > kKeys * 0.02);
  CHECK(moved < kKeys * 0.06);
}

TEST_CASE("one that is passed over leaves its keys to the others, and all others keep theirs") {
  const auto all = members(10);
  const Ring ring(all);
  const Maglev maglev(all);
  const auto not_third = [](uint32_t member) { return member != 3; };
  std::map<uint32_t, int> ring_heirs, maglev_heirs;
  for (uint64_t i = 0; i < kKeys; ++i) {
    const uint32_t ring_was = ring.find(mix(i), anyone), ring_is = ring.find(mix(i), not_third);
    const uint32_t maglev_was = maglev.find(mix(i), anyone), maglev_is = maglev.find(mix(i), not_third);
    REQUIRE(ring_is != 3);
    REQUIRE(maglev_is != 3);
    if (ring_was != 3) REQUIRE(ring_is == ring_was);
    if (maglev_was != 3) REQUIRE(maglev_is == maglev_was);
    if (ring_was == 3) ++ring_heirs[ring_is];
    if (maglev_was == 3) ++maglev_heirs[maglev_is];
  }
  CHECK(ring_heirs.size() == 9);
  REQUIRE(maglev_heirs.size() == 9);
  for (const auto& [heir, keys] : maglev_heirs) CHECK(keys == Approx(kKeys / 90.0).epsilon(0.15));
}

TEST_CASE("when all are passed over nobody is found, and the last one left is") {
  const auto all = members(200);
  const Ring ring(all);
  const Maglev maglev(all);
  for (uint64_t i = 0; i < 50; ++i) {
    CHECK(ring.find(mix(i), [](uint32_t) { return false; }) == Ring::nobody);
    CHECK(maglev.find(mix(i), [](uint32_t) { return false; }) == Maglev::nobody);
    CHECK(ring.find(mix(i), [](uint32_t member) { return member == 77; }) == 77);
    CHECK(maglev.find(mix(i), [](uint32_t member) { return member == 77; }) == 77);
  }
  CHECK(Ring({}).find(1, anyone) == Ring::nobody);
  CHECK(Maglev({}).find(1, anyone) == Maglev::nobody);
}

TEST_CASE("tables stay within their bounds, whatever the number of members and their weights") {
  for (const size_t count : {1, 3, 128, 129, 1000, 8192, 20'000}) {
    CAPTURE(count);
    auto all = members(count);
    CHECK(Ring(all).points() <= std::max<size_t>(65'536, 8 * count));
    std::mt19937 random(1);
    for (Weighted& member : all) member.weight = random() % 100 == 0 ? 1'000'000 : 1 + random() % 5;
    const Ring ring(all);
    CHECK(ring.points() <= std::max<size_t>(65'536, 8 * count));
    CHECK(ring.points() >= count);
    CHECK(ring.bytes() < 2'000'000 + 24 * count);
    CHECK(Maglev(all).bytes() == 2 * Maglev::slots);
  }
}

TEST_CASE("the tables are those of every other proxy: known keys have known owners") {
  // Values of this algorithm, not of the machine: another result is another mesh-wide mapping.
  const std::vector<Weighted> all = {{11, 100}, {22, 100}, {33, 200}, {44, 50}};
  const Ring ring(all);
  const Maglev maglev(all);
  std::string ring_found, maglev_found;
  for (uint64_t i = 0; i < 24; ++i) {
    ring_found += std::to_string(ring.find(mix(i + 1), anyone));
    maglev_found += std::to_string(maglev.find(mix(i + 1), anyone));
  }
  CHECK(ring_found == "202222002212031220130320");
  CHECK(maglev_found == "322123220222020322131012");
}
