// `bench_micro [NAME...]`: runs the micro-benchmarks named, or all. See micro.h and bench/README.md.
#include <cstdio>

#include "bench/micro/micro.h"

using weir::bench::all_micros;
using weir::bench::Micro;

int main(int count, char** words) {
  const std::vector<std::string_view> asked(words + 1, words + count);
  std::ranges::sort(all_micros(), {}, &Micro::name);
  for (const std::string_view name : asked) {
    if (std::ranges::find(all_micros(), name, &Micro::name) != all_micros().end()) continue;
    fmt::print(stderr, "bench_micro: there is no {}; there are:\n", name);
    for (const Micro& micro : all_micros()) fmt::print(stderr, "  {:12} {}\n", micro.name, micro.what);
    return 2;
  }
  for (const Micro& micro : all_micros()) {
    if (!asked.empty() && std::ranges::find(asked, micro.name) == asked.end()) continue;
    fmt::print("{}: {}\n", micro.name, micro.what);
    micro.run();
    std::fflush(stdout);
  }
  return 0;
}
