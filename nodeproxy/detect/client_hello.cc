// Record framing off, then the ClientHello's extensions for ALPN. See client_hello.h.
#include "nodeproxy/detect/client_hello.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "nodeproxy/base/limits.h"

namespace weir::detect {
namespace {

constexpr uint8_t kRecordHandshake = 22, kMessageClientHello = 1;
constexpr size_t kRecordBytesMax = 16 * 1024;  // of plaintext records, RFC 8446 5.1
constexpr size_t kMessageHeaderBytes = 4;
constexpr uint16_t kExtensionAlpn = 16;

// Reads big-endian fields off the front; once something is missing, everything after is empty and ok() is false.
class Cursor {
 public:
  explicit Cursor(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  bool empty() const { return bytes_.empty(); }
  std::span<const uint8_t> take(size_t n) {
    if (n > bytes_.size()) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const auto head = bytes_.first(n);
    bytes_ = bytes_.subspan(n);
    return head;
  }
  size_t number(size_t bytes) {
    size_t value = 0;
    for (const uint8_t byte : take(bytes)) value = value << 8 | byte;
    return value;
  }
  // A vector with a length of `length_bytes` before it.
  std::span<const uint8_t> vector(size_t length_bytes) { return take(number(length_bytes)); }

 private:
  std::span<const uint8_t> bytes_;
  bool ok_ = true;
};

bool offers_ours(std::span<const uint8_t> alpn, bool& ok) {
  static constexpr std::string_view kOurs = "weir/";
  Cursor outer(alpn);
  Cursor names(outer.vector(2));
  bool found = false;
  while (outer.ok() && names.ok() && !names.empty()) {
    const std::span<const uint8_t> name = names.vector(1);
    found |= name.size() > kOurs.size() && std::equal(kOurs.begin(), kOurs.end(), name.begin());
  }
  ok = outer.ok() && outer.empty() && names.ok();
  return found;
}

// The body of a ClientHello (RFC 8446 4.1.2).
Sniff judge(std::span<const uint8_t> body) {
  Cursor at(body);
  at.take(2 + 32);  // legacy_version, random
  at.vector(1);     // legacy_session_id
  at.vector(2);     // cipher_suites
  at.vector(1);     // legacy_compression_methods
  if (!at.ok()) return Sniff::malformed;
  if (at.empty()) return Sniff::tls_foreign;  // TLS 1.2 and before: extensions may be left out
  Cursor extensions(at.vector(2));
  if (!at.ok() || !at.empty()) return Sniff::malformed;
  bool ours = false, ok = true;
  while (!extensions.empty()) {
    const size_t type = extensions.number(2);
    const std::span<const uint8_t> value = extensions.vector(2);
    if (!extensions.ok()) return Sniff::malformed;
    if (type == kExtensionAlpn) ours |= offers_ours(value, ok);
  }
  if (!ok) return Sniff::malformed;
  return ours ? Sniff::tls_weir : Sniff::tls_foreign;
}

}  // namespace

Sniff ClientHelloSniffer::sniff(std::span<const std::byte> bytes) {
  if (answer_ != Sniff::need_more || bytes.size() <= seen_) return answer_;
  const std::span<const std::byte> news = bytes.subspan(seen_);
  seen_ = bytes.size();
  answer_ = advance({reinterpret_cast<const uint8_t*>(news.data()), news.size()});
  if (answer_ != Sniff::need_more) hello_ = {};
  return answer_;
}

Sniff ClientHelloSniffer::advance(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    if (record_left_ == 0) {
      header_[header_bytes_++] = bytes.front();
      bytes = bytes.subspan(1);
      if (const Sniff header = judge_header(); header != Sniff::need_more) return header;
      continue;
    }
    const size_t n = std::min<size_t>(record_left_, bytes.size());
    hello_.insert(hello_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    bytes = bytes.subspan(n);
    record_left_ -= static_cast<uint16_t>(n);
    if (hello_[0] != kMessageClientHello) return first_record_ ? Sniff::not_tls : Sniff::malformed;
    if (hello_.size() < kMessageHeaderBytes) continue;
    const size_t length = size_t{hello_[1]} << 16 | size_t{hello_[2]} << 8 | hello_[3];
    if (length > limits::client_hello_max_bytes - kMessageHeaderBytes) return Sniff::malformed;
    if (hello_.size() >= kMessageHeaderBytes + length)
      return judge(std::span<const uint8_t>(hello_).subspan(kMessageHeaderBytes, length));
  }
  return seen_ > kSeenBytesMax ? Sniff::malformed : Sniff::need_more;
}

// After each byte of a record's header. Up to the version an application's own protocol may look the same; from the
// second record on it is TLS for sure.
Sniff ClientHelloSniffer::judge_header() {
  const Sniff not_ours = hello_.empty() ? Sniff::not_tls : Sniff::malformed;
  if (header_[0] != kRecordHandshake) return not_ours;
  if (header_bytes_ > 1 && header_[1] != 3) return not_ours;
  if (header_bytes_ < sizeof header_) return Sniff::need_more;
  header_bytes_ = 0;
  record_left_ = static_cast<uint16_t>(header_[3] << 8 | header_[4]);
  if (record_left_ == 0 || record_left_ > kRecordBytesMax) return Sniff::malformed;
  first_record_ = hello_.empty();
  return Sniff::need_more;
}

}  // namespace weir::detect
