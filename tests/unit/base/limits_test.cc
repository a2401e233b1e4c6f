// The small parts that limits are made of: budgets, what is said seldom, how many descriptors there are.
#include <fcntl.h>
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <vector>

#include "nodeproxy/base/budget.h"
#include "nodeproxy/base/descriptors.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/seldom.h"

namespace weir {
namespace {

using namespace std::chrono_literals;

struct DescriptorLimit {
  DescriptorLimit() { REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0); }
  ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before); }
  static void set(rlim_t soft, rlim_t hard) {
    const rlimit limit{.rlim_cur = soft, .rlim_max = hard};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  rlimit before{};
};

TEST_CASE("windows that grow leave half of a budget to those that begin") {
  Budget budget;
  budget.limit_bytes = 100;
  CHECK(budget.has_for_growth(50));
  CHECK_FALSE(budget.has_for_growth(51));
  budget.take(50);
  CHECK_FALSE(budget.has_for_growth(1));
  CHECK(budget.has(50));
  CHECK_FALSE(budget.has(51));
  budget.give_back(50);
  CHECK(budget.has(100));
}

TEST_CASE("what is said seldom is said at once, then not for a while, then with how often it was not") {
  Seldom seldom(10s);
  const Seldom::TimePoint begin{};
  CHECK(seldom.now(begin) == uint64_t{0});
  CHECK_FALSE(seldom.now(begin));
  CHECK_FALSE(seldom.now(begin + 9s));
  CHECK(seldom.now(begin + 10s) == uint64_t{2});
  CHECK_FALSE(seldom.now(begin + 11s));
}

TEST_CASE("how many descriptors there are beyond one is known, whatever the limit is by now") {
  const DescriptorLimit restored;
  std::vector<Fd> held;
  for (int i = 0; i < 20; ++i) held.emplace_back(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0));
  const int last = held.back().get();
  const auto limit = static_cast<rlim_t>(last) + 1;
  DescriptorLimit::set(limit + 10, restored.before.rlim_max);
  CHECK(descriptors_beyond(last) == 10);
  CHECK(descriptors_beyond(-1) == 9);
  DescriptorLimit::set(limit, restored.before.rlim_max);
  CHECK(descriptors_beyond(last) == 0);
  CHECK(descriptors_beyond(-1) == -1);  // there is no next one
  DescriptorLimit::set(limit - 5, restored.before.rlim_max);
  CHECK(descriptors_beyond(last) == -5);
  held.resize(held.size() - 8);
  CHECK(descriptors_beyond(-1) == 2);
}

TEST_CASE("the soft limit of descriptors is raised to the hard one") {
  const DescriptorLimit restored;
  DescriptorLimit::set(256, restored.before.rlim_max);
  CHECK(raise_descriptor_limit() == restored.before.rlim_max);
  rlimit now{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &now) == 0);
  CHECK(now.rlim_cur == restored.before.rlim_max);
}

}  // namespace
}  // namespace weir
