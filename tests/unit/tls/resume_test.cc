// Resumption: what a ticket is good for, what it is not, and that everything is judged again (mesh-protocol.md; RFC 8446
// 2.2, 4.2.9–4.2.11, 4.6.1). The whole matrix, with pods and policies, is in sim/resumption_test.cc.
#include <catch2/catch.hpp>
#include <set>

#include "nodeproxy/tls/ticket_key.h"
#include "nodeproxy/tls/traffic_key.h"
#include "tests/unit/tls/raw_peer.h"
#include "tests/unit/tls/resumed_pair.h"

namespace weir::tls::test {
namespace {

using namespace std::chrono_literals;
constexpr auto kCart = "spiffe://cluster.local/ns/shop/sa/cart";
constexpr auto kDb = "spiffe://cluster.local/ns/data/sa/db";
constexpr auto kOther = "spiffe://cluster.local/ns/data/sa/other";

Meetings cart_and_db(const Authority& authority, long to_seconds = 7200) {
  return {good_context(authority, kCart, to_seconds), good_context(authority, kDb, to_seconds)};
}

// Types of the extensions of a ClientHello as it lies in its record (RFC 8446 4.1.2).
std::vector<std::pair<int, std::string>> extensions(std::span<const std::byte> wire) {
  const auto at = [&](size_t i) { return std::to_integer<size_t>(wire[i]); };
  size_t i = 5 + 4 + 2 + 32;
  i += 1 + at(i);                     // session id
  i += 2 + (at(i) << 8 | at(i + 1));  // suites
  i += 1 + at(i);                     // compression
  const size_t end = i + 2 + (at(i) << 8 | at(i + 1));
  std::vector<std::pair<int, std::string>> found;
  for (i += 2; i < end;) {
    const size_t length = at(i + 2) << 8 | at(i + 3);
    found.emplace_back(static_cast<int>(at(i) << 8 | at(i + 1)),
                       std::string(reinterpret_cast<const char*>(&wire[i + 4]), length));
    i += 4 + length;
  }
  return found;
}

// A leaf of the default identity under so many intermediates, and they.
std::vector<std::string> chain_of(const Authority& root, int intermediates, EVP_PKEY* key) {
  std::vector<std::unique_ptr<Authority>> middle;
  std::vector<std::string> chain;
  for (int i = 0; i < intermediates; ++i) {
    const Authority& parent = middle.empty() ? root : *middle.back();
    middle.push_back(std::make_unique<Authority>("middle " + std::to_string(i), parent));
    chain.insert(chain.begin(), middle.back()->der());
  }
  chain.insert(chain.begin(), (middle.empty() ? root : *middle.back()).sign({}, key));
  return chain;
}

// A peer of BoringSSL's, and what a handshake message in a record of its own does to our session.
Result<std::string> after_message(bool peer_dials, TicketEvents* keeps, const std::string& message,
                                  int intermediates = 0) {
  const Authority root("root");
  const auto key = make_key(KeyKind::p256);
  const auto context = good_context(root, kDb);
  const auto ours = peer_dials
                        ? *Session::accept(context)
                        : *Session::dial(context, id(kCart), nullptr, {.offered = {}, .events = keeps});
  RawPeer peer(key.get(), chain_of(root, intermediates, key.get()), peer_dials);
  REQUIRE(peer.connect(*ours));
  bssl::Span<const uint8_t> reads, writes;
  REQUIRE(bssl::SSL_get_traffic_secrets(peer.ssl(), &reads, &writes));
  auto sealer = TrafficKey::make(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(peer.ssl())),
                                 {writes.data(), writes.size()}, SSL_get_write_sequence(peer.ssl()));
  REQUIRE(sealer);
  std::vector<std::byte> wire;
  for (const auto& [type, text] : {std::pair(22, message), std::pair(23, std::string("data"))}) {
    std::vector<uint8_t> record(text.size() + kRecordOverheadBytes);
    const std::span<const std::byte> piece = bytes_of(text);
    REQUIRE(sealer->seal(static_cast<uint8_t>(type), {&piece, 1}, record));
    const auto bytes = std::as_bytes(std::span(record));
    wire.insert(wire.end(), bytes.begin(), bytes.end());
  }
  return receive(*ours, wire);
}

}  // namespace

