// Under what tickets are kept, how often they are given, and when they are forgotten.
#include "nodeproxy/upstream/ticket_cache.h"

#include <openssl/ssl.h>

#include <catch2/catch.hpp>

namespace weir::upstream {
namespace {

using namespace std::chrono_literals;
const tls::WallTime kNow{1'000'000s};
const LaneKey kKey{"pod", *Ip::parse("10.0.1.1"), *SocketAddress::parse("10.0.2.1:80"),
                   "spiffe://cluster.local/ns/a/sa/b", "pod there"};

tls::Ticket ticket(uint64_t generation = 7, tls::WallTime until = kNow + 1h) {
  static const bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_with_buffers_method()));
  return {bssl::UniquePtr<SSL_SESSION>(SSL_SESSION_new(context.get())), generation, until};
}

bool has(TicketCache& cache, const LaneKey& key = kKey, uint64_t generation = 7, tls::WallTime now = kNow) {
  return cache.take(key, generation, now).session != nullptr;
}

}  // namespace

TEST_CASE("a ticket is given once, the newest first, and as many are kept as may be used at a time") {
  TicketCache cache;
  CHECK_FALSE(has(cache));
  std::vector<SSL_SESSION*> put;
  for (uint32_t i = 0; i < limits::tickets_per_peer + 2; ++i) {
    tls::Ticket one = ticket();
    put.push_back(one.session.get());
    cache.put(kKey, std::move(one));
  }
  CHECK(cache.tickets() == limits::tickets_per_peer);
  for (uint32_t i = 0; i < limits::tickets_per_peer; ++i) {
    CHECK(cache.take(kKey, 7, kNow).session.get() == put.back());
    put.pop_back();
  }
  CHECK_FALSE(has(cache));
  CHECK(cache.peers() == 0);
}

TEST_CASE("a ticket is for the pod, address, destination, identity and Context that it was got by") {
  TicketCache cache;
  cache.put(kKey, ticket());
  LaneKey other = kKey;
  SECTION("another pod") { other.source_uid = "pod of the same account"; }
  SECTION("another of its addresses") { other.source = *Ip::parse("10.0.1.2"); }
  SECTION("another destination") { other.to = *SocketAddress::parse("10.0.2.2:80"); }
  SECTION("another port") { other.to = *SocketAddress::parse("10.0.2.1:81"); }
  SECTION("another identity there") { other.identity = "spiffe://cluster.local/ns/a/sa/c"; }
  SECTION("another pod there") { other.destination_uid = "its successor"; }
  if (!(other == kKey)) CHECK_FALSE(has(cache, other));
  CHECK_FALSE(has(cache, kKey, 8));
  CHECK_FALSE(has(cache, kKey, 6));
  CHECK(has(cache));
}

TEST_CASE("a newer Context's ticket takes the place of an older one's, never the reverse") {
  TicketCache cache;
  cache.put(kKey, ticket(7));
  cache.put(kKey, ticket(8));
  CHECK(cache.tickets() == 1);
  cache.put(kKey, ticket(7));  // a lane that has lived on
  CHECK(cache.tickets() == 1);
  CHECK_FALSE(has(cache, kKey, 7));
  CHECK(has(cache, kKey, 8));
}

TEST_CASE("tickets are forgotten with their pod, their Context and their time") {
  TicketCache cache;
  LaneKey other = kKey;
  other.source_uid = "other";
  cache.put(kKey, ticket(7));
  cache.put(other, ticket(8, kNow + 2h));
  SECTION("pod") {
    cache.drop_source("pod");
    CHECK_FALSE(has(cache));
    CHECK(has(cache, other, 8));
  }
  SECTION("Context") {
    cache.drop_generation(7);
    CHECK_FALSE(has(cache));
    CHECK(has(cache, other, 8));
  }
  SECTION("time, when somebody looks") {
    cache.drop_expired(kNow + 1h - 1s);
    CHECK(cache.tickets() == 2);
    cache.drop_expired(kNow + 1h);
    CHECK(cache.tickets() == 1);
    CHECK(has(cache, other, 8));
  }
  SECTION("time, when it is asked for") {
    CHECK_FALSE(has(cache, kKey, 7, kNow + 1h));
    CHECK(cache.peers() == 1);
  }
}

TEST_CASE("the peers that tickets are kept for are bounded: who has not given one for longest goes") {
  TicketCache cache(2);
  LaneKey second = kKey, third = kKey;
  second.to.port = 81;
  third.to.port = 82;
  cache.put(kKey, ticket());
  cache.put(second, ticket());
  cache.put(kKey, ticket());
  cache.put(third, ticket());
  CHECK(cache.peers() == 2);
  CHECK_FALSE(has(cache, second));
  CHECK(has(cache));
  CHECK(has(cache, third));
}

}  // namespace weir::upstream
