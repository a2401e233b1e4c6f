// Picks allocate nothing once a worker has met the service: every allocation of this program is counted.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "nodeproxy/balance/pick.h"
#include "tests/unit/balance/services.h"

using namespace weir;
using namespace weir::balance;
using namespace weir::balance::test;
using namespace std::chrono_literals;

namespace {

uint64_t allocations = 0;

}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

TEST_CASE("a pick, its lease and its outcome allocate nothing, whatever the balancer") {
  for (int balancer = 0; balancer < 8; ++balancer) {
    for (const size_t count : {size_t{3}, size_t{1000}}) {
      CAPTURE(balancer, count);
      const Service asked = published(service_of(count, static_cast<Balancer>(balancer)));
      State state(1);
      Request from = request(asked);
      from.http = true;
      from.now = TimePoint(1000s);
      const uint64_t tried[] = {asked.slices[0]->endpoints[0].id, asked.slices[0]->endpoints[2].id};
      uint64_t before = 0;
      for (uint64_t i = 0; i < 2000; ++i) {
        if (i == 1000) before = allocations;
        from.now += 1ms;
        from.hash = mix(i);
        if (i % 7 == 0) {
          from.tried = tried;
        } else {
          from.tried = {};
        }
        const auto choice = pick(from, state);
        state.request(*choice, from.now).release({Outcome::Kind::ok, 1ms}, from.now);
      }
      CHECK(allocations == before);
      CHECK(before > 0);
    }
  }
}