TEST_CASE("a session is resumed with the ticket of the one before, which brings the next") {
  const Authority authority("root");
  Meetings meetings = cart_and_db(authority);
  for (int i = 0; i < 4; ++i) {
    CAPTURE(i);
    Pair pair = meetings.meet();
    CHECK(resumed(pair) == (i > 0));
    CHECK(pair.client->peer_identity().uri() == kDb);
    CHECK(pair.server->peer_identity().uri() == kCart);
    CHECK(pair.client->peer_not_after() == meetings.acceptor->not_after());
    CHECK(pair.server->peer_not_after() == meetings.dialler->not_after());
    CHECK(meetings.tickets.size() == 1);
    REQUIRE(pair.client->write(bytes_of("hello")));
    CHECK(receive(*pair.server, drain(*pair.client)).value() == "hello");
    REQUIRE(pair.server->write(bytes_of("well met")));
    CHECK(receive(*pair.client, drain(*pair.server)).value() == "well met");
  }
  CHECK(meetings.dialler_chains.followed() == 1);  // all that was known before was not followed again
  CHECK(meetings.acceptor_chains.followed() == 1);
}

TEST_CASE("what is offered is a key exchange beside the ticket, and no early data") {
  const Authority authority("root");
  Meetings meetings = cart_and_db(authority);
  const bool again = GENERATE(false, true);
  if (again) meetings.meet();
  Pair pair = meetings.begin();
  REQUIRE(pair.client->handshake());
  std::set<int> types;
  for (const auto& [type, body] : extensions(pair.client->output())) {
    types.insert(type);
    if (type == 45) CHECK(body == "\x01\x01");  // psk_key_exchange_modes: psk_dhe_ke alone
  }
  CHECK(types.contains(41) == again);  // pre_shared_key
  CHECK(types.contains(45));
  CHECK(types.contains(51));        // key_share
  CHECK_FALSE(types.contains(42));  // early_data
}

TEST_CASE("a ticket that the acceptor does not know leads to a full handshake, which simply works") {
  const Authority authority("root"), next("next");
  Meetings meetings = cart_and_db(authority);
  meetings.meet();
  SECTION("its certificate was renewed") { meetings.acceptor = good_context(authority, kDb, 7200); }
  SECTION("the same certificate under another bundle") {
    const Certified made = authority.issue({.uris = {kDb}, .to_seconds = 7200});
    const auto made_of = [&](Trust trust) {
      return *Context::make(id(kDb), made.key, {made.der}, *Bundle::make(std::move(trust)));
    };
    meetings.acceptor = made_of(authority.trust());
    meetings.tickets.clear();
    meetings.meet();
    REQUIRE(resumed(meetings.meet()));  // the control
    Trust both = authority.trust("cluster.local", 1);
    both.roots.push_back(next.der());
    meetings.acceptor = made_of(both);
  }
  SECTION("its clock says that the ticket is too old") { server_ahead = 1h + 1s; }
  SECTION("its clock was set back to before the ticket") { server_ahead = -70s; }
  Pair pair = meetings.meet();
  CHECK_FALSE(resumed(pair));
  CHECK(pair.server->peer_identity().uri() == kCart);
  CHECK(resumed(meetings.meet()));
}

TEST_CASE(
    "a ticket is offered by the Context that got it, to whom it is from, and while it and its chain last") {
  const Authority authority("root");
  Meetings meetings = cart_and_db(authority, GENERATE(7200, 1800));
  const bool short_chain = meetings.acceptor->not_after() < client_clock() + 1h;
  meetings.meet();
  CHECK(meetings.tickets.at(0).until <= client_clock() + 1h);
  CHECK(meetings.tickets.at(0).until <= meetings.acceptor->not_after());
  const auto offers = [&](const SpiffeId& expected) {
    Pair pair = meetings.begin(expected);
    REQUIRE(pair.client->handshake());
    for (const auto& [type, body] : extensions(pair.client->output()))
      if (type == 41) return true;
    return false;
  };
  SECTION("as it is") { CHECK(offers(id(kDb))); }
  SECTION("by the same identity with another certificate") {
    meetings.dialler = good_context(authority, kCart, 7200);
    CHECK_FALSE(offers(id(kDb)));
  }
  SECTION("by another identity") {
    meetings.dialler = good_context(authority, kOther, 7200);
    CHECK_FALSE(offers(id(kDb)));
  }
  SECTION("to another identity") { CHECK_FALSE(offers(id(kOther))); }
  SECTION("just before its end") {
    client_ahead = short_chain ? 29min : 59min;
    CHECK(offers(id(kDb)));
  }
  SECTION("at its end") {
    client_ahead = short_chain ? 30min : 60min;
    CHECK_FALSE(offers(id(kDb)));
  }
}

