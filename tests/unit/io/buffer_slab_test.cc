// Receive buffers as memory: what is committed, and what goes back.
#include "nodeproxy/io/buffer_slab.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "nodeproxy/base/limits.h"

namespace weir::io {
namespace {

constexpr uint32_t kCount = 64;

// How many pages of the slab's `count` buffers are in memory.
size_t resident_pages(const BufferSlab& slab) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(slab.memory_of(0)) & ~(page - 1);
  const size_t bytes = size_t{slab.count()} * slab.size_bytes();
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  REQUIRE(::mincore(reinterpret_cast<void*>(begin), bytes, pages.data()) == 0);
  return static_cast<size_t>(std::count_if(pages.begin(), pages.end(), [](auto p) { return p & 1; }));
}

std::vector<Buffer> filled(BufferSlab& slab, size_t count) {
  std::vector<Buffer> out;
  for (size_t i = 0; i < count; ++i) {
    const uint16_t id = slab.take();
    std::ranges::fill(slab.space(id), static_cast<std::byte>(id + 1));
    out.push_back(slab.lend(id, slab.size_bytes()));
  }
  return out;
}

// Lets a period pass, in which nothing is needed any more.
void cool(BufferSlab& slab, TimePoint& now) {
  do {
    now += limits::buffers_cool;
  } while (!slab.cool(now));
}

bool whole(const Buffer& buffer) {
  return std::ranges::all_of(buffer.bytes(), [&](std::byte byte) { return byte == buffer.bytes()[0]; }) &&
         buffer.bytes()[0] != std::byte{0};
}

}  // namespace

TEST_CASE("what a burst needed goes back to the kernel once it was not needed for a while") {
  BufferSlab slab;
  const auto size =
      GENERATE(uint32_t{limits::receive_buffer_small_bytes}, uint32_t{limits::receive_buffer_large_bytes});
  REQUIRE(slab.open(kCount, size) == 0);
  CHECK(resident_pages(slab) == 0);
  TimePoint now = {};
  slab.cool(now);
  const size_t pages_of_one = (size + 4095) / 4096;
  std::vector<Buffer> burst = filled(slab, 40);
  CHECK(resident_pages(slab) >= 40 * size / 4096);
  // A few stay in use; every second one, so that none has both of its neighbours.
  std::vector<Buffer> kept;
  for (size_t i = 0; i < 8; i += 2) kept.push_back(std::move(burst[i]));
  burst.clear();
  cool(slab, now);
  CHECK(resident_pages(slab) >= 40 * size / 4096);  // needed since the last time
  for (int i = 0; i < 3; ++i) {
    std::vector<Buffer> still_needed = filled(slab, 2);
    still_needed.clear();
    cool(slab, now);
  }
  // In use, hot, and the pages that these share with their neighbours.
  CHECK(resident_pages(slab) <= 6 * (pages_of_one + 2) + 34 * 2 * (size % 4096 != 0));
  CHECK(resident_pages(slab) >= 6 * size / 4096);
  for (const Buffer& buffer : kept) CHECK(whole(buffer));
  kept.clear();
  // And they serve again.
  std::vector<Buffer> again = filled(slab, kCount);
  CHECK(slab.empty());
  for (const Buffer& buffer : again) CHECK(whole(buffer));
}

}  // namespace weir::io
