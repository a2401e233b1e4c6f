#pragma once
// A peer made of BoringSSL's own SSL_read and SSL_write, with whatever certificate: what our sessions and our record
// layer must get along with, and must refuse.
// Owner: the tests of tls/. Thread: one.
#include <openssl/ssl.h>

#include <span>
#include <string>
#include <vector>

#include "nodeproxy/tls/session.h"
#include "tests/unit/tls/pair.h"

namespace weir::tls::test {

class RawPeer {
 public:
  // `key` null: no certificate. It verifies nothing.
  RawPeer(EVP_PKEY* key, const std::vector<std::string>& chain, bool dials);

  void sign_with(EVP_PKEY* key) { signer_ = key; }  // another key than the certificate's
  void max_version(uint16_t version);
  void alpn(const std::string& protocol);  // instead of weir/1; empty: none

  bool connect(Session& ours);  // the whole handshake; true: both are through and nobody complained
  bool handshake();
  void receive(std::span<const std::byte> wire);
  std::vector<std::byte> take_sent();
  std::string read();  // all there is
  bool write(std::string_view text);
  bool key_update(bool request);
  void shutdown() { SSL_shutdown(ssl_.get()); }
  SSL* ssl() { return ssl_.get(); }
  Error error() const { return error_; }  // of an alert that came

 private:
  static int select(SSL*, const uint8_t** out, uint8_t* out_bytes, const uint8_t*, unsigned, void* self);
  static ssl_private_key_result_t sign(SSL*, uint8_t*, size_t*, size_t, uint16_t, const uint8_t*, size_t);
  void note_error(int result);
  void build();

  bool dials_;
  std::string protocol_ = "weir/1";
  EVP_PKEY* signer_ = nullptr;
  bssl::UniquePtr<SSL_CTX> context_;
  bssl::UniquePtr<SSL> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  Error error_;  // internal: none
};

}  // namespace weir::tls::test
