#pragma once
// TLS 1.3 record protection after the handshake (RFC 8446 5, 4.6.3, 7.2–7.3): opening in place, sealing from the
// caller's memory straight into the send queue. BoringSSL's SSL_read and SSL_write would copy every byte once more and
// keep 8 KiB of handshake state per connection; its AEADs do all the cryptography here too.
// Owner: a tls::Session. Thread: its worker. Keys are cleansed on the way out.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "nodeproxy/tls/output.h"
#include "nodeproxy/tls/traffic_key.h"

namespace weir::tls {

inline constexpr size_t kRecordPlaintextBytesMax = 16 * 1024;
inline constexpr size_t kRecordCiphertextBytesMax = kRecordPlaintextBytesMax + 256;  // RFC 8446 5.2

class RecordReader {
 public:
  enum class Kind : uint8_t { data, nothing, ticket, closed, alert, broken };
  struct Opened {
    Kind kind = Kind::nothing;
    std::span<std::byte> bytes;  // data, and the first whole NewSessionTicket: in the record's memory
    uint8_t alert = 0;           // alert: the peer's; broken: the one to send
  };

  explicit RecordReader(TrafficKey key) : key_(std::move(key)) {}
  // The whole record, header included. After closed, alert or broken there is no further call.
  Opened open(std::span<std::byte> record);
  // The peer asked for a KeyUpdate of ours before our next data (RFC 8446 4.6.3); asking again clears it.
  bool take_update_request();

 private:
  Opened handshake_messages(std::span<uint8_t> bytes);

  TrafficKey key_;
  uint8_t idle_records_ = 0;  // in a row, without data in them: empty ones, KeyUpdates
  bool update_requested_ = false;
};

class RecordWriter {
 public:
  explicit RecordWriter(TrafficKey key) : key_(std::move(key)) {}
  // The pieces one behind the other. False: the AEAD failed; end the connection.
  bool data(std::span<const std::span<const std::byte>> pieces, Output& out);
  bool key_update(Output& out);
  bool alert(uint8_t code, Output& out);

 private:
  bool seal(uint8_t type, std::span<const std::span<const std::byte>> pieces, Output& out, size_t following);

  TrafficKey key_;
};

// Collects a record that the end of a receive cut; holds memory only meanwhile.
class RecordAssembly {
 public:
  bool empty() const { return filled_ == 0; }
  bool complete() const { return filled_ != 0 && filled_ == wanted_; }
  // Takes what it needs off the front of `from`; the whole record when it is complete. nullopt: it never will be, the
  // header is not one of protected data. Its memory lasts until clear().
  std::optional<std::span<std::byte>> fill(std::span<std::byte>& from);
  void clear();

 private:
  std::array<std::byte, kRecordHeaderBytes> header_{};
  std::unique_ptr<std::byte[]> memory_;
  size_t filled_ = 0, wanted_ = 0;
};

// Length of the record that starts with these ≥ 5 bytes, header included; 0: not a header of protected data
// (type 23, version 3.3, length at most kRecordCiphertextBytesMax).
size_t record_bytes(std::span<const std::byte> header);

}  // namespace weir::tls