TEST_CASE("a ticket of one identity is worth nothing to another of the same node") {
  const Authority authority("root");
  Meetings meetings = cart_and_db(authority);
  meetings.meet();
  meetings.acceptor = good_context(authority, kOther, 7200);
  Pair pair = meetings.begin(id(kDb));  // who was dialled is not who is there any more
  pair.handshake();
  CHECK(pair.client_state.error() == Error{Source::local, Reason::identity_mismatch});
  CHECK(pair.server_state.error() == Error{Source::peer, Reason::identity_mismatch});
}

TEST_CASE("a ticket does not outlive its client's chain, and what has expired is refused") {
  const Authority authority("root");
  Meetings meetings(good_context(authority, kCart, 600), good_context(authority, kDb, 7200));
  meetings.meet();
  meetings.both_pass(601s);
  CHECK_FALSE(resumed(meetings.meet()));  // within the skew of clocks a full handshake still works
  meetings.both_pass(100s);
  const Pair late = meetings.meet();
  CHECK(late.server_state.error() == Error{Source::local, Reason::certificate_expired});
  CHECK(late.client_state.error() == Error{Source::peer, Reason::certificate_expired});
}

TEST_CASE("the stored chain is judged again by both sides of a resumed handshake") {
  const Authority authority("root");
  const bool clients = GENERATE(true, false);  // whose chain ends while they shake hands
  Meetings meetings(good_context(authority, kCart, clients ? 600 : 7200),
                    good_context(authority, kDb, clients ? 7200 : 600));
  meetings.meet();
  Pair pair = meetings.begin();
  pair.client_state = pair.client->handshake();
  Pair::hand_over(*pair.client, *pair.server, pair.server_state, SIZE_MAX);  // the ticket is taken
  meetings.both_pass(700s);
  Pair::hand_over(*pair.server, *pair.client, pair.client_state, SIZE_MAX);
  Pair::hand_over(*pair.client, *pair.server, pair.server_state, SIZE_MAX);
  Pair::hand_over(*pair.server, *pair.client, pair.client_state, SIZE_MAX);
  const auto& judge = clients ? pair.server_state : pair.client_state;
  const auto& judged = clients ? pair.client_state : pair.server_state;
  REQUIRE_FALSE(judge);
  CHECK(judge.error() == Error{Source::local, Reason::certificate_expired});
  REQUIRE_FALSE(judged);
  CHECK(judged.error() == Error{Source::peer, Reason::certificate_expired});
}

TEST_CASE("a client whose chain is too long for a ticket gets none, and connects as ever") {
  const Authority root("root");
  const bool all = GENERATE(true, false);
  const auto key = *PrivateKey::make();
  const auto chain = chain_of(root, all ? 12 : 1, key->get());
  Meetings meetings(*Context::make(id(kCart), key, chain, *Bundle::make(root.trust())),
                    good_context(root, kDb));
  CHECK_FALSE(resumed(meetings.meet()));
  CHECK(meetings.tickets.size() == (all ? 0 : 1));
  CHECK(resumed(meetings.meet()) == !all);
}

TEST_CASE("a ticket that is larger than any of ours, and one of an acceptor with a long chain, is not kept") {
  Meetings keeps(nullptr, nullptr);
  // NewSessionTicket (RFC 8446 4.6.1): lifetime, age_add, an empty nonce, the ticket, no extensions.
  const auto message = [](size_t ticket_bytes) {
    const auto number = [](size_t value, int bytes) {
      std::string text;
      while (bytes-- > 0) text += static_cast<char>(value >> 8 * bytes);
      return text;
    };
    return "\4" + number(13 + ticket_bytes, 3) + number(3600, 4) + number(7, 4) + number(0, 1) +
           number(ticket_bytes, 2) + std::string(ticket_bytes, 't') + number(0, 2);
  };
  CHECK(after_message(false, &keeps, message(5000)).value() == "data");
  CHECK(keeps.tickets.size() == 1);
  CHECK(after_message(false, &keeps, message(5200)).value() == "data");
  CHECK(keeps.tickets.size() == 1);
  CHECK(after_message(false, &keeps, message(5000), 12).value() == "data");
  CHECK(keeps.tickets.size() == 1);
}

