// Key derivation and the AEAD calls. See traffic_key.h.
#include "nodeproxy/tls/traffic_key.h"

#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/hkdf.h>
#include <openssl/mem.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace weir::tls {
namespace {

constexpr size_t kTagBytes = 16;

struct Suite {
  uint16_t id;
  const EVP_AEAD* (*aead)();
  const EVP_MD* (*digest)();
};
constexpr Suite kSuites[] = {{0x1301, EVP_aead_aes_128_gcm, EVP_sha256},
                             {0x1302, EVP_aead_aes_256_gcm, EVP_sha384},
                             {0x1303, EVP_aead_chacha20_poly1305, EVP_sha256}};

const Suite* find_suite(uint16_t id) {
  const Suite* found = std::ranges::find(kSuites, id, &Suite::id);
  return found == std::end(kSuites) ? nullptr : found;
}

// HKDF-Expand-Label with an empty context (RFC 8446 7.1).
bool expand_label(const Suite& suite, std::span<const uint8_t> secret, std::string_view label,
                  std::span<uint8_t> out) {
  static constexpr std::string_view kPrefix = "tls13 ";
  uint8_t info[32];
  size_t n = 0;
  info[n++] = static_cast<uint8_t>(out.size() >> 8);
  info[n++] = static_cast<uint8_t>(out.size());
  info[n++] = static_cast<uint8_t>(kPrefix.size() + label.size());
  n = static_cast<size_t>(std::ranges::copy(kPrefix, info + n).out - info);
  n = static_cast<size_t>(std::ranges::copy(label, info + n).out - info);
  info[n++] = 0;
  return HKDF_expand(out.data(), out.size(), suite.digest(), secret.data(), secret.size(), info, n) == 1;
}

}  // namespace

std::optional<TrafficKey> TrafficKey::make(uint16_t suite, std::span<const uint8_t> secret,
                                           uint64_t sequence) {
  const Suite* known = find_suite(suite);
  if (!known || secret.size() != EVP_MD_size(known->digest())) return std::nullopt;
  TrafficKey key(suite);
  key.secret_bytes_ = static_cast<uint8_t>(secret.size());
  std::ranges::copy(secret, key.secret_.begin());
  if (!key.derive()) return std::nullopt;
  key.sequence_ = sequence;
  return key;
}

TrafficKey::TrafficKey(TrafficKey&& other) noexcept
    : suite_(other.suite_),
      secret_bytes_(other.secret_bytes_),
      secret_(other.secret_),
      iv_(other.iv_),
      sequence_(other.sequence_),
      aead_(std::move(other.aead_)) {
  OPENSSL_cleanse(other.secret_.data(), other.secret_.size());
}

TrafficKey::~TrafficKey() {
  OPENSSL_cleanse(secret_.data(), secret_.size());
  if (aead_) EVP_AEAD_CTX_cleanup(aead_.get());
}

bool TrafficKey::derive() {
  const Suite& suite = *find_suite(suite_);
  const std::span<const uint8_t> secret(secret_.data(), secret_bytes_);
  uint8_t key[32];
  const size_t key_bytes = EVP_AEAD_key_length(suite.aead());
  if (!expand_label(suite, secret, "key", {key, key_bytes}) || !expand_label(suite, secret, "iv", iv_))
    return false;
  if (aead_) EVP_AEAD_CTX_cleanup(aead_.get());
  aead_ = std::make_unique<EVP_AEAD_CTX>();
  const bool ok = EVP_AEAD_CTX_init(aead_.get(), suite.aead(), key, key_bytes, kTagBytes, nullptr) == 1;
  OPENSSL_cleanse(key, sizeof key);
  sequence_ = 0;
  return ok;
}

bool TrafficKey::update() {
  std::array<uint8_t, 48> next{};
  const bool ok = expand_label(*find_suite(suite_), {secret_.data(), secret_bytes_}, "traffic upd",
                               {next.data(), secret_bytes_});
  if (ok) secret_ = next;
  OPENSSL_cleanse(next.data(), next.size());
  return ok && derive();
}

std::array<uint8_t, 12> TrafficKey::nonce() const {
  std::array<uint8_t, 12> nonce = iv_;
  for (size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<uint8_t>(sequence_ >> (8 * i));
  return nonce;
}

std::optional<std::span<uint8_t>> TrafficKey::open(std::span<uint8_t> record) {
  const std::array<uint8_t, 12> nonce = this->nonce();
  const std::span<uint8_t> body = record.subspan(kRecordHeaderBytes);
  size_t size = 0;
  if (!EVP_AEAD_CTX_open(aead_.get(), body.data(), &size, body.size(), nonce.data(), nonce.size(),
                         body.data(), body.size(), record.data(), kRecordHeaderBytes)) {
    ERR_clear_error();
    return std::nullopt;
  }
  ++sequence_;
  return body.first(size);
}

bool TrafficKey::seal(uint8_t inner_type, std::span<const std::span<const std::byte>> pieces,
                      std::span<uint8_t> record) {
  const std::array<uint8_t, 12> nonce = this->nonce();
  const size_t length = record.size() - kRecordHeaderBytes;
  const uint8_t header[] = {23, 3, 3, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length)};
  std::ranges::copy(header, record.begin());
  uint8_t* at = record.data() + kRecordHeaderBytes;
  CRYPTO_IOVEC parts[kPiecesMax + 1];
  size_t count = 0;
  const auto add = [&](const uint8_t* bytes, size_t n) {
    parts[count++] = {at, bytes, n};
    at += n;
  };
  for (const auto& piece : pieces) add(reinterpret_cast<const uint8_t*>(piece.data()), piece.size());
  add(&inner_type, 1);
  const CRYPTO_IVEC authenticated{header, sizeof header};
  size_t tag_bytes = 0;
  if (!EVP_AEAD_CTX_sealv(aead_.get(), parts, count, at, &tag_bytes, kTagBytes, nonce.data(), nonce.size(),
                          &authenticated, 1)) {
    ERR_clear_error();
    return false;
  }
  ++sequence_;
  return true;
}

}  // namespace weir::tls
