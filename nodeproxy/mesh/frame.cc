// Encoding and decoding of frames. See frame.h for the layout.
#include "nodeproxy/mesh/frame.h"

#include <algorithm>
#include <concepts>
#include <cstring>

namespace weir::mesh {
namespace {

enum OpenField : uint8_t { client_address = 1, workload_uid = 2, service = 3 };
constexpr uint8_t kFieldCritical = 0x80;
constexpr size_t kClientAddressBytes = 18;
constexpr size_t kNameBytesMax = 512;  // of a uid or "namespace/name"

template <std::unsigned_integral T>
T load(const std::byte* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value << 8 | static_cast<uint8_t>(from[i]));
  return value;
}

template <std::unsigned_integral T>
std::byte* store(std::byte* into, T value) {
  for (size_t i = sizeof(T); i-- > 0;) *into++ = static_cast<std::byte>(value >> (8 * i));
  return into;
}

// Room for a whole frame at the end of `out`, its header written; the payload's begin.
std::byte* append_frame(std::vector<std::byte>& out, FrameType type, uint8_t flags, size_t length,
                        uint32_t session) {
  const size_t at = out.size();
  out.resize(at + kHeaderBytes + length);
  encode_header({static_cast<uint8_t>(type), flags, static_cast<uint16_t>(length), session},
                std::span<std::byte, kHeaderBytes>(out.data() + at, kHeaderBytes));
  return out.data() + at + kHeaderBytes;
}

std::byte* put_field(std::byte* at, uint8_t type, std::string_view value) {
  at = store<uint8_t>(at, type);
  at = store<uint16_t>(at, static_cast<uint16_t>(value.size()));
  return std::ranges::copy(std::as_bytes(std::span(value)), at).out;
}

}  // namespace

bool retryable(RstReason reason) {
  switch (reason) {
    case RstReason::refused:
    case RstReason::unreachable:
    case RstReason::draining:
    case RstReason::overloaded:
    case RstReason::pod_removed: return true;
    default: return false;
  }
}

RstReason rst_reason_of(Reason reason) {
  switch (reason) {
    case Reason::client_reset:
    case Reason::server_reset: return RstReason::reset;
    case Reason::refused: return RstReason::refused;
    case Reason::unreachable:
    case Reason::connect_timeout: return RstReason::unreachable;
    case Reason::draining:
    case Reason::drain_limit: return RstReason::draining;
    case Reason::overloaded:
    case Reason::ports_exhausted:
    case Reason::out_of_descriptors:
    case Reason::out_of_memory: return RstReason::overloaded;
    case Reason::denied: return RstReason::denied;
    case Reason::not_allowed: return RstReason::not_allowed;
    case Reason::policy_changed: return RstReason::policy_changed;
    case Reason::pod_removed:
    case Reason::unknown_pod: return RstReason::pod_removed;
    case Reason::protocol_error: return RstReason::bad_open;
    case Reason::half_closed_timeout: return RstReason::half_closed_timeout;
    case Reason::not_reached: return RstReason::not_reached;
    case Reason::inspection_required: return RstReason::inspection_required;
    case Reason::internal: return RstReason::internal;
    default: return RstReason::cancelled;
  }
}

Reason reason_of(RstReason reason, Role role) {
  switch (reason) {
    case RstReason::reset: return role == Role::dialler ? Reason::server_reset : Reason::client_reset;
    case RstReason::refused: return Reason::refused;
    case RstReason::unreachable: return Reason::unreachable;
    case RstReason::draining: return Reason::draining;
    case RstReason::overloaded: return Reason::overloaded;
    case RstReason::denied: return Reason::denied;
    case RstReason::not_allowed: return Reason::not_allowed;
    case RstReason::policy_changed: return Reason::policy_changed;
    case RstReason::pod_removed: return Reason::pod_removed;
    case RstReason::bad_open: return Reason::protocol_error;
    case RstReason::half_closed_timeout: return Reason::half_closed_timeout;
    case RstReason::not_reached: return Reason::not_reached;
    case RstReason::inspection_required: return Reason::inspection_required;
    case RstReason::internal: return Reason::internal;
    case RstReason::cancelled: break;
  }
  return role == Role::dialler ? Reason::cancelled : Reason::client_closed;
}

FrameHeader decode_header(std::span<const std::byte, kHeaderBytes> bytes) {
  return {load<uint8_t>(&bytes[0]), load<uint8_t>(&bytes[1]), load<uint16_t>(&bytes[2]),
          load<uint32_t>(&bytes[4])};
}

void encode_header(const FrameHeader& header, std::span<std::byte, kHeaderBytes> into) {
  std::byte* at = store(into.data(), header.type);
  at = store(at, header.flags);
  at = store(at, header.length);
  store(at, header.session);
}

