#pragma once
// The form of SPIFFE identities, as text: what the builder accepts, and what policy reads from a peer's identity.
// Certificates are judged by tls/identity; both keep to the rules of mesh-protocol.md "Verification refuses".
// Thread: pure functions.
#include <string_view>

namespace weir::config {

// Lower-case letters, digits, '.', '-', '_'; 1 to 255 bytes (SPIFFE-ID section 2.1).
bool valid_trust_domain(std::string_view domain);

// spiffe://TRUST_DOMAIN/SEGMENT… of at most 2,048 bytes, every segment of lower-case letters, digits, '.', '-', '_',
// none of them empty, "." or "..". No port, userinfo, query, fragment, percent sign or trailing slash can get past that.
bool valid_spiffe_id(std::string_view identity);

// "spiffe://" taken off, where it is there.
std::string_view without_scheme(std::string_view identity);

// NAMESPACE of spiffe://TD/ns/NAMESPACE/sa/ACCOUNT; empty for any other form.
std::string_view namespace_of(std::string_view identity);

}  // namespace weir::config
