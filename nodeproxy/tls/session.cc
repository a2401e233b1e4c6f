// The life of a TLS session: handshake by BoringSSL over a BIO that is this object, then records. See session.h.
#include "nodeproxy/tls/session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "nodeproxy/tls/alerts.h"
#include "nodeproxy/tls/context_internals.h"

namespace weir::tls {

// Everything of one handshake, both flights of the peer: chain, extensions, HelloRetryRequest.
constexpr uint32_t kHandshakeBytesMax = 64 * 1024;

// BoringSSL's transport: reads what was fed, writes to the output.
struct Bio {
  static Session* session(BIO* bio) { return static_cast<Session*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* into, int size) {
    Session& s = *session(bio);
    BIO_clear_retry_flags(bio);
    if (s.fed_.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const size_t n = std::min(static_cast<size_t>(size), s.fed_.size());
    s.handshake_bytes_ += static_cast<uint32_t>(n);
    if (s.handshake_bytes_ > kHandshakeBytesMax) return -1;  // not a retry: the handshake fails
    std::memcpy(into, s.fed_.data(), n);
    s.fed_ = s.fed_.subspan(n);
    return static_cast<int>(n);
  }
  static int write(BIO* bio, const char* from, int size) {
    session(bio)->output_.append({reinterpret_cast<const uint8_t*>(from), static_cast<size_t>(size)});
    return size;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const method = [] {
      BIO_METHOD* made = BIO_meth_new(0, "weir");
      BIO_meth_set_read(made, read);
      BIO_meth_set_write(made, write);
      BIO_meth_set_ctrl(made, control);
      return made;
    }();
    return method;
  }
};

namespace {

std::string openssl_text(uint32_t code) {
  char text[160];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

// What BoringSSL found by itself, as one of our reasons.
Error handshake_error(uint32_t code) {
  const auto error = [&](Source source, Reason reason, std::string detail) {
    return fail(source, reason, std::move(detail)).error();
  };
  if (ERR_GET_LIB(code) != ERR_LIB_SSL)
    return error(Source::local, Reason::handshake_failed, openssl_text(code));
  const int reason = ERR_GET_REASON(code);
  if (reason >= SSL_AD_REASON_OFFSET) {
    const auto alert = static_cast<uint8_t>(reason - SSL_AD_REASON_OFFSET);
    return error(Source::peer, reason_of_alert(alert), "the peer's alert: " + std::string(alert_name(alert)));
  }
  switch (reason) {
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return error(Source::local, Reason::client_certificate_required, openssl_text(code));
    case SSL_R_CANNOT_PARSE_LEAF_CERT:
    case SSL_R_KEY_USAGE_BIT_INCORRECT:
    case SSL_R_UNKNOWN_CERTIFICATE_TYPE:
    case SSL_R_WRONG_CERTIFICATE_TYPE:
    case SSL_R_BAD_ECC_CERT: return error(Source::local, Reason::certificate_malformed, openssl_text(code));
    default: return error(Source::local, Reason::handshake_failed, openssl_text(code));
  }
}

}  // namespace

int select_alpn(SSL*, const uint8_t** chosen, uint8_t* chosen_bytes, const uint8_t* offered,
                unsigned offered_bytes, void*) {
  const std::span<const uint8_t> ours(kAlpnOffer + 1, sizeof kAlpnOffer - 1);
  for (unsigned at = 0; at < offered_bytes; at += 1 + offered[at]) {  // BoringSSL has checked the lengths
    if (!std::ranges::equal(std::span<const uint8_t>(offered + at + 1, offered[at]), ours)) continue;
    *chosen = ours.data();
    *chosen_bytes = static_cast<uint8_t>(ours.size());
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::dial(std::shared_ptr<const Context> context,
                                               const SpiffeId& expected, VerifiedChains* chains,
                                               Resumption resumption) {
  auto session = make(std::move(context), expected, chains);
  if (session) (*session)->offer(std::move(resumption));
  return session;
}

Result<std::unique_ptr<Session>> Session::accept(std::shared_ptr<const Context> context,
                                                 VerifiedChains* chains) {
  return make(std::move(context), std::nullopt, chains);
}

Result<std::unique_ptr<Session>> Session::make(std::shared_ptr<const Context> context,
                                               std::optional<SpiffeId> expected, VerifiedChains* chains) {
  const Context::Internals& internals = context->internals();
  std::unique_ptr<Session> session(new Session(std::move(context), std::move(expected), chains));
  const bool dialler = session->dialler_;
  session->ssl_.reset(SSL_new(dialler ? internals.client.get() : internals.server.get()));
  BIO* bio = BIO_new(Bio::method());
  if (!session->ssl_ || !bio) {
    BIO_free(bio);
    return fail(Source::local, Reason::out_of_memory);
  }
  BIO_set_data(bio, session.get());
  BIO_set_init(bio, 1);
  SSL_set_bio(session->ssl_.get(), bio, bio);  // takes the one reference for both
  SSL_set_app_data(session->ssl_.get(), session.get());
  dialler ? SSL_set_connect_state(session->ssl_.get()) : SSL_set_accept_state(session->ssl_.get());
  return session;
}

Result<HandshakeState> Session::handshake() {
  if (ended_) return std::unexpected(*ended_);
  if (established()) return HandshakeState::done;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ && handshake_bytes_ <= kHandshakeBytesMax)
      return HandshakeState::want_more;
    if (handshake_bytes_ > kHandshakeBytesMax) {
      ended_ = fail(Source::local, Reason::handshake_failed, "the handshake is longer than 64 KiB").error();
    } else if (!ended_) {
      ended_ = handshake_error(ERR_peek_error());
    }
    ERR_clear_error();
    return end(*ended_);
  }
  if (Status status = finish_handshake(); !status) return end(status.error());
  return HandshakeState::done;
}

// Takes keys and facts out of BoringSSL's state and frees it. Nothing is left inside: it reads record by record, and a
// handshake message behind Finished in one record is an error to it.
Status Session::finish_handshake() {
  SSL* ssl = ssl_.get();
  const uint8_t* alpn = nullptr;
  unsigned alpn_bytes = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &alpn_bytes);
  if (alpn_bytes == 0) {
    SSL_send_fatal_alert(ssl, kNoApplicationProtocol);
    ERR_clear_error();
    return fail(Source::local, Reason::handshake_failed, "the peer did not agree on ALPN weir/1");
  }
  resumed_ = SSL_session_reused(ssl);
  // Of a dialler BoringSSL has asked for the verdict again, of an acceptor it does not.
  if (resumed_ && !dialler_) {
    if (Status judged = take_peer(); !judged) {
      SSL_send_fatal_alert(ssl, alert_of(judged.error().reason));
      ERR_clear_error();
      return judged;
    }
  }
  if (!dialler_) SSL_write(ssl, "", 0);  // its ticket, which would wait for data
  const SSL_CIPHER* suite = SSL_get_current_cipher(ssl);
  bssl::Span<const uint8_t> read_secret, write_secret;
  if (!peer_ || !bssl::SSL_get_traffic_secrets(ssl, &read_secret, &write_secret))
    return fail(Source::local, Reason::internal, "no peer or no secrets after the handshake");
  const uint16_t id = SSL_CIPHER_get_protocol_id(suite);
  std::optional<TrafficKey> read_key =
      TrafficKey::make(id, {read_secret.data(), read_secret.size()}, SSL_get_read_sequence(ssl));
  std::optional<TrafficKey> write_key =
      TrafficKey::make(id, {write_secret.data(), write_secret.size()}, SSL_get_write_sequence(ssl));
  if (!read_key || !write_key) return fail(Source::local, Reason::internal, "the traffic keys do not derive");
  reader_.emplace(std::move(*read_key));
  writer_.emplace(std::move(*write_key));
  cipher_ = SSL_CIPHER_standard_name(suite);  // a static text
  expected_.reset();
  if (!tickets_) ssl_.reset();
  return {};
}

// The whole of the next record, empty: not all there. Cut ones are collected in memory of our own.
Result<std::span<std::byte>> Session::next_record() {
  if (cut_record_.empty() && fed_.size() >= kRecordHeaderBytes) {
    const size_t size = record_bytes(fed_);
    if (size == 0) return end_broken(kDecodeError);
    if (size <= fed_.size()) {
      const std::span<std::byte> record = fed_.first(size);
      fed_ = fed_.subspan(size);
      return record;
    }
  }
  if (fed_.empty()) return std::span<std::byte>();
  const std::optional<std::span<std::byte>> record = cut_record_.fill(fed_);
  if (!record) return end_broken(kDecodeError);
  return *record;
}

Result<Read> Session::read() {
  if (ended_) return std::unexpected(*ended_);
  if (close_received_) return Read{Read::Kind::closed, {}};
  if (!established()) return fail(Source::local, Reason::internal, "read before the handshake");
  if (cut_record_.complete()) cut_record_.clear();  // what the last read() gave out
  for (;;) {
    const Result<std::span<std::byte>> record = next_record();
    if (!record) return std::unexpected(record.error());
    if (record->empty()) return Read{};
    const RecordReader::Opened opened = reader_->open(*record);
    update_owed_ |= reader_->take_update_request();
    switch (opened.kind) {
      case RecordReader::Kind::data:
        ssl_.reset();  // whoever gives tickets does so first
        return Read{Read::Kind::data, opened.bytes};
      case RecordReader::Kind::ticket:
        if (!take_ticket(opened.bytes)) return end_broken(kUnexpectedMessage);
        break;
      case RecordReader::Kind::nothing: break;
      case RecordReader::Kind::broken: return end_broken(opened.alert);
      case RecordReader::Kind::closed:
        cut_record_.clear();
        close_received_ = true;
        return Read{Read::Kind::closed, {}};
      case RecordReader::Kind::alert: {
        const Reason reason = reason_of_alert(opened.alert);
        return end(fail(Source::peer, reason == Reason::handshake_failed ? Reason::tls_error : reason,
                        "the peer's alert: " + std::string(alert_name(opened.alert)))
                       .error());
      }
    }
    if (cut_record_.complete()) cut_record_.clear();
  }
}

Status Session::end_of_stream() const {
  if (close_received_) return {};
  return fail(Source::peer, established() ? Reason::truncated : Reason::handshake_failed);
}

Status Session::write(std::span<const std::span<const std::byte>> pieces) {
  if (ended_) return std::unexpected(*ended_);
  if (!established() || close_sent_)
    return fail(Source::local, Reason::internal, "write outside the connection's life");
  if (std::exchange(update_owed_, false) && !writer_->key_update(output_)) return end_broken(kInternalError);
  if (!writer_->data(pieces, output_)) return end_broken(kInternalError);
  return {};
}

void Session::shutdown() {
  if (!established() || close_sent_ || ended_) return;
  close_sent_ = true;
  writer_->alert(kCloseNotify, output_);
}

std::unexpected<Error> Session::end(Error error) {
  ended_ = error;
  cut_record_.clear();
  ssl_.reset();
  return std::unexpected(std::move(error));
}

// The peer's records are not what they must be: it is told by an alert.
std::unexpected<Error> Session::end_broken(uint8_t alert) {
  if (!close_sent_) writer_->alert(alert, output_);
  return end(fail(Source::local, Reason::tls_error, "a record was refused: " + std::string(alert_name(alert)))
                 .error());
}

}  // namespace weir::tls
