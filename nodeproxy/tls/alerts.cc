// See alerts.h.
#include "nodeproxy/tls/alerts.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <iterator>

namespace weir::tls {
namespace {

struct Row {
  Reason reason;
  Alert alert;
};
constexpr Row kRows[] = {{Reason::certificate_malformed, kBadCertificate},
                         {Reason::certificate_expired, kCertificateExpired},
                         {Reason::certificate_untrusted, kUnknownCa},
                         {Reason::trust_domain, kAccessDenied},
                         {Reason::identity_mismatch, kCertificateUnknown},
                         {Reason::client_certificate_required, kCertificateRequired},
                         {Reason::out_of_memory, kInternalError}};

}  // namespace

uint8_t alert_of(Reason reason) {
  const Row* row = std::ranges::find(kRows, reason, &Row::reason);
  return row == std::end(kRows) ? kHandshakeFailure : row->alert;
}

Reason reason_of_alert(uint8_t alert) {
  const Row* row = std::ranges::find(kRows, alert, &Row::alert);
  return row == std::end(kRows) || row->reason == Reason::out_of_memory ? Reason::handshake_failed
                                                                        : row->reason;
}

std::string_view alert_name(uint8_t alert) { return SSL_alert_desc_string_long(alert); }

}  // namespace weir::tls
