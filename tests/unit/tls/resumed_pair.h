#pragma once
// Two parties that meet more than once: each with its Context, the chains that it remembers, a clock of the test's, and,
// for the dialler, the tickets that it was given.
// Owner: the tests of tls/. Thread: one.
#include <utility>
#include <vector>

#include "tests/unit/tls/pair.h"

namespace weir::tls::test {

// Two clocks that only the test moves, ahead of the real one: a Clock is a function, so they are nobody's members.
inline std::chrono::seconds client_ahead{0}, server_ahead{0};
inline WallTime client_clock() { return std::chrono::system_clock::now() + client_ahead; }
inline WallTime server_clock() { return std::chrono::system_clock::now() + server_ahead; }

struct Meetings final : TicketEvents {
  std::shared_ptr<const Context> dialler, acceptor;
  VerifiedChains dialler_chains{64, client_clock}, acceptor_chains{64, server_clock};
  std::vector<Ticket> tickets;

  Meetings(std::shared_ptr<const Context> from, std::shared_ptr<const Context> to)
      : dialler(std::move(from)), acceptor(std::move(to)) {
    client_ahead = server_ahead = std::chrono::seconds(0);
  }
  void on_ticket(Ticket ticket) override { tickets.push_back(std::move(ticket)); }
  void both_pass(std::chrono::seconds by) {
    client_ahead += by;
    server_ahead += by;
  }

  Ticket take() {
    if (tickets.empty()) return {};
    Ticket newest = std::move(tickets.back());
    tickets.pop_back();
    return newest;
  }
  // Begun: the dialler offers its newest ticket, if it has one.
  Pair begin(const SpiffeId& expected) {
    return {*Session::dial(dialler, expected, &dialler_chains, {.offered = take(), .events = this}),
            *Session::accept(acceptor, &acceptor_chains)};
  }
  Pair begin() { return begin(acceptor->identity()); }
  Pair meet() {
    Pair pair = begin();
    pair.handshake();
    return pair;
  }
};

inline bool done(const Pair& pair) {
  return pair.client_state && pair.server_state && *pair.client_state == HandshakeState::done &&
         *pair.server_state == HandshakeState::done;
}
// Both sides say the same.
inline bool resumed(const Pair& pair) {
  REQUIRE(done(pair));
  REQUIRE(pair.client->resumed() == pair.server->resumed());
  return pair.client->resumed();
}

}  // namespace weir::tls::test