std::optional<Settings> decode_settings(std::span<const std::byte> payload) {
  if (payload.size() < 18) return std::nullopt;
  const std::byte* at = payload.data();
  const Settings settings{load<uint16_t>(at), load<uint32_t>(at + 2), load<uint32_t>(at + 6),
                          load<uint64_t>(at + 10)};
  if (settings.version < kVersion || settings.initial_window_bytes < limits::session_window_initial_bytes ||
      settings.initial_window_bytes > kWindowBytesMax)
    return std::nullopt;
  return settings;
}

std::optional<Goaway> decode_goaway(std::span<const std::byte> payload) {
  if (payload.size() < 5) return std::nullopt;
  return Goaway{load<uint32_t>(payload.data()), static_cast<RstReason>(payload[4])};
}

std::optional<uint32_t> decode_u32(std::span<const std::byte> payload) {
  if (payload.size() != 4) return std::nullopt;
  return load<uint32_t>(payload.data());
}

std::optional<uint64_t> decode_u64(std::span<const std::byte> payload) {
  if (payload.size() != 8) return std::nullopt;
  return load<uint64_t>(payload.data());
}

OpenError decode_open(std::span<const std::byte> payload, OpenInfo& into) {
  bool has_client = false;
  OpenError result = OpenError::none;
  while (!payload.empty()) {
    if (payload.size() < 3) return OpenError::malformed;
    const auto type = load<uint8_t>(payload.data());
    const size_t length = load<uint16_t>(payload.data() + 1);
    if (payload.size() - 3 < length) return OpenError::malformed;
    const std::string_view value(reinterpret_cast<const char*>(payload.data()) + 3, length);
    payload = payload.subspan(3 + length);
    switch (type & ~kFieldCritical) {
      case client_address: {
        if (has_client || length != kClientAddressBytes) return OpenError::malformed;
        has_client = true;
        into.client.ip = *Ip::from_bytes(value.substr(0, 16));
        into.client.port = load<uint16_t>(reinterpret_cast<const std::byte*>(value.data()) + 16);
        break;
      }
      case workload_uid:
      case service: {
        std::string& text = (type & ~kFieldCritical) == service ? into.service : into.workload_uid;
        if (length == 0 || length > kNameBytesMax || !text.empty()) return OpenError::malformed;
        text = value;
        break;
      }
      default:
        if (type & kFieldCritical) result = OpenError::unknown_critical;
    }
  }
  return has_client ? result : OpenError::malformed;
}

void append_settings(std::vector<std::byte>& out, const Settings& settings) {
  std::byte* at = append_frame(out, FrameType::settings, 0, 18, 0);
  at = store(at, settings.version);
  at = store(at, settings.initial_window_bytes);
  at = store(at, settings.sessions_max);
  store(at, settings.features);
}

void append_open(std::vector<std::byte>& out, uint32_t session, const OpenInfo& info) {
  const std::string_view uid = std::string_view(info.workload_uid).substr(0, kNameBytesMax);
  const std::string_view name = std::string_view(info.service).substr(0, kNameBytesMax);
  const size_t length =
      3 + kClientAddressBytes + (uid.empty() ? 0 : 3 + uid.size()) + (name.empty() ? 0 : 3 + name.size());
  std::byte* at = append_frame(out, FrameType::open, 0, length, session);
  at = store<uint8_t>(at, client_address | kFieldCritical);
  at = store<uint16_t>(at, kClientAddressBytes);
  at = std::ranges::copy(std::as_bytes(std::span(info.client.ip.bytes())), at).out;
  at = store<uint16_t>(at, info.client.port);
  if (!uid.empty()) at = put_field(at, workload_uid, uid);
  if (!name.empty()) put_field(at, service, name);
}

void append_empty(std::vector<std::byte>& out, FrameType type, uint32_t session) {
  append_frame(out, type, 0, 0, session);
}

void append_rst(std::vector<std::byte>& out, uint32_t session, RstReason reason) {
  *append_frame(out, FrameType::rst, retryable(reason) ? kFlagRetryable : 0, 1, session) =
      static_cast<std::byte>(reason);
}

void append_ping(std::vector<std::byte>& out, uint64_t token, bool reply) {
  store(append_frame(out, FrameType::ping, reply ? kFlagReply : 0, 8, 0), token);
}

void append_goaway(std::vector<std::byte>& out, const Goaway& goaway) {
  std::byte* at = store(append_frame(out, FrameType::goaway, 0, 5, 0), goaway.last_session);
  *at = static_cast<std::byte>(goaway.reason);
}

void encode_credit(uint32_t session, uint32_t bytes, std::span<std::byte, kCreditFrameBytes> into) {
  encode_header({static_cast<uint8_t>(FrameType::credit), 0, 4, session}, into.first<kHeaderBytes>());
  store(into.data() + kHeaderBytes, bytes);
}

}  // namespace weir::mesh
