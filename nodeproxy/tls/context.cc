// Building the two SSL_CTX of a certificate generation. See context.h.
#include "nodeproxy/tls/context.h"

#include <openssl/err.h>
#include <openssl/pool.h>
#include <openssl/ssl.h>

#include <atomic>

#include "nodeproxy/tls/context_internals.h"

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
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context, kCertificateMessageBytesMax);
  SSL_CTX_set_custom_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify_peer);
  return {};
}

}  // namespace

Context::Context(const SpiffeId& identity, std::shared_ptr<const Trust> trust)
    : identity_(identity), trust_(std::move(trust)), generation_(++generations) {}
Context::~Context() = default;

Result<std::shared_ptr<const Context>> Context::make(const SpiffeId& identity,
                                                     const std::shared_ptr<const PrivateKey>& key,
                                                     const std::vector<std::string>& chain,
                                                     std::shared_ptr<const Trust> trust) {
  const auto refuse = [&](const std::string& why) {
    ERR_clear_error();
    return fail(Source::config, Reason::bad_config, identity.uri() + ": " + why);
  };
  if (chain.empty()) return refuse("the chain is empty");
  Result<Roots> roots = Roots::parse(trust->roots);
  if (!roots) return std::unexpected(roots.error());

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

  std::shared_ptr<Context> context(new Context(identity, std::move(trust)));
  context->not_before_ = leaf->not_before;
  context->not_after_ = leaf->not_after;
  context->internals_ = std::make_unique<Internals>();
  Internals& internals = *context->internals_;
  internals.roots = std::move(*roots);
  for (bssl::UniquePtr<SSL_CTX>* side : {&internals.client, &internals.server}) {
    side->reset(SSL_CTX_new(TLS_with_buffers_method()));
    if (Status status = set_up(side->get(), *key, buffers); !status) return refuse(*status.error().detail);
  }
  if (SSL_CTX_set_alpn_protos(internals.client.get(), kAlpnOffer, sizeof kAlpnOffer) !=
      0)  // 0 is success here
    return refuse("out of memory");
  SSL_CTX_set_alpn_select_cb(internals.server.get(), select_alpn, nullptr);
  return context;
}

}  // namespace weir::tls
