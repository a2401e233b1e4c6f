#pragma once
// SPIFFE identities as Weir uses them: spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT, and nothing else. Two
// texts that differ are two identities: there is no normalisation, what could be written in two ways is refused
// (mesh-protocol.md "Verification refuses"; SPIFFE-ID 2.1–2.4).
// Owner: whoever holds it. Thread: values. Lifetime: the parts are views into the identity's own text.
#include <cstdint>
#include <string>
#include <string_view>

#include "nodeproxy/base/error.h"

namespace weir::tls {

class SpiffeId {
 public:
  // Refuses with certificate_malformed: another scheme, upper case, port, user info, query, fragment, '%', "." and
  // "..", empty segments, a trailing slash, more than 2,048 bytes, any byte outside [a-z0-9._-], another path shape.
  static Result<SpiffeId> parse(std::string_view uri);

  const std::string& uri() const { return uri_; }
  // Without the scheme, as policies name it: "cluster.local/ns/shop/sa/cart".
  std::string_view principal() const { return std::string_view(uri_).substr(9); }
  std::string_view trust_domain() const { return std::string_view(uri_).substr(9, domain_bytes_); }
  std::string_view ns() const { return std::string_view(uri_).substr(13 + domain_bytes_, ns_bytes_); }
  std::string_view service_account() const {
    return std::string_view(uri_).substr(17 + domain_bytes_ + ns_bytes_);
  }

  bool operator==(const SpiffeId& other) const { return uri_ == other.uri_; }

 private:
  SpiffeId(std::string_view uri, size_t domain_bytes, size_t ns_bytes)
      : uri_(uri),
        domain_bytes_(static_cast<uint16_t>(domain_bytes)),
        ns_bytes_(static_cast<uint16_t>(ns_bytes)) {}

  std::string uri_;
  uint16_t domain_bytes_ = 0;
  uint16_t ns_bytes_ = 0;
};

}  // namespace weir::tls
