#pragma once
// Whose bytes are these? Looks at the first bytes of an accepted connection until it is clear whether they are a TLS
// ClientHello, and whether that offers an ALPN of ours. Bytes may come one at a time, and a ClientHello in any number of
// records (RFC 8446 5.1, 4.1.2); total work is linear in the bytes.
// Owner: the detect room, one per connection. Thread: its worker. Lifetime: until it has answered.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nodeproxy/base/limits.h"

namespace weir::detect {

enum class Sniff : uint8_t {
  need_more,    // a ClientHello so far, not complete
  not_tls,      // certainly no TLS: plaintext of the application
  tls_foreign,  // a ClientHello of somebody else's: passed through, or refused, by mode
  tls_weir,     // offers an ALPN weir/…: terminated here
  malformed,    // began as TLS and broke its framing, or longer than limits::client_hello_max_bytes
};

class ClientHelloSniffer {
 public:
  // `bytes` is everything received so far: each call continues where the last one stopped. Any answer but need_more is
  // final, and is repeated.
  Sniff sniff(std::span<const std::byte> bytes);

 private:
  Sniff advance(std::span<const uint8_t> bytes);
  Sniff judge_header();

  // Records may be as short as one byte, with five of header each: the limit on the ClientHello bounds that too.
  static constexpr size_t kSeenBytesMax = 6 * limits::client_hello_max_bytes;

  size_t seen_ = 0;           // of all bytes
  uint16_t record_left_ = 0;  // of the current record's body
  uint8_t header_bytes_ = 0;  // of the current record's header
  bool first_record_ = true;
  uint8_t header_[5] = {};
  std::vector<uint8_t> hello_;  // handshake header and body, records taken off
  Sniff answer_ = Sniff::need_more;
};

// For bytes that are all there.
inline Sniff sniff(std::span<const std::byte> bytes) { return ClientHelloSniffer().sniff(bytes); }

}  // namespace weir::detect
