// Which exchanges share a connection, how long one is kept, and who waits for room. On the simulated network, in
// plaintext: what a lane adds to a key is the same comparison.
#include "nodeproxy/upstream/http_pool.h"

#include <catch2/catch.hpp>
#include <vector>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/io/sim.h"

namespace weir::upstream {
namespace {

using namespace std::chrono_literals;

const SocketAddress kOne = *SocketAddress::parse("10.0.9.1:8080");
const SocketAddress kTwo = *SocketAddress::parse("10.0.9.2:8080");
constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct Silent final : LanePoolEvents {
  void on_handshake(const Status&, bool) override {}
  void on_lane_opened() override {}
  void on_lane_closed(Reason) override {}
  void on_session_opened() override {}
};

// A pool of one worker, and two servers that answer whatever looks like the end of a request.
struct Pooled {
  io::SimWorld world{7};
  io::SimDriver& driver = world.add_driver(0);
  net::PortRanges ports{0, 1, 1};
  Silent events;
  net::Shares shares{driver};
  tls::VerifiedChains chains;
  LanePool lanes{driver, events, ports, shares, chains};
  HttpPool pool{driver, lanes, ports};
  io::Scope scope{driver};
  std::vector<io::SimApp*> accepted;
  http::Head head;

  Pooled() {
    for (const SocketAddress& at : {kOne, kTwo}) {
      world.listen_app(at, 1).on_accept = [this](io::SimApp& app) {
        accepted.push_back(&app);
        app.on_change = [](io::SimApp& self) {
          if (!self.received().ends_with("\r\n\r\n")) return;
          self.take_received();
          self.send(kOk);
        };
      };
    }
    head.method = "GET";
    head.scheme = "http";
    head.authority = "s";
    head.path = "/";
  }
  ~Pooled() {
    scope.cancel();
    pool.close_all(Reason::draining);
    world.run_until([&] { return scope.empty() && pool.empty(); });
    CHECK(pool.empty());
    for (io::SimApp* app : accepted) app->close();
    world.run_until_idle();
    for (const std::string& what : world.audit()) FAIL_CHECK(what);
  }

