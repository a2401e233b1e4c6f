// Opening and sealing TLS 1.3 records. See records.h.
#include "nodeproxy/tls/records.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "nodeproxy/tls/alerts.h"

namespace weir::tls {
namespace {

constexpr uint8_t kTypeAlert = 21, kTypeHandshake = 22, kTypeData = 23;
constexpr uint8_t kMessageNewSessionTicket = 4, kMessageKeyUpdate = 24;
constexpr uint8_t kIdleRecordsMax = 32;
// RFC 8446 5.5: an AES-GCM key is good for 2^24.5 full records; a long-lived lane gets there.
constexpr uint64_t kRecordsPerKeyMax = uint64_t{1} << 24;

size_t bytes_of(std::span<const std::span<const std::byte>> pieces) {
  size_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.size();
  return bytes;
}

RecordReader::Opened broken(uint8_t alert) { return {RecordReader::Kind::broken, {}, alert}; }

}  // namespace

RecordReader::Opened RecordReader::open(std::span<std::byte> record) {
  const auto inner = key_.open({reinterpret_cast<uint8_t*>(record.data()), record.size()});
  if (!inner) return broken(kBadRecordMac);
  if (inner->size() > kRecordPlaintextBytesMax + 1) return broken(kRecordOverflow);
  std::span<uint8_t> plain = *inner;
  while (!plain.empty() && plain.back() == 0) plain = plain.first(plain.size() - 1);  // padding
  if (plain.empty()) return broken(kUnexpectedMessage);                               // no type at all
  const uint8_t type = plain.back();
  plain = plain.first(plain.size() - 1);

  if (type == kTypeData && !plain.empty()) {
    idle_records_ = 0;
    return {Kind::data, std::as_writable_bytes(plain), 0};
  }
  if (++idle_records_ > kIdleRecordsMax) return broken(kUnexpectedMessage);
  switch (type) {
    case kTypeData: return {};
    case kTypeHandshake: return handshake_messages(plain);
    case kTypeAlert:
      if (plain.size() != 2) return broken(kDecodeError);
      if (plain[1] == kCloseNotify) return {Kind::closed, {}, kCloseNotify};
      if (plain[1] == kUserCanceled) return {};  // close_notify follows (RFC 8446 6.1)
      return {Kind::alert, {}, plain[1]};
    default: return broken(kUnexpectedMessage);
  }
}

// Whole messages only: both that can come are far smaller than a record, and one that changes keys must end its record
// (RFC 8446 5.1).
RecordReader::Opened RecordReader::handshake_messages(std::span<uint8_t> bytes) {
  if (bytes.empty()) return broken(kUnexpectedMessage);
  Opened opened;
  while (!bytes.empty()) {
    if (bytes.size() < 4) return broken(kUnexpectedMessage);
    const size_t length = size_t{bytes[1]} << 16 | size_t{bytes[2]} << 8 | bytes[3];
    if (bytes.size() - 4 < length) return broken(kUnexpectedMessage);
    const std::span<const uint8_t> body = bytes.subspan(4, length);
    const uint8_t type = bytes[0];
    const std::span<uint8_t> message = bytes.first(4 + length);
    bytes = bytes.subspan(4 + length);
    if (type == kMessageNewSessionTicket) {
      if (opened.kind == Kind::nothing) opened = {Kind::ticket, std::as_writable_bytes(message), 0};
      continue;
    }
    if (type != kMessageKeyUpdate || !bytes.empty()) return broken(kUnexpectedMessage);
    if (body.size() != 1 || body[0] > 1) return broken(kDecodeError);
    if (!key_.update()) return broken(kInternalError);
    update_requested_ |= body[0] == 1;
  }
  return opened;
}

bool RecordReader::take_update_request() { return std::exchange(update_requested_, false); }

// A record ends when it is full, or has as many pieces as one may have.
bool RecordWriter::data(std::span<const std::span<const std::byte>> pieces, Output& out) {
  size_t left = bytes_of(pieces);
  std::span<const std::byte> piece;  // what is left of the one that comes next
  auto next = pieces.begin();
  while (left > 0) {
    if (key_.sequence() >= kRecordsPerKeyMax && !key_update(out)) return false;
    std::array<std::span<const std::byte>, TrafficKey::kPiecesMax> record;
    size_t count = 0, room = kRecordPlaintextBytesMax;
    while (room > 0 && count < record.size()) {
      if (piece.empty()) {
        if (next == pieces.end()) break;
        piece = *next++;
        continue;
      }
      const size_t n = std::min(room, piece.size());
      record[count++] = piece.first(n);
      piece = piece.subspan(n);
      room -= n;
    }
    const size_t records = (left + kRecordPlaintextBytesMax - 1) / kRecordPlaintextBytesMax;
    if (!seal(kTypeData, std::span(record).first(count), out, left + records * kRecordOverheadBytes))
      return false;
    left -= kRecordPlaintextBytesMax - room;
  }
  return true;
}

bool RecordWriter::key_update(Output& out) {
  static constexpr uint8_t kMessage[] = {kMessageKeyUpdate, 0, 0, 1, 0};  // update_not_requested
  const std::span<const std::byte> message = std::as_bytes(std::span(kMessage));
  return seal(kTypeHandshake, {&message, 1}, out, 0) && key_.update();
}

bool RecordWriter::alert(uint8_t code, Output& out) {
  const uint8_t bytes[] = {static_cast<uint8_t>(code == kCloseNotify ? 1 : 2), code};
  const std::span<const std::byte> message = std::as_bytes(std::span(bytes));
  return seal(kTypeAlert, {&message, 1}, out, 0);
}

bool RecordWriter::seal(uint8_t type, std::span<const std::span<const std::byte>> pieces, Output& out,
                        size_t following) {
  const size_t size = bytes_of(pieces) + kRecordOverheadBytes;
  if (!key_.seal(type, pieces, out.reserve(size, following))) return false;
  out.commit(size);
  return true;
}

std::optional<std::span<std::byte>> RecordAssembly::fill(std::span<std::byte>& from) {
  const auto take = [&](std::byte* into, size_t upto) {
    const size_t n = std::min(upto - filled_, from.size());
    std::memcpy(into + filled_, from.data(), n);
    filled_ += n;
    from = from.subspan(n);
  };
  if (filled_ < kRecordHeaderBytes) {
    take(header_.data(), kRecordHeaderBytes);
    if (filled_ < kRecordHeaderBytes) return std::span<std::byte>();
    wanted_ = record_bytes(header_);
    if (wanted_ == 0) return std::nullopt;
    memory_ = std::make_unique_for_overwrite<std::byte[]>(wanted_);
    std::memcpy(memory_.get(), header_.data(), kRecordHeaderBytes);
  }
  take(memory_.get(), wanted_);
  return std::span<std::byte>(memory_.get(), filled_ == wanted_ ? wanted_ : 0);
}

void RecordAssembly::clear() {
  memory_.reset();
  filled_ = wanted_ = 0;
}

size_t record_bytes(std::span<const std::byte> header) {
  const size_t length = size_t{static_cast<uint8_t>(header[3])} << 8 | static_cast<uint8_t>(header[4]);
  const bool good = header[0] == std::byte{kTypeData} && header[1] == std::byte{3} &&
                    header[2] == std::byte{3} && length > 0 && length <= kRecordCiphertextBytesMax;
  return good ? kRecordHeaderBytes + length : 0;
}

}  // namespace weir::tls
