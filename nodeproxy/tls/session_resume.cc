// A session's judgement on its peer, and the resumption of earlier sessions (RFC 8446 2.2, 4.6.1, C.4). See session.h.
//
// What is resumed is a proof of identity that was given before, and nothing else: both sides judge the chain that it was
// given with anew, by the current bundle and time, before anything is said; a key exchange of its own makes the keys.
#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "nodeproxy/tls/alerts.h"
#include "nodeproxy/tls/context_internals.h"
#include "nodeproxy/tls/session.h"

namespace weir::tls {
namespace {

// A ticket holds its client's chain, and must fit a record and a ClientHello; a dialler keeps it with the acceptor's chain.
// Whoever shows more, or gives a ticket that holds more, is not resumed.
constexpr size_t kTicketChainBytesMax = 4 * 1024;
constexpr size_t kTicketMessageBytesMax = kTicketChainBytesMax + 1024;

size_t chain_bytes(const STACK_OF(CRYPTO_BUFFER) * chain) {
  size_t bytes = 0;
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(chain); ++i)
    bytes += CRYPTO_BUFFER_len(sk_CRYPTO_BUFFER_value(chain, i));
  return bytes;
}

}  // namespace

ssl_verify_result_t verify_peer(SSL* ssl, uint8_t* alert) {
  auto* session = static_cast<Session*>(SSL_get_app_data(ssl));
  const Status judged = session->take_peer();
  if (judged) return ssl_verify_ok;
  session->ended_ = judged.error();
  *alert = alert_of(judged.error().reason);
  return ssl_verify_invalid;
}

// BoringSSL's view of a Context's ticket key.
struct TicketMethod {
  static Session& session(SSL* ssl) { return *static_cast<Session*>(SSL_get_app_data(ssl)); }
  static const TicketKey& key(SSL* ssl) { return session(ssl).context_->internals().tickets; }

  static size_t max_overhead(SSL*) { return TicketKey::kOverheadBytes; }
  static int seal(SSL* ssl, uint8_t* out, size_t* out_bytes, size_t out_bytes_max, const uint8_t* in,
                  size_t in_bytes) {
    const Session& of = session(ssl);
    const WallTime until = of.peer_ ? of.peer_->not_after : of.chain_until_;
    const auto sealed = key(ssl).seal({in, in_bytes}, of.wall_now(), until, {out, out_bytes_max});
    *out_bytes = sealed.value_or(0);
    return sealed ? 1 : 0;
  }
  static ssl_ticket_aead_result_t open(SSL* ssl, uint8_t* out, size_t* out_bytes, size_t out_bytes_max,
                                       const uint8_t* in, size_t in_bytes) {
    Session& of = session(ssl);
    const auto opened = key(ssl).open({in, in_bytes}, of.wall_now(), {out, out_bytes_max});
    if (!opened) return ssl_ticket_aead_ignore_ticket;
    *out_bytes = opened->bytes;
    of.chain_until_ = opened->chain_until;
    return ssl_ticket_aead_success;
  }
};

const SSL_TICKET_AEAD_METHOD kTicketMethod = {TicketMethod::max_overhead, TicketMethod::seal,
                                              TicketMethod::open};

WallTime Session::wall_now() const { return chains_ ? chains_->now() : std::chrono::system_clock::now(); }

Result<Verified> Session::judge(const STACK_OF(CRYPTO_BUFFER) * sent) const {
  const Bundle& bundle = context_->bundle();
  Result<Verified> verified =
      chains_ ? chains_->judge(sent, bundle, wall_now()) : verify_chain(sent, bundle, wall_now());
  if (verified && expected_ && !(verified->identity == *expected_)) {
    return fail(Source::local, Reason::identity_mismatch,
                "expected " + expected_->uri() + ", met " + verified->identity.uri());
  }
  return verified;
}

// The verdict on the chain that the peer has shown, now or in the session that is resumed.
Status Session::take_peer() {
  const STACK_OF(CRYPTO_BUFFER)* sent = SSL_get0_peer_certificates(ssl_.get());
  Result<Verified> verified = judge(sent);
  if (!verified) return std::unexpected(verified.error());
  bssl::UniquePtr<STACK_OF(CRYPTO_BUFFER)> chain(sk_CRYPTO_BUFFER_new_null());
  for (size_t i = 0; i < sk_CRYPTO_BUFFER_num(sent); ++i) {
    if (!chain || !bssl::PushToStack(chain.get(), bssl::UpRef(sk_CRYPTO_BUFFER_value(sent, i))))
      return fail(Source::local, Reason::out_of_memory);
  }
  peer_ = std::move(*verified);
  peer_chain_ = std::move(chain);
  if (!dialler_ && chain_bytes(sent) > kTicketChainBytesMax) SSL_set_options(ssl_.get(), SSL_OP_NO_TICKET);
  return {};
}

// What would be refused when it comes back is not offered, so that a full handshake can do better.
void Session::offer(Resumption resumption) {
  tickets_ = resumption.events;
  const Ticket& ticket = resumption.offered;
  if (!ticket.session || ticket.generation != context_->generation() || wall_now() >= ticket.until) return;
  if (judge(SSL_SESSION_get0_peer_certificates(ticket.session.get())))
    SSL_set_session(ssl_.get(), ticket.session.get());
}

// The first is kept, the others are dropped: one handshake needs one. False: nobody may send this here.
bool Session::take_ticket(std::span<const std::byte> message) {
  if (!dialler_) return false;
  if (!ssl_) return true;
  if (message.size() > kTicketMessageBytesMax || chain_bytes(peer_chain_.get()) > kTicketChainBytesMax) {
    ssl_.reset();
    return true;
  }
  Ticket ticket;
  ticket.session.reset(SSL_process_tls13_new_session_ticket(
      ssl_.get(), reinterpret_cast<const uint8_t*>(message.data()), message.size()));
  ssl_.reset();
  if (!ticket.session) {
    ERR_clear_error();
    return false;
  }
  const auto life = std::chrono::seconds(SSL_SESSION_get_timeout(ticket.session.get()));
  ticket.generation = context_->generation();
  ticket.until = std::min(wall_now() + life, peer_->not_after);
  tickets_->on_ticket(std::move(ticket));
  return true;
}

Status Session::judge_again(const Bundle& bundle) const {
  if (!established()) return fail(Source::local, Reason::internal, "no peer to judge yet");
  const WallTime at = std::min(wall_now(), peer_->not_after);
  const Result<Verified> verified =
      chains_ ? chains_->judge(peer_chain_.get(), bundle, at) : verify_chain(peer_chain_.get(), bundle, at);
  return verified ? Status() : std::unexpected(verified.error());
}

void Session::refuse(Reason reason) {
  if (!established() || close_sent_ || ended_) return;
  close_sent_ = true;
  writer_->alert(alert_of(reason), output_);
}

}  // namespace weir::tls
