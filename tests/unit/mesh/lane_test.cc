// What a lane does for its sessions when everybody keeps the rules.
#include "nodeproxy/mesh/lane.h"

#include <catch2/catch.hpp>

#include "tests/unit/mesh/harness.h"

namespace weir::mesh::test {

TEST_CASE("a session opens, talks both ways, half-closes and ends") {
  Joined j;
  Holder& client = j.dialler.open("shop/cart");
  client.write("request");
  j.settle();
  Holder& server = j.peer_of(client);
  CHECK(server.info.client.to_string() == "10.0.0.1:4711");
  CHECK(server.info.workload_uid == "uid-1");
  CHECK(server.info.service == "shop/cart");
  CHECK(client.opened);
  CHECK(server.received == "request");

  client.session->fin();
  j.settle();
  CHECK(server.fin);
  CHECK(client.drained == 1);  // FIN is out
  server.write("answer after the half-close");
  j.settle();
  CHECK(client.received == "answer after the half-close");
  CHECK_FALSE(client.session->over());
  server.session->fin();
  j.settle();
  CHECK(client.fin);
  CHECK(client.session->over());
  CHECK(server.session->over());
  CHECK(client.reset == Reason::none);
  CHECK(j.dialler.lane->sessions() == 0);
  CHECK_FALSE(j.dialler.lane->idle());
  client.release();
  CHECK(j.dialler.lane->idle());
  CHECK(j.dialler.idle == 1);
}

TEST_CASE("data written before the acceptor accepts arrives, and the acceptor's follows OPENED") {
  Joined j;
  j.acceptor.accept = false;
  Holder& client = j.dialler.open();
  client.write("early");
  j.settle();
  Holder& server = j.peer_of(client);
  CHECK(server.received == "early");
  server.write("greeting");
  j.settle();
  CHECK(client.received.empty());
  CHECK_FALSE(client.opened);
  server.session->accept_open();
  j.settle();
  CHECK(client.opened);
  CHECK(client.received == "greeting");
}

TEST_CASE("a reset carries its reason and whether another endpoint may be tried") {
  Joined j;
  j.acceptor.accept = false;
  Holder& client = j.dialler.open();
  j.settle();
  Holder& server = j.peer_of(client);
  SECTION("refused before OPENED: retryable") {
    server.session->reset(RstReason::refused);
    j.settle();
    CHECK(client.reset == Reason::refused);
    CHECK(client.retryable);
  }
  SECTION("denied: not") {
    server.session->reset(RstReason::denied);
    j.settle();
    CHECK(client.reset == Reason::denied);
    CHECK_FALSE(client.retryable);
  }
  SECTION("after OPENED nothing is retryable") {
    server.session->accept_open();
    server.session->reset(RstReason::overloaded);
    j.settle();
    CHECK(client.reset == Reason::overloaded);
    CHECK_FALSE(client.retryable);
  }
  SECTION("from the dialler") {
    client.session->reset(RstReason::reset);
    j.settle();
    CHECK(server.reset == Reason::client_reset);
  }
  CHECK(client.session->over());
  CHECK(server.session->over());
  server.write("into the void");  // ignored
  client.session->fin();
  j.settle();
}

TEST_CASE("a session that is given back while live is reset, one that is finished flushes first") {
  Joined j;
  Holder& client = j.dialler.open();
  j.settle();
  Holder& server = j.peer_of(client);
  SECTION("live") {
    client.release();
    j.settle();
    CHECK(server.reset == Reason::client_closed);
  }
  SECTION("finished in both directions, with bytes still queued") {
    server.session->fin();
    j.settle();
    const std::string text(50000, 'x');
    client.write(text);
    client.session->fin();
    client.release();
    CHECK_FALSE(j.dialler.lane->idle());
    j.settle();
    CHECK((server.received == text));
    CHECK(server.fin);
    CHECK(server.reset == Reason::none);
    CHECK(j.dialler.lane->idle());
  }
}

TEST_CASE("a stalled reader stalls its own session only, in bounded memory") {
  Joined j;
  Holder& stalled = j.dialler.open();
  Holder& other = j.dialler.open();
  j.settle();
  j.peer_of(stalled).auto_consume = false;
  for (int i = 0; i < 100; ++i) stalled.write(std::string(10000, 's'));
  j.settle();
  CHECK(j.peer_of(stalled).received.size() == limits::session_window_initial_bytes);
  CHECK(stalled.session->queued_bytes() == 1000000 - limits::session_window_initial_bytes);
  for (int i = 0; i < 100; ++i) {
    other.write(std::string(10000, 'o'));
    j.settle();
  }
  CHECK(j.peer_of(other).received.size() == 1000000);
  CHECK(j.peer_of(stalled).received.size() == limits::session_window_initial_bytes);

  Holder& reader = j.peer_of(stalled);  // wakes up
  reader.auto_consume = true;
  reader.session->consumed(reader.received.size());
  j.settle();
  CHECK(reader.received.size() == 1000000);
}

TEST_CASE("a window grows while it limits a reader that keeps up, to its most, out of the budget") {
  Budget budget;
  budget.limit_bytes = 512 * 1024;
  LaneOptions options;
  options.budget = GENERATE(true, false) ? &budget : nullptr;
  Joined j({}, options);
  Holder& client = j.dialler.open();
  j.settle();
  CHECK(budget.used_bytes == (options.budget ? 64 * 1024 : 0));
  for (int i = 0; i < 10; ++i) {
    for (int n = 0; n < 20; ++n) client.write(std::string(100000, 'x'));
    std::vector<std::byte> flight;  // all that goes before an answer can come: a link with latency
    while (j.dialler.lane->wants_output()) {
      const auto out = j.dialler.output();
      flight.insert(flight.end(), out.begin(), out.end());
    }
    REQUIRE(j.acceptor.lane->consume(flight));
    j.settle();
  }
  Holder& server = j.peer_of(client);
  CHECK(server.received.size() == 20000000);
  server.auto_consume = false;
  const size_t before = server.received.size();
  for (int i = 0; i < 20; ++i) client.write(std::string(100000, 'x'));
  j.settle();
  const size_t window = server.received.size() - before;
  // Half of the budget is for windows that begin.
  const size_t most = options.budget ? 256 * 1024 : limits::session_window_max_bytes;
  CHECK(window <= most);
  CHECK(window > most / 2);
  client.release();
  j.settle();
  CHECK(budget.used_bytes == 0);
}

TEST_CASE("an OPEN beyond a budget or the most sessions is refused as overloaded") {
  Budget budget, ample;
  LaneOptions options;
  options.budget = options.peer_budget = &ample;
  bool by_budget = true;
  SECTION("budget of the pod") { options.budget = &budget; }
  SECTION("budget of the peer") { options.peer_budget = &budget; }
  budget.limit_bytes = 3 * 64 * 1024;
  SECTION("sessions") {
    options.settings.sessions_max = 3;
    options.budget = nullptr;
    by_budget = false;
  }
  Joined j({}, options);
  for (int i = 0; i < 4; ++i) j.dialler.open();  // before the peer's SETTINGS
  j.settle();
  CHECK(j.dialler.held.at(3)->opened);
  CHECK(j.dialler.held.at(4)->reset == Reason::overloaded);
  CHECK(j.dialler.held.at(4)->retryable);
  CHECK(j.acceptor.lane->sessions() == 3);
  CHECK(j.acceptor.refused == (by_budget ? 1 : 0));
  CHECK(ample.used_bytes == 3 * 64 * 1024);  // of neither when one has no room
  if (!by_budget) {
    Holder holder;
    CHECK_FALSE(j.dialler.lane->can_open());
    CHECK(j.dialler.lane->open({}, holder).error().reason == Reason::overloaded);
  }
}

TEST_CASE("GOAWAY lets open sessions finish and sends later ones elsewhere") {
  Joined j;
  Holder& old = j.dialler.open();
  j.settle();
  j.acceptor.lane->goaway(RstReason::draining);
  Holder& late = j.dialler.open();  // crosses the GOAWAY
  j.settle();
  CHECK(late.reset == Reason::draining);
  CHECK(late.retryable);
  REQUIRE(j.dialler.goaways.size() == 1);
  CHECK(j.dialler.goaways[0].last_session == 1);
  CHECK_FALSE(j.dialler.lane->can_open());
  Holder none;
  CHECK(j.dialler.lane->open({}, none).error().reason == Reason::draining);
  old.write("still here");
  j.settle();
  CHECK(j.peer_of(old).received == "still here");
}

TEST_CASE("the end of the connection resets every session") {
  Joined j;
  Holder& opened = j.dialler.open();
  j.settle();
  Holder& fresh = j.dialler.open();
  j.dialler.lane->fail({Source::peer, Reason::peer_lost, 0, {}});
  CHECK(opened.reset == Reason::peer_lost);
  CHECK_FALSE(opened.retryable);
  CHECK(fresh.reset == Reason::peer_lost);
  CHECK(fresh.retryable);
  CHECK_FALSE(j.dialler.lane->wants_output());
  CHECK(j.dialler.lane->open({}, fresh).error().reason == Reason::peer_lost);
  CHECK(j.dialler.lane->consume(bytes_of("x")).error().reason == Reason::peer_lost);
}

TEST_CASE("a ping is answered with its token") {
  Joined j;
  j.dialler.lane->ping(0x1122334455667788);
  j.acceptor.lane->ping(7);
  j.settle();
  CHECK(j.dialler.pongs == std::vector<uint64_t>{0x1122334455667788});
  CHECK(j.acceptor.pongs == std::vector<uint64_t>{7});
}

TEST_CASE("a larger initial window of the peer counts for sessions opened before it was known") {
  LaneOptions options;
  options.settings.initial_window_bytes = 200000;
  Joined j({}, options);
  Holder& client = j.dialler.open();
  for (int i = 0; i < 3; ++i) client.write(std::string(100000, 'x'));
  const auto first = j.dialler.output(1 << 20);
  CHECK(first.size() < 70000);  // the default until the peer has spoken
  j.acceptor.accept = true;
  REQUIRE(j.dialler.lane->consume(j.acceptor.output()));
  REQUIRE(j.acceptor.lane->consume(first));
  Holder& server = j.peer_of(client);
  server.session->set_events(nullptr);  // a reader that does not read
  REQUIRE(j.acceptor.lane->consume(j.dialler.output(1 << 20)));
  CHECK(server.session->unconsumed_bytes() + server.received.size() == 200000);
}

TEST_CASE("events may release their own and other sessions") {
  struct Releasing : Holder {
    Holder* other = nullptr;
    void on_data(std::span<const std::byte>) override {
      other->release();
      release();
    }
    void on_reset(Reason, bool) override {
      if (other) other->release();
      release();
    }
  };
  Joined j;
  Holder& a = j.dialler.open();
  Holder& b = j.dialler.open();
  j.settle();
  Releasing releasing;
  releasing.session = std::exchange(j.peer_of(a).session, nullptr);
  releasing.session->set_events(&releasing);
  releasing.other = &j.peer_of(b);
  SECTION("in on_data") {
    a.write(std::string(40000, 'x'));
    b.write("y");
    j.settle();
    CHECK(a.reset == Reason::cancelled);
    CHECK(b.reset == Reason::cancelled);
  }
  SECTION("in on_reset, when the lane ends") {
    j.acceptor.lane->fail({Source::peer, Reason::peer_lost, 0, {}});
  }
  CHECK(j.acceptor.lane->idle());
}

TEST_CASE("a session and a lane are small at rest") {
  CHECK(sizeof(Session) <= 200);
  CHECK(sizeof(Lane) <= 640);
}

}  // namespace weir::mesh::test
