// See raw_peer.h.
#include "tests/unit/tls/raw_peer.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pool.h>

#include "nodeproxy/tls/alerts.h"

namespace weir::tls::test {

RawPeer::RawPeer(EVP_PKEY* key, const std::vector<std::string>& chain, bool dials)
    : dials_(dials), context_(SSL_CTX_new(TLS_with_buffers_method())) {
  SSL_CTX_set_custom_verify(context_.get(), SSL_VERIFY_PEER, [](SSL*, uint8_t*) { return ssl_verify_ok; });
  SSL_CTX_set_alpn_select_cb(context_.get(), select, this);
  if (!key) return;
  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> owned;
  std::vector<CRYPTO_BUFFER*> buffers;
  for (const std::string& der : chain) {
    owned.emplace_back(CRYPTO_BUFFER_new(reinterpret_cast<const uint8_t*>(der.data()), der.size(), nullptr));
    buffers.push_back(owned.back().get());
  }
  // The key through a method of ours, so that BoringSSL does not look whether it is the certificate's.
  static constexpr SSL_PRIVATE_KEY_METHOD kMethod = {sign, nullptr, nullptr};
  signer_ = key;
  REQUIRE(SSL_CTX_set_chain_and_key(context_.get(), buffers.data(), buffers.size(), nullptr, &kMethod));
}

void RawPeer::build() {
  if (ssl_) return;
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_options(ssl_.get(), SSL_OP_NO_TICKET);
  std::string offer;
  if (!protocol_.empty()) offer = static_cast<char>(protocol_.size()) + protocol_;
  if (dials_) SSL_set_alpn_protos(ssl_.get(), reinterpret_cast<const uint8_t*>(offer.data()), offer.size());
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(in_, -1);
  SSL_set_bio(ssl_.get(), in_, out_);
  dials_ ? SSL_set_connect_state(ssl_.get()) : SSL_set_accept_state(ssl_.get());
}

void RawPeer::max_version(uint16_t version) { SSL_CTX_set_max_proto_version(context_.get(), version); }
void RawPeer::alpn(const std::string& protocol) { protocol_ = protocol; }

int RawPeer::select(SSL*, const uint8_t** out, uint8_t* out_bytes, const uint8_t*, unsigned, void* self) {
  const std::string& protocol = static_cast<RawPeer*>(self)->protocol_;
  if (protocol.empty()) return SSL_TLSEXT_ERR_NOACK;
  *out = reinterpret_cast<const uint8_t*>(protocol.data());
  *out_bytes = static_cast<uint8_t>(protocol.size());
  return SSL_TLSEXT_ERR_OK;
}

ssl_private_key_result_t RawPeer::sign(SSL* ssl, uint8_t* out, size_t* out_size, size_t max,
                                       uint16_t algorithm, const uint8_t* in, size_t in_size) {
  EVP_PKEY* key = static_cast<RawPeer*>(SSL_get_app_data(ssl))->signer_;
  bssl::ScopedEVP_MD_CTX md;
  EVP_PKEY_CTX* context = nullptr;
  *out_size = max;
  const bool ok =
      EVP_DigestSignInit(md.get(), &context, SSL_get_signature_algorithm_digest(algorithm), nullptr, key) &&
      (!SSL_is_signature_algorithm_rsa_pss(algorithm) ||
       (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) &&
        EVP_PKEY_CTX_set_rsa_pss_saltlen(context, -1))) &&
      EVP_DigestSign(md.get(), out, out_size, in, in_size);
  return ok ? ssl_private_key_success : ssl_private_key_failure;
}

void RawPeer::note_error(int result) {
  const uint32_t code = ERR_peek_error();
  if (result > 0 || SSL_get_error(ssl_.get(), result) != SSL_ERROR_SSL || error_.reason != Reason::internal)
    return;
  const int reason = ERR_GET_REASON(code);
  error_ =
      reason >= SSL_AD_REASON_OFFSET
          ? Error{Source::peer, reason_of_alert(static_cast<uint8_t>(reason - SSL_AD_REASON_OFFSET)), 0, {}}
          : fail(Source::local, Reason::handshake_failed, ERR_reason_error_string(code)).error();
}

bool RawPeer::handshake() {
  build();
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  note_error(result);
  ERR_clear_error();
  return result == 1;
}

bool RawPeer::connect(Session& ours) {
  bool through = false;
  Result<HandshakeState> state = ours.handshake();
  for (int round = 0; round < 6; ++round) {
    receive(drain(ours));
    through = handshake();
    std::vector<std::byte> wire = take_sent();
    ours.feed(wire);
    if (state) state = ours.handshake();
  }
  if (through) read();
  return through && state && *state == HandshakeState::done && error_.reason == Reason::internal;
}

void RawPeer::receive(std::span<const std::byte> wire) {
  build();
  if (!wire.empty()) BIO_write(in_, wire.data(), static_cast<int>(wire.size()));
}

std::vector<std::byte> RawPeer::take_sent() {
  build();
  std::vector<std::byte> wire(BIO_pending(out_));
  if (!wire.empty()) BIO_read(out_, wire.data(), static_cast<int>(wire.size()));
  return wire;
}

std::string RawPeer::read() {
  std::string text;
  char buffer[20000];
  for (;;) {
    ERR_clear_error();
    const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
    note_error(n);
    ERR_clear_error();
    if (n <= 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

bool RawPeer::write(std::string_view text) {
  return SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) == static_cast<int>(text.size());
}

bool RawPeer::key_update(bool request) {
  return SSL_key_update(ssl_.get(), request ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
}

}  // namespace weir::tls::test
