// SPIFFE IDs and certificates as peers may write them. What is taken must be made of its parts, byte for byte: there is
// one way to write an identity. A first byte of 0 hands the rest to the certificate's leaf rules instead.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "nodeproxy/tls/verify.h"

namespace {

void check(const weir::tls::SpiffeId& id) {
  const std::string parts = "spiffe://" + std::string(id.trust_domain()) + "/ns/" + std::string(id.ns()) +
                            "/sa/" + std::string(id.service_account());
  if (parts != id.uri() || id.uri().size() > 2048 || "spiffe://" + std::string(id.principal()) != parts)
    std::abort();
  if (id.uri().find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-._:/") != std::string::npos)
    std::abort();
  if (id.uri().find("//", 9) != std::string::npos || id.uri().ends_with('/')) std::abort();
  const auto again = weir::tls::SpiffeId::parse(id.uri());
  if (!again || !(*again == id)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text[0] == 0) {
    const auto certificate = weir::tls::parse_certificate(text.substr(1));
    if (!certificate) return 0;
    if (const auto leaf = weir::tls::check_leaf(certificate.get())) check(leaf->identity);
    return 0;
  }
  if (const auto id = weir::tls::SpiffeId::parse(text)) check(*id);
  return 0;
}
