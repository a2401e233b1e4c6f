#pragma once
// Micro-benchmarks: what one operation of the proxy costs by itself, on sizes that a large cluster has. A case is a
// function that prints lines of figures; it registers itself where it is written, and main.cc runs those asked for.
// Thread: main. Lifetime: the program's.
#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <vector>

namespace weir::bench {

struct Micro {
  std::string_view name, what;
  void (*run)();
};

inline std::vector<Micro>& all_micros() {
  static std::vector<Micro> all;
  return all;
}

struct Registered {
  Registered(std::string_view name, std::string_view what, void (*run)()) {
    all_micros().push_back({name, what, run});
  }
};

// Microseconds that each call of `work` took.
template <typename Work>
std::vector<double> timed_us(size_t times, const Work& work) {
  std::vector<double> us;
  us.reserve(times);
  for (size_t i = 0; i < times; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    work(i);
    us.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
  }
  return us;
}

// One line: median, 99th of a hundred, worst. The median is the figure; the worst is mostly the machine's.
inline void print_us(std::string_view what, std::vector<double> us) {
  std::ranges::sort(us);
  const auto at = [&](double share) {
    return us[static_cast<size_t>(share * static_cast<double>(us.size() - 1))];
  };
  fmt::print("  {:58} median {:10.2f} µs   p99 {:10.2f}   worst {:10.2f}   of {}\n", what, at(0.5), at(0.99),
             us.back(), us.size());
}

// Bytes that malloc has handed out and not got back.
inline size_t allocated_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

inline void print_bytes(std::string_view what, double bytes) {
  if (bytes >= 1e6) {
    fmt::print("  {:58} {:.1f} MB\n", what, bytes / 1e6);
  } else {
    fmt::print("  {:58} {:.1f} KiB\n", what, bytes / 1024);
  }
}

}  // namespace weir::bench
