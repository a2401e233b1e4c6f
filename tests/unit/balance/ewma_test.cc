// The rules of PeakEwma, one by one.
#include "nodeproxy/balance/ewma.h"

#include <catch2/catch.hpp>

using namespace weir::balance;
using namespace std::chrono_literals;

namespace {

constexpr TimePoint kStart{1000s};
constexpr double kMs = 1e6;

// One that took 5 ms at kStart.
PeakEwma known() {
  PeakEwma ewma;
  ewma.asked(kStart, 0);
  ewma.answered(5ms, kStart);
  return ewma;
}

}  // namespace

TEST_CASE("an endpoint nobody has asked is expected to be the fastest, one asked and not heard of slow") {
  PeakEwma ewma;
  CHECK(ewma.estimate_ns(kStart, 0) == 0);
  ewma.asked(kStart, 0);
  CHECK(ewma.estimate_ns(kStart, 0) == PeakEwma::unknown_ns);
  ewma.answered(5ms, kStart + 5ms);
  CHECK(ewma.estimate_ns(kStart + 5ms, 0) == Approx(5 * kMs).epsilon(0.01));
}

TEST_CASE("a peak counts at once, and is forgotten with the decay time") {
  PeakEwma ewma = known();
  ewma.answered(80ms, kStart + 1s);
  ewma.asked(kStart + 1s, 1);
  CHECK(ewma.estimate_ns(kStart + 1s, 1) == Approx(80 * kMs));
  ewma.answered(5ms, kStart + 1001ms);
  CHECK(ewma.estimate_ns(kStart + 1001ms, 1) > 79 * kMs);
  ewma.answered(5ms, kStart + 11s);
  CHECK(ewma.estimate_ns(kStart + 11s, 1) == Approx((5 + 75 / 2.718) * kMs).epsilon(0.01));
}

TEST_CASE("out of use an expectation falls by time, but no faster than others serve requests instead") {
  const PeakEwma ewma = known();
  CHECK(ewma.estimate_ns(kStart + 10s, 10'000) == Approx(5 * kMs / 2.718).epsilon(0.01));
  CHECK(ewma.estimate_ns(kStart + 1000s, 200) == Approx(5 * kMs / 2.718).epsilon(0.01));
  CHECK(ewma.estimate_ns(kStart + 1000s, 0) == Approx(5 * kMs));
}

TEST_CASE("what is sent makes an expectation that had fallen whole again") {
  PeakEwma ewma = known();
  REQUIRE(ewma.estimate_ns(kStart + 30s, 10'000) < kMs);
  ewma.asked(kStart + 30s, 10'000);
  CHECK(ewma.estimate_ns(kStart + 30s, 10'000) == Approx(5 * kMs));
}

TEST_CASE("failures in a row double the expectation, and a success ends that") {
  PeakEwma ewma = known();
  for (const double expected : {10.0, 20.0, 40.0}) {
    ewma.failed(1ms, kStart);
    CHECK(ewma.estimate_ns(kStart, 0) == Approx(expected * kMs));
  }
  ewma.answered(5ms, kStart);
  CHECK(ewma.estimate_ns(kStart, 0) == Approx(5 * kMs));
  for (int i = 0; i < 100; ++i) ewma.failed(1ms, kStart);
  CHECK(ewma.estimate_ns(kStart, 0) <= PeakEwma::ceiling_ns);
  ewma.answered();
  CHECK(ewma.estimate_ns(kStart, 0) == Approx(5 * kMs));
}

TEST_CASE("a slow failure is a peak, and a first answer that fails does not make an endpoint the fastest") {
  PeakEwma ewma = known();
  ewma.failed(100ms, kStart);
  CHECK(ewma.estimate_ns(kStart, 0) == Approx(200 * kMs));
  PeakEwma fresh;
  fresh.asked(kStart, 0);
  fresh.failed(1ms, kStart);
  CHECK(fresh.estimate_ns(kStart, 0) == Approx(2 * PeakEwma::failed_first_ns));
}

TEST_CASE("a client that gave up says that it would have taken at least so long") {
  PeakEwma ewma = known();
  ewma.abandoned(2ms, kStart);
  CHECK(ewma.estimate_ns(kStart, 0) == Approx(5 * kMs));
  ewma.abandoned(300ms, kStart);
  CHECK(ewma.estimate_ns(kStart, 0) == Approx(300 * kMs));
}

TEST_CASE("an expectation stays within its floor and its ceiling") {
  PeakEwma ewma;
  ewma.answered(1us, kStart);
  CHECK(ewma.estimate_ns(kStart, 0) == PeakEwma::floor_ns);
  ewma.answered(3600s, kStart);
  CHECK(ewma.estimate_ns(kStart, 0) == PeakEwma::ceiling_ns);
}
