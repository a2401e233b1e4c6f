#pragma once
// Checks of a certificate request (PKCS #10) that a proxy sent: whoever signs, signs only what passes here.
// Thread: any; pure.
#include <string>
#include <string_view>

#include "agent/identity/openssl.h"

namespace weir::agent {

// The public key of a request that is well-formed DER without a byte too many, signed by its own key, P-256, and names
// as subjectAltName exactly one URI, equal to `identity`, and nothing else. Whatever else it asks for is not copied.
// Errors: Source::peer, certificate_malformed, with a sentence.
Result<KeyPtr> check_csr(std::string_view der, std::string_view identity);

}  // namespace weir::agent
