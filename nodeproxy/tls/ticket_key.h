#pragma once
// The key under which a server hides what it knows of a session in the ticket that it hands out (RFC 8446 4.6.1). One for
// each Context, made with it and gone with it: no ticket outlives the certificate generation, the identity or the trust
// bundle that it was given under, and none is worth anything under another. AES-256-GCM with a random nonce: a
// Context lives for hours, far fewer tickets than 2^32.
//
//   ticket = ciphertext ‖ tag ‖ nonce (12) ‖ issued (8) ‖ chain_until (8), the last two in the clear, and authenticated
//
// Owner: a Context. Thread: immutable, any. The key is cleansed on the way out.
#include <openssl/aead.h>

#include <cstdint>
#include <optional>
#include <span>

#include "nodeproxy/tls/bundle.h"

namespace weir::tls {

class TicketKey {
 public:
  static constexpr size_t kOverheadBytes = 16 + 12 + 8 + 8;

  bool make();  // false: out of memory

  // Into `out`, which may begin where `session` does; the ticket's length, or nothing.
  std::optional<size_t> seal(std::span<const uint8_t> session, WallTime issued, WallTime chain_until,
                             std::span<uint8_t> out) const;
  struct Opened {
    size_t bytes = 0;      // of the session
    WallTime chain_until;  // when the first of the client's certificates ends
  };
  // Nothing: not a ticket of this key, older than limits::ticket_life at `now`, or its client's chain has ended.
  std::optional<Opened> open(std::span<const uint8_t> ticket, WallTime now, std::span<uint8_t> out) const;

 private:
  bssl::ScopedEVP_AEAD_CTX aead_;
};

}  // namespace weir::tls
