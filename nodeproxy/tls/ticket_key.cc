// See ticket_key.h.
#include "nodeproxy/tls/ticket_key.h"

#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

#include <array>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/tls/verify.h"

namespace weir::tls {
namespace {

constexpr size_t kNonceBytes = 12, kTimesBytes = 16, kTrailerBytes = kNonceBytes + kTimesBytes;

void put_seconds(uint8_t* out, WallTime time) {
  const auto seconds = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
  for (int i = 0; i < 8; ++i) out[i] = static_cast<uint8_t>(seconds >> (56 - 8 * i));
}

WallTime get_seconds(const uint8_t* in) {
  uint64_t seconds = 0;
  for (int i = 0; i < 8; ++i) seconds = seconds << 8 | in[i];
  return WallTime(std::chrono::seconds(static_cast<int64_t>(seconds)));
}

}  // namespace

bool TicketKey::make() {
  std::array<uint8_t, 32> key;
  RAND_bytes(key.data(), key.size());
  const bool made = EVP_AEAD_CTX_init(aead_.get(), EVP_aead_aes_256_gcm(), key.data(), key.size(),
                                      EVP_AEAD_DEFAULT_TAG_LENGTH, nullptr);
  OPENSSL_cleanse(key.data(), key.size());
  return made;
}

std::optional<size_t> TicketKey::seal(std::span<const uint8_t> session, WallTime issued, WallTime chain_until,
                                      std::span<uint8_t> out) const {
  if (out.size() < session.size() + kOverheadBytes) return std::nullopt;
  std::array<uint8_t, kTrailerBytes> trailer;
  RAND_bytes(trailer.data(), kNonceBytes);
  put_seconds(&trailer[kNonceBytes], issued);
  put_seconds(&trailer[kNonceBytes + 8], chain_until);
  size_t sealed = 0;
  if (!EVP_AEAD_CTX_seal(aead_.get(), out.data(), &sealed, out.size() - kTrailerBytes, trailer.data(),
                         kNonceBytes, session.data(), session.size(), &trailer[kNonceBytes], kTimesBytes)) {
    ERR_clear_error();
    return std::nullopt;
  }
  std::ranges::copy(trailer, out.begin() + static_cast<ptrdiff_t>(sealed));
  return sealed + kTrailerBytes;
}

std::optional<TicketKey::Opened> TicketKey::open(std::span<const uint8_t> ticket, WallTime now,
                                                 std::span<uint8_t> out) const {
  if (ticket.size() < kOverheadBytes) return std::nullopt;
  std::array<uint8_t, kTrailerBytes> trailer;  // `out` may lie over the ticket
  std::ranges::copy(ticket.last(kTrailerBytes), trailer.begin());
  size_t opened = 0;
  if (!EVP_AEAD_CTX_open(aead_.get(), out.data(), &opened, out.size(), trailer.data(), kNonceBytes,
                         ticket.data(), ticket.size() - kTrailerBytes, &trailer[kNonceBytes], kTimesBytes)) {
    ERR_clear_error();  // of another key
    return std::nullopt;
  }
  const WallTime issued = get_seconds(&trailer[kNonceBytes]);
  const WallTime chain_until = get_seconds(&trailer[kNonceBytes + 8]);
  if (now >= issued + limits::ticket_life || now < issued - kClockSkew || now >= chain_until)
    return std::nullopt;
  return Opened{opened, chain_until};
}

}  // namespace weir::tls
