// Buckets of durations: exact at the exported bounds, close everywhere else.
#include "nodeproxy/telemetry/histogram.h"

#include <catch2/catch.hpp>
#include <random>

namespace weir::telemetry {
namespace {

using std::chrono::nanoseconds;

TEST_CASE("every duration lies between the bounds of its bucket") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t nanos = (random() >> (22 + random() % 42)) % 2'097'152'000'000;  // the last bound
    const size_t bucket = Histogram::bucket_of(nanos);
    const double seconds = static_cast<double>(nanos) * 1e-9;
    INFO(nanos << " ns, bucket " << bucket);
    REQUIRE(bucket < Histogram::kBuckets);
    REQUIRE(seconds <= Histogram::upper_bound_seconds(bucket) * (1 + 1e-12));
    if (bucket > 0) REQUIRE(seconds > Histogram::lower_bound_seconds(bucket) * (1 - 1e-12));
  }
}

TEST_CASE("an exported bound counts what is exactly as long, and nothing that is a nanosecond longer") {
  for (size_t i = 0; i < Histogram::kExported; ++i) {
    const auto bound = std::chrono::nanoseconds(500'000) * (int64_t{1} << i);
    CHECK(Histogram::exported_bound_seconds(i) == Approx(std::chrono::duration<double>(bound).count()));
    Histogram durations;
    durations.observe(bound);
    durations.observe(bound + nanoseconds(1));
    INFO("bound " << i);
    CHECK(durations.cumulative()[i] == 1);
    if (i > 0) CHECK(durations.cumulative()[i - 1] == 0);
    if (i + 1 < Histogram::kExported) CHECK(durations.cumulative()[i + 1] == 2);
  }
}

TEST_CASE("a quantile is off by less than its bucket is wide") {
  Histogram durations;
  for (int64_t i = 1; i <= 10'000; ++i) durations.observe(std::chrono::microseconds(i));
  CHECK(durations.quantile_seconds(0.5) == Approx(0.005).epsilon(0.03));
  CHECK(durations.quantile_seconds(0.99) == Approx(0.0099).epsilon(0.03));
  CHECK(durations.quantile_seconds(0) <= 2e-6);
  CHECK(durations.sum_seconds() == Approx(50.005));
  CHECK(Histogram().quantile_seconds(0.99) == 0);
}

TEST_CASE("durations without end and before their beginning have a bucket too") {
  Histogram durations;
  durations.observe(nanoseconds::max());
  durations.observe(nanoseconds(-5));
  CHECK(durations.counts().back() == 1);
  CHECK(durations.counts().front() == 1);
  CHECK(durations.count() == 2);
}

TEST_CASE("histograms of workers add up") {
  Histogram one, other;
  one.observe(std::chrono::milliseconds(1));
  other.observe(std::chrono::milliseconds(1));
  other.observe(std::chrono::seconds(1));
  one.add(other);
  CHECK(one.count() == 3);
  CHECK(one.counts()[Histogram::bucket_of(1'000'000)] == 2);
  CHECK(one.sum_seconds() == Approx(1.002));
}

}  // namespace
}  // namespace weir::telemetry