  HttpKey key(const SocketAddress& to = kOne, const char* uid = "pod") const {
    HttpKey key;
    key.peer = {uid, *Ip::parse("10.0.0.1"), to, "", ""};
    return key;
  }
  HttpPool::Want want(const HttpKey& key) const {
    HttpPool::Want want;
    want.key = key;
    want.client = *SocketAddress::parse("10.0.0.1:40000");
    want.service = "shop/web";
    return want;
  }
  template <typename T>
  static io::Task<void> keep(io::Task<T> task, std::shared_ptr<std::optional<T>> kept) {
    *kept = co_await std::move(task);
  }
  template <typename T>
  std::shared_ptr<std::optional<T>> start(io::Task<T> task) {
    auto kept = std::make_shared<std::optional<T>>();
    scope.spawn(keep(std::move(task), kept));
    return kept;
  }
  template <typename T>
  T run(io::Task<T> task) {
    const auto kept = start(std::move(task));
    REQUIRE(world.run_until([&] { return kept->has_value(); }));
    return std::move(**kept);
  }
  HttpLease lease(HttpPool::Want want) {
    auto leased = run(pool.lease(std::move(want)));
    if (!leased) FAIL(leased.error().describe());
    return std::move(*leased);
  }
  HttpLease lease(const HttpKey& key) { return lease(want(key)); }
  // A whole exchange, and the place on the connection given back.
  void ask(HttpLease lease) {
    http::Piece piece;
    piece.head = &head;
    piece.end = true;
    REQUIRE(run(lease.stream().write(std::move(piece), io::kNever)));
    const auto got = run(lease.stream().read(io::kNever));
    REQUIRE(got);
    REQUIRE(got->end);
  }
  void settle() { world.run_for(1s); }
};

TEST_CASE("a connection that is given back in order is used again") {
  Pooled test;
  auto first = test.lease(test.key());
  CHECK(!first.reused());
  test.ask(std::move(first));
  auto second = test.lease(test.key());
  CHECK(second.reused());
  test.ask(std::move(second));
  CHECK(test.accepted.size() == 1);
  CHECK(test.pool.connections(false) == 1);
}

TEST_CASE("as many connections as the service wants are warm before they are needed") {
  Pooled test;
  HttpPool::Want want = test.want(test.key());
  want.settings.warm = 2;
  auto first = test.lease(std::move(want));
  test.settle();
  CHECK(test.accepted.size() == 3);  // the one in use, and two that wait
  HttpPool::Want again = test.want(test.key());
  again.settings.warm = 2;
  auto second = test.lease(std::move(again));
  CHECK(!second.reused());
  CHECK(test.accepted.size() == 3);
  test.settle();
  CHECK(test.accepted.size() == 4);
}

TEST_CASE("a connection that is there is had at once, unless others are to be kept warm beside it") {
  Pooled test;
  const HttpKey key = test.key();
  config::PoolSettings settings;
  CHECK(!test.pool.reuse(view_of(key), false, settings));
  test.ask(test.lease(key));
  CHECK(!test.pool.reuse(view_of(key), true, settings));  // it was used before
  auto again = test.pool.reuse(view_of(key), false, settings);
  REQUIRE(again);
  CHECK(again->reused());
  CHECK(!test.pool.reuse(view_of(key), false, settings));  // it is in use
  test.ask(std::move(*again));
  settings.warm = 1;
  CHECK(!test.pool.reuse(view_of(key), false, settings));
  CHECK(test.accepted.size() == 1);
}

TEST_CASE("a connection of HTTP/1.1 carries one exchange at a time") {
  Pooled test;
  auto first = test.lease(test.key());
  CHECK(!test.pool.has_room(test.key(), false));
  auto second = test.lease(test.key());
  CHECK(test.pool.connections(false) == 2);
  test.ask(std::move(first));
  test.ask(std::move(second));
}

TEST_CASE("a connection of HTTP/2 carries many exchanges at a time, and its limit makes another") {
  Pooled test;
  HttpKey key = test.key();
  key.h2 = true;
  std::vector<HttpLease> leases;
  for (uint32_t i = 0; i < limits::h2_streams_max; ++i) leases.push_back(test.lease(key));
  CHECK(test.pool.connections(true) == 1);
  CHECK(!test.pool.has_room(key, false));
  leases.push_back(test.lease(key));
  CHECK(test.pool.connections(true) == 2);
  leases.clear();
  CHECK(test.pool.has_room(key, false));
}

TEST_CASE("of several connections of HTTP/2 the one with the fewest exchanges is next") {
  Pooled test;
  HttpKey key = test.key();
  key.h2 = true;
  std::vector<HttpLease> leases;
  for (uint32_t i = 0; i < limits::h2_streams_max + 1; ++i) leases.push_back(test.lease(key));
  leases.erase(leases.begin(), leases.begin() + 40);  // 60 are left on the first, 1 is on the second
  REQUIRE(leases.back().unshared());
  const auto next = test.lease(key);
  CHECK(!leases.back().unshared());
}

TEST_CASE(
    "nothing is shared across pods, addresses, endpoints, identities, generations, bundles, ways or "
    "versions") {
  Pooled test;
  test.ask(test.lease(test.key()));
  REQUIRE(test.pool.has_room(test.key(), false));
  std::vector<HttpKey> others(9, test.key());
  others[0].peer.source_uid = "other";
  others[1].peer.source = *Ip::parse("10.0.0.2");
  others[2].peer.to = kTwo;
  others[3].peer.identity = "spiffe://cluster.local/ns/shop/sa/web";
  others[4].generation = 1;
  others[5].trust_version = 1;
  others[6].way = Way::local;
  others[7].h2 = true;
  others[8].peer.destination_uid = "web-2";
  for (size_t i = 0; i < others.size(); ++i) {
    INFO(i);
    CHECK(!test.pool.has_room(others[i], false));
  }
}

TEST_CASE("after a stale connection one is asked for that was never used") {
  Pooled test;
  test.ask(test.lease(test.key()));
  CHECK(!test.pool.has_room(test.key(), true));
  auto want = test.want(test.key());
  want.fresh = true;
  auto lease = test.lease(std::move(want));
  CHECK(!lease.reused());
  test.ask(std::move(lease));
  CHECK(test.accepted.size() == 2);
}

TEST_CASE("a connection that its server has closed is not given out") {
  Pooled test;
  test.ask(test.lease(test.key()));
  test.accepted[0]->close();
  test.settle();
  CHECK(test.pool.empty());
  auto lease = test.lease(test.key());
  CHECK(!lease.reused());
  test.ask(std::move(lease));
}

TEST_CASE("an idle connection goes after the service's time, one that is used does not") {
  Pooled test;
  auto want = test.want(test.key());
  want.settings.idle = 10s;
  auto held = test.lease(std::move(want));
  test.world.run_for(30s);
  test.pool.sweep();
  CHECK(test.pool.connections(false) == 1);
  test.ask(std::move(held));
  test.world.run_for(9s);
  test.pool.sweep();
  CHECK(test.pool.has_room(test.key(), false));
  test.world.run_for(2s);
  test.pool.sweep();
  CHECK(!test.pool.has_room(test.key(), false));
  test.world.run_for(5s);
  CHECK(test.pool.empty());
  CHECK(test.accepted[0]->saw_fin());
}

TEST_CASE("an old connection takes no more, and ends behind its exchange") {
  Pooled test;
  auto want = test.want(test.key());
  want.settings.age = 10s;
  test.ask(test.lease(std::move(want)));
  auto held = test.lease(test.key());
  test.world.run_for(11s);
  test.pool.sweep();
  CHECK(test.pool.connections(false) == 1);
  test.ask(std::move(held));
  CHECK(!test.pool.has_room(test.key(), false));
  test.world.run_for(5s);
  CHECK(test.pool.empty());
}

TEST_CASE("a connection is retired after so many requests as its service allows") {
  Pooled test;
  for (int i = 0; i < 5; ++i) {
    auto want = test.want(test.key());
    want.settings.requests_per_connection_max = 2;
    test.ask(test.lease(std::move(want)));
  }
  CHECK(test.accepted.size() == 3);
}

TEST_CASE("a pod that goes takes its connections along and nobody else's") {
  Pooled test;
  test.ask(test.lease(test.key()));
  test.ask(test.lease(test.key(kOne, "other")));
  CHECK(test.pool.has_source("pod"));
  test.pool.drop_source("pod", Reason::pod_removed);
  test.settle();
  CHECK(!test.pool.has_source("pod"));
  CHECK(test.pool.has_source("other"));
  CHECK(test.accepted[0]->saw_reset());
  CHECK(!test.accepted[1]->saw_reset());
}

TEST_CASE("a pod that goes ends the exchange that holds a connection") {
  Pooled test;
  auto held = test.lease(test.key());
  const auto reading = test.start(held.stream().read(io::kNever));
  test.settle();
  test.pool.drop_source("pod", Reason::pod_removed);
  test.settle();
  REQUIRE(reading->has_value());
  CHECK(!**reading);
  held.release();
  test.settle();
  CHECK(test.pool.empty());
}

TEST_CASE("a permit is held as long as the connection that was made with it") {
  Pooled test;
  uint32_t count = 1;
  auto want = test.want(test.key());
  want.permit = Permit(count);
  test.ask(test.lease(std::move(want)));
  CHECK(count == 1);
  test.pool.drain();
  test.world.run_for(5s);
  CHECK(count == 0);
}

TEST_CASE("a dial that fails gives the permit back and is told") {
  Pooled test;
  uint32_t count = 1;
  auto want = test.want(test.key(*SocketAddress::parse("10.0.9.3:8080")));
  want.permit = Permit(count);
  const auto leased = test.run(test.pool.lease(std::move(want)));
  REQUIRE(!leased);
  CHECK(leased.error().reason == Reason::refused);
  CHECK(count == 0);
  CHECK(test.pool.empty());
}

TEST_CASE(
    "those who wait for room are woken one at a time, the first first, and by their own service alone") {
  Pooled test;
  auto held = test.lease(test.key());
  const auto other = test.start(test.pool.wait_for_room("shop/other", io::kNever));
  const auto first = test.start(test.pool.wait_for_room("shop/web", io::kNever));
  const auto second = test.start(test.pool.wait_for_room("shop/web", io::kNever));
  test.settle();
  CHECK(!first->has_value());
  test.ask(std::move(held));
  test.settle();
  CHECK(first->has_value());
  CHECK(!second->has_value());
  test.ask(test.lease(test.key()));
  test.settle();
  CHECK(second->has_value());
  CHECK(!other->has_value());
}

TEST_CASE("who waits for room waits until its deadline") {
  Pooled test;
  const auto waited = test.run(test.pool.wait_for_room("shop/web", test.driver.now() + 3s));
  REQUIRE(!waited);
  CHECK(waited.error().reason == Reason::detect_timeout);
}

TEST_CASE("a connection that ends makes room too") {
  Pooled test;
  auto held = test.lease(test.key());
  const auto waiting = test.start(test.pool.wait_for_room("shop/web", io::kNever));
  test.settle();
  held.release();
  test.settle();
  CHECK(waiting->has_value());
}

TEST_CASE("a draining pool makes no connection and keeps none") {
  Pooled test;
  test.ask(test.lease(test.key()));
  auto held = test.lease(test.key());
  test.pool.drain();
  const auto refused = test.run(test.pool.lease(test.want(test.key(kTwo))));
  REQUIRE(!refused);
  CHECK(refused.error().reason == Reason::draining);
  test.ask(std::move(held));
  test.world.run_for(5s);
  CHECK(test.pool.empty());
}

}  // namespace
}  // namespace weir::upstream
