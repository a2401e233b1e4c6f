#pragma once
// Reasons and TLS alerts, both ways: what the peer is told of our verdict, and what its alert says of us. One table, so
// that both proxies of a refused handshake log the same reason (mesh-protocol.md; RFC 8446 6.2).
// Owner: none. Thread: any.
#include <cstdint>
#include <string_view>

#include "nodeproxy/base/reason.h"

namespace weir::tls {

// Alerts of RFC 8446 6 that are used by name.
enum Alert : uint8_t {
  kCloseNotify = 0,
  kUnexpectedMessage = 10,
  kBadRecordMac = 20,
  kRecordOverflow = 22,
  kHandshakeFailure = 40,
  kBadCertificate = 42,
  kCertificateExpired = 45,
  kCertificateUnknown = 46,
  kUnknownCa = 48,
  kAccessDenied = 49,
  kDecodeError = 50,
  kInternalError = 80,
  kUserCanceled = 90,
  kCertificateRequired = 116,
  kNoApplicationProtocol = 120,
};

uint8_t alert_of(Reason reason);        // handshake_failure for what has none of its own
Reason reason_of_alert(uint8_t alert);  // handshake_failed for what is not a verdict on a certificate
std::string_view alert_name(uint8_t alert);

}  // namespace weir::tls
