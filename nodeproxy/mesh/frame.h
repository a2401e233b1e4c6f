#pragma once
// The frames of ALPN weir/1 (mesh-protocol.md "Sessions and lanes"): an 8-byte header and a payload, all big-endian.
//
//    0        1        2                 4                                   8
//    | type   | flags  | payload length  | session (0: the lane itself)      | payload …
//
//   SETTINGS  u16 version, u32 initial window, u32 most sessions, u64 features; longer ones are read as far as known
//   OPEN      fields: u8 type (0x80: critical), u16 length, value. 1 client address: 16 bytes IPv6 or v4-mapped, u16 port
//             2 uid of the source workload   3 name of the service that was dialled
//   OPENED, FIN   empty        DATA  1 … limits::frame_payload_max_bytes; flag 0x01: more waits, but credit is used up
//   RST       u8 reason; flag 0x01: may be tried elsewhere        CREDIT  u32 more bytes, not 0
//   PING      u64 of the sender's; flag 0x01: the reply           GOAWAY  u32 last accepted session, u8 reason
// A codec only: no state. Owner: none. Thread: any.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/base/ip.h"
#include "nodeproxy/base/limits.h"
#include "nodeproxy/base/reason.h"

namespace weir::mesh {

enum class FrameType : uint8_t { settings = 1, open, opened, data, fin, rst, credit, ping, goaway };

// Which end of the lane: only the dialler opens sessions.
enum class Role : uint8_t { dialler, acceptor };

inline constexpr uint8_t kFlagCritical =
    0x80;  // on a type that the receiver does not know: it must end the lane
inline constexpr uint8_t kFlagLimited = 0x01;    // DATA: the sender has more and no credit
inline constexpr uint8_t kFlagRetryable = 0x01;  // RST
inline constexpr uint8_t kFlagReply = 0x01;      // PING
inline constexpr size_t kHeaderBytes = 8;
inline constexpr uint16_t kVersion = 1;
inline constexpr uint32_t kWindowBytesMax = 1u << 30;  // no credit may ever exceed it

struct FrameHeader {
  uint8_t type = 0;  // FrameType, or one that is not known
  uint8_t flags = 0;
  uint16_t length = 0;
  uint32_t session = 0;
};

// Why a session was reset, on the wire. Numbers are never reused; an unknown one reads as `cancelled`.
enum class RstReason : uint8_t {
  reset = 1,        // the application's connection was reset
  refused = 2,      // the application refused (retryable)
  unreachable = 3,  // no answer from the application's address (retryable)
  draining = 4,     // (retryable)
  overloaded = 5,   // a limit or a budget (retryable)
  denied = 6,       // an AuthorizationPolicy denied it
  not_allowed = 7,  // no Allow policy matched
  policy_changed = 8,
  pod_removed = 9,  // (retryable)
  bad_open = 10,    // a critical field that is not known, or a client address that is not the lane's
  half_closed_timeout = 11,
  cancelled = 12,  // the other side gave up
  internal = 13,
  not_reached =
      14,  // accepted by a proxy that parses, whose application then could not be reached: nothing was done
  inspection_required = 15,  // its requests were not being read, and rules about requests have come
};

bool retryable(RstReason reason);
RstReason rst_reason_of(Reason reason);         // what is put on the wire for one of ours
Reason reason_of(RstReason reason, Role ours);  // what the log says for one that came

struct Settings {
  uint16_t version = kVersion;
  uint32_t initial_window_bytes = limits::session_window_initial_bytes;  // at least that: it is the default
  uint32_t sessions_max = limits::sessions_per_lane;
  uint64_t features = 0;
};

struct OpenInfo {
  SocketAddress
      client;  // as the dialling proxy saw it; must equal the lane's peer address (flow/ checks the IP)
  std::string workload_uid;  // the source pod
  std::string service;       // "namespace/name" when a Service was dialled
};

struct Goaway {
  uint32_t last_session = 0;
  RstReason reason = RstReason::draining;
};

// A type of this version; others are skipped.
constexpr bool known(uint8_t type) { return type >= 1 && type <= static_cast<uint8_t>(FrameType::goaway); }

FrameHeader decode_header(std::span<const std::byte, kHeaderBytes> bytes);
void encode_header(const FrameHeader& header, std::span<std::byte, kHeaderBytes> into);

// Payloads. A decoder gives nothing when the payload breaks its form.
std::optional<Settings> decode_settings(std::span<const std::byte> payload);
std::optional<Goaway> decode_goaway(std::span<const std::byte> payload);
std::optional<uint32_t> decode_u32(std::span<const std::byte> payload);
std::optional<uint64_t> decode_u64(std::span<const std::byte> payload);

enum class OpenError : uint8_t { none, malformed, unknown_critical };
OpenError decode_open(std::span<const std::byte> payload, OpenInfo& into);

// Whole frames, appended.
void append_settings(std::vector<std::byte>& out, const Settings& settings);
void append_open(std::vector<std::byte>& out, uint32_t session, const OpenInfo& info);
void append_empty(std::vector<std::byte>& out, FrameType type, uint32_t session);  // OPENED, FIN
void append_rst(std::vector<std::byte>& out, uint32_t session, RstReason reason);
void append_ping(std::vector<std::byte>& out, uint64_t token, bool reply);
void append_goaway(std::vector<std::byte>& out, const Goaway& goaway);

inline constexpr size_t kCreditFrameBytes = kHeaderBytes + 4;
void encode_credit(uint32_t session, uint32_t bytes, std::span<std::byte, kCreditFrameBytes> into);

}  // namespace weir::mesh
