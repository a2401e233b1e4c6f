// Building the two SSL_CTX of a certificate generation. See context.h.
#include "nodeproxy/tls/context.h"

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>

#include <atomic>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/tls/context_internals.h"
#include "nodeproxy/tls/verify.h"

namespace weir::tls {
namespace {

std::atomic<uint64_t> generations{0};

Status set_up(SSL_CTX* context, const PrivateKey& key, std::span<CRYPTO_BUFFER* const> chain) {
  static constexpr int kGroups[] = {NID_X25519, NID_X9_62_prime256v1};
  static constexpr uint16_t kSignatures[] = {SSL_SIGN_ECDSA_SECP256R1_SHA256};
  // The order of suites is BoringSSL's own in TLS 1.3: AES-128-GCM first where the CPU has AES, else ChaCha20.
  const bool ok = context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
                  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) &&
                  SSL_CTX_set1_curves(context, kGroups, std::size(kGroups)) &&
                  SSL_CTX_set_signing_algorithm_prefs(context, kSignatures, std::size(kSignatures)) &&
                  SSL_CTX_set_verify_algorithm_prefs(context, kSignatures, std::size(kSignatures)) &&
                  SSL_CTX_set_chain_and_key(context, chain.data(), chain.size(), key.get(), nullptr);
  if (!ok) return fail(Source::config, Reason::bad_config, "the private key is not the certificate's");
  // Tickets alone: BoringSSL itself keeps no session. A resumed one always has a key exchange of its own (psk_dhe_ke is
  // the only mode that it knows), and nothing is said before the handshake is done.
  SSL_CTX_set_early_data_enabled(context, 0);
  SSL_CTX_set_session_psk_dhe_timeout(
      context, std::chrono::duration_cast<std::chrono::seconds>(limits::ticket_life).count());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context, kCertificateMessageBytesMax);
  SSL_CTX_set_custom_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_peer);
  return {};
}

// One ticket for each handshake: it is good for one, which brings the next (RFC 8446 C.4).
bool set_up_tickets(SSL_CTX* server, uint64_t generation) {
  SSL_CTX_set_num_tickets(server, 1);
  SSL_CTX_set_ticket_aead_method(server, &kTicketMethod);
  return SSL_CTX_set_session_id_context(server, reinterpret_cast<const uint8_t*>(&generation),
                                        sizeof generation);
}

}  // namespace

Context::Context(const SpiffeId& identity, std::shared_ptr<const Bundle> bundle)
    : identity_(identity), bundle_(std::move(bundle)), generation_(++generations) {}
Context::~Context() = default;

Result<std::shared_ptr<const Context>> Context::make(const SpiffeId& identity,
                                                     const std::shared_ptr<const PrivateKey>& key,
                                                     const std::vector<std::string>& chain,
                                                     std::shared_ptr<const Bundle> bundle) {
  const auto refuse = [&](const std::string& why) {
    ERR_clear_error();
    return fail(Source::config, Reason::bad_config, identity.uri() + ": " + why);
  };
  if (chain.empty()) return refuse("the chain is empty");

  std::vector<bssl::UniquePtr<CRYPTO_BUFFER>> owned;
  std::vector<CRYPTO_BUFFER*> buffers;
  for (const std::string& der : chain) {
    if (!parse_certificate(der)) return refuse("a part of the chain is not a certificate");
    owned.emplace_back(CRYPTO_BUFFER_new(reinterpret_cast<const uint8_t*>(der.data()), der.size(), nullptr));
    buffers.push_back(owned.back().get());
  }
  const Result<Leaf> leaf = check_leaf(parse_certificate(chain.front()).get());
  if (!leaf) return refuse(leaf.error().detail ? *leaf.error().detail : "the leaf is malformed");
  if (!(leaf->identity == identity)) return refuse("the chain is for " + leaf->identity.uri());

  std::shared_ptr<Context> context(new Context(identity, std::move(bundle)));
  context->not_before_ = leaf->not_before;
  context->not_after_ = leaf->not_after;
  context->internals_ = std::make_unique<Internals>();
  Internals& internals = *context->internals_;
  for (bssl::UniquePtr<SSL_CTX>* side : {&internals.client, &internals.server}) {
    side->reset(SSL_CTX_new(TLS_with_buffers_method()));
    if (Status status = set_up(side->get(), *key, buffers); !status) return refuse(*status.error().detail);
  }
  if (SSL_CTX_set_alpn_protos(internals.client.get(), kAlpnOffer, sizeof kAlpnOffer) != 0 ||  // 0: success
      !internals.tickets.make() || !set_up_tickets(internals.server.get(), context->generation()))
    return refuse("out of memory");
  SSL_CTX_set_reverify_on_resume(internals.client.get(), 1);  // a server's sessions do it themselves
  SSL_CTX_set_alpn_select_cb(internals.server.get(), select_alpn, nullptr);
  return context;
}

}  // namespace weir::tls
