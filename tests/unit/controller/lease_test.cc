// The Lease with a clock and an API server of the test's own.
#include "agent/controller/lease.h"

#include <nlohmann/json.hpp>

#include "tests/unit/controller/fake_api.h"

using namespace weir;
using namespace weir::agent;
using namespace weir::agent::controller;
using Json = nlohmann::json;
using std::chrono::seconds;

namespace {

// One Lease object with optimistic locking, as the API server keeps it.
struct Cluster {
  Json lease;  // null: there is none
  int version = 0;
  bool down = false;

  Result<kube::Answer> answer(const FakeApi::Asked& asked) {
    if (down) return fail(Source::agent, Reason::refused, "down");
    if (asked.method == "GET")
      return lease.is_null() ? kube::Answer{404, ""} : kube::Answer{200, lease.dump()};
    Json wanted = Json::parse(asked.body);
    if (asked.method == "POST" && !lease.is_null()) return kube::Answer{409, ""};
    if (asked.method == "PUT" &&
        wanted["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"])
      return kube::Answer{409, ""};
    wanted["metadata"]["resourceVersion"] = std::to_string(++version);
    lease = std::move(wanted);
    return kube::Answer{asked.method == "POST" ? 201 : 200, lease.dump()};
  }
};

struct Replica {
  FakeApi api;
  int changes = 0;
  Lease lease;

  Replica(Cluster& cluster, std::string name)
      : lease(
            {.holder = std::move(name)}, api.ask(), [] { return std::string("2026-01-01T00:00:00.000000Z"); },
            [this](bool) { ++changes; }) {
    api.answer = [&cluster](const FakeApi::Asked& asked) { return cluster.answer(asked); };
  }
};

}  // namespace

TEST_CASE("of two replicas one leads, and the other takes over when the Lease has not changed for 15 s") {
  Cluster cluster;
  Replica a(cluster, "a"), b(cluster, "b");
  Lease::Clock::time_point now{std::chrono::hours(1)};
  for (int i = 0; i < 20; ++i, now += seconds(2)) {
    a.lease.tick(now);
    b.lease.tick(now);
    CHECK(a.lease.leads());
    CHECK_FALSE(b.lease.leads());
  }
  // `a` is gone without a word; its last renewal was 2 s before `now`.
  auto waited = seconds(0);
  for (; !b.lease.leads() && waited < seconds(60); waited += seconds(1)) b.lease.tick(now + waited);
  CHECK(waited >= seconds(13));
  CHECK(waited <= seconds(16));
  CHECK(cluster.lease["spec"]["leaseTransitions"] == 1);
  // Back again, it finds that it does not lead.
  a.lease.tick(now + waited);
  CHECK_FALSE(a.lease.leads());
}

TEST_CASE("a leader that cannot renew stops leading after 10 s, before anybody else may begin") {
  Cluster cluster;
  Replica a(cluster, "a");
  Lease::Clock::time_point now{std::chrono::hours(1)};
  a.lease.tick(now);
  REQUIRE(a.lease.leads());
  cluster.down = true;
  a.lease.tick(now + seconds(9));
  CHECK(a.lease.leads());
  a.lease.tick(now + seconds(10));
  CHECK_FALSE(a.lease.leads());
  CHECK(a.changes == 2);
  cluster.down = false;
  a.lease.tick(now + seconds(12));
  CHECK(a.lease.leads());
}

TEST_CASE("a Lease that is given back is taken at once, and not taken back by who gave it") {
  Cluster cluster;
  Replica a(cluster, "a"), b(cluster, "b");
  const Lease::Clock::time_point now{std::chrono::hours(1)};
  a.lease.tick(now);
  b.lease.tick(now);
  bool done = false;
  a.lease.release([&] { done = true; });
  CHECK(done);
  CHECK_FALSE(a.lease.leads());
  CHECK(cluster.lease["spec"]["holderIdentity"] == "");
  a.lease.tick(now + seconds(1));
  CHECK_FALSE(a.lease.leads());
  b.lease.tick(now + seconds(2));
  CHECK(b.lease.leads());
}
