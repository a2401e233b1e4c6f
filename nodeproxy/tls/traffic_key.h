#pragma once
// One direction's key of a TLS 1.3 connection: the AEAD of its suite under the current traffic secret, with the sequence
// number of the next record (RFC 8446 5.2, 5.3, 7.2, 7.3). The cryptography is BoringSSL's.
// Owner: a RecordReader or RecordWriter. Thread: its worker. Secrets are cleansed on the way out.
#include <openssl/aead.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace weir::tls {

inline constexpr size_t kRecordHeaderBytes = 5;
inline constexpr size_t kRecordOverheadBytes = kRecordHeaderBytes + 1 + 16;  // header, inner type, tag

class TrafficKey {
 public:
  // `suite` as on the wire: 0x1301 AES-128-GCM, 0x1302 AES-256-GCM, 0x1303 ChaCha20-Poly1305.
  static std::optional<TrafficKey> make(uint16_t suite, std::span<const uint8_t> secret, uint64_t sequence);
  ~TrafficKey();
  TrafficKey(TrafficKey&& other) noexcept;

  bool update();  // to the next generation's secret: KeyUpdate
  uint64_t sequence() const { return sequence_; }
  // Opens the body of a record where it lies; the inner plaintext with its type and padding, or nothing.
  std::optional<std::span<uint8_t>> open(std::span<uint8_t> record);
  // Writes one record of `inner_type`, of the pieces (kPiecesMax at most) one behind the other, into `record`, which is
  // kRecordOverheadBytes longer.
  bool seal(uint8_t inner_type, std::span<const std::span<const std::byte>> pieces,
            std::span<uint8_t> record);
  static constexpr size_t kPiecesMax = 15;

 private:
  explicit TrafficKey(uint16_t suite) : suite_(suite) {}
  bool derive();
  std::array<uint8_t, 12> nonce() const;

  uint16_t suite_;
  uint8_t secret_bytes_ = 0;
  std::array<uint8_t, 48> secret_{};
  std::array<uint8_t, 12> iv_{};
  uint64_t sequence_ = 0;
  std::unique_ptr<EVP_AEAD_CTX> aead_;
};

}  // namespace weir::tls