TEST_CASE("a dialler that keeps no tickets shakes hands in full, whatever it is given") {
  const Authority authority("root");
  const auto cart = good_context(authority, kCart), db = good_context(authority, kDb);
  for (int i = 0; i < 2; ++i) {
    Pair pair(cart, db, id(kDb));
    pair.handshake();
    CHECK_FALSE(resumed(pair));
  }
}

TEST_CASE("a ticket from a client, and one that does not parse, end the session") {
  const std::string garbage("\4\0\0\2xx", 6);
  Meetings keeps(nullptr, nullptr);
  CHECK(after_message(true, nullptr, garbage).error().reason == Reason::tls_error);
  CHECK(after_message(false, &keeps, garbage).error().reason == Reason::tls_error);
  CHECK(after_message(false, nullptr, garbage).value() == "data");  // who keeps none does not look
  CHECK(keeps.tickets.empty());
}

TEST_CASE("a live peer is judged again by another bundle: by its root, and not by its leaf's time") {
  const Authority first("first"), second("second");
  Meetings meetings(good_context(first, kCart, 600), good_context(first, kDb, 600));
  const Pair pair = meetings.meet();
  Trust both = first.trust("cluster.local", 2);
  both.roots.push_back(second.der());
  meetings.both_pass(1h);
  for (Session* session : {pair.client.get(), pair.server.get()}) {
    CHECK(session->judge_again(**Bundle::make(both)));
    CHECK(session->judge_again(**Bundle::make(second.trust("cluster.local", 3))).error().reason ==
          Reason::certificate_untrusted);
    CHECK(session->judge_again(**Bundle::make(first.trust("other.local", 4))).error().reason ==
          Reason::trust_domain);
  }
  pair.client->refuse(Reason::certificate_untrusted);
  pair.client->shutdown();  // nothing behind the alert
  const auto told = receive(*pair.server, drain(*pair.client));
  REQUIRE_FALSE(told);
  CHECK(told.error() == Error{Source::peer, Reason::certificate_untrusted});
}

TEST_CASE("a ticket opens under its own key, whole, and in its time") {
  TicketKey key, other;
  REQUIRE(key.make());
  REQUIRE(other.make());
  const WallTime issued{1'000'000s}, chain_until{1'000'000s + 30min};
  const std::vector<uint8_t> session(300, 7);
  std::vector<uint8_t> ticket(session.size() + TicketKey::kOverheadBytes), out(ticket.size());
  CHECK_FALSE(key.seal(session, issued, chain_until, std::span(ticket).first(ticket.size() - 1)));
  REQUIRE(key.seal(session, issued, chain_until, ticket).value() == ticket.size());
  const auto opened = key.open(ticket, issued, out);
  REQUIRE(opened);
  CHECK(opened->bytes == session.size());
  CHECK(opened->chain_until == chain_until);
  CHECK(std::equal(session.begin(), session.end(), out.begin()));
  CHECK_FALSE(other.open(ticket, issued, out));
  CHECK(key.open(ticket, chain_until - 1s, out));
  CHECK_FALSE(key.open(ticket, chain_until, out));
  CHECK(key.open(ticket, issued - 60s, out));
  CHECK_FALSE(key.open(ticket, issued - 61s, out));
  REQUIRE(key.seal(session, issued, issued + 10h, ticket));
  CHECK(key.open(ticket, issued + 1h - 1s, out));
  CHECK_FALSE(key.open(ticket, issued + 1h, out));
  for (size_t i = 0; i < ticket.size(); i += i < 300 ? 37 : 1) {
    std::vector<uint8_t> changed = ticket;
    changed[i] ^= 1;
    CHECK_FALSE(key.open(changed, issued, out));
  }
  for (const size_t bytes : {size_t{0}, size_t{1}, TicketKey::kOverheadBytes - 1, ticket.size() - 1})
    CHECK_FALSE(key.open(std::span(ticket).first(bytes), issued, out));
}

}  // namespace weir::tls::test
