// Parsing SPIFFE IDs by one left-to-right cut; every byte is checked against the one alphabet. See identity.h.
#include "nodeproxy/tls/identity.h"

#include <algorithm>

namespace weir::tls {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr size_t kUriBytesMax = 2048;         // SPIFFE-ID 2.3
constexpr size_t kTrustDomainBytesMax = 255;  // SPIFFE-ID 2.1

// What a segment and a trust domain may be made of. It leaves out ':', '@', '?', '#', '%', NUL, upper case and
// everything that is not ASCII.
bool allowed(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool segment(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && std::ranges::all_of(text, allowed);
}

// Takes what stands before the next '/' off the front of `rest`.
std::string_view cut(std::string_view& rest) {
  const size_t slash = rest.find('/');
  const std::string_view head = rest.substr(0, slash);
  rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
  return head;
}

}  // namespace

Result<SpiffeId> SpiffeId::parse(std::string_view uri) {
  const auto refuse = [](const char* why) { return fail(Source::local, Reason::certificate_malformed, why); };
  if (uri.size() > kUriBytesMax) return refuse("the SPIFFE ID is longer than 2,048 bytes");
  if (!uri.starts_with(kScheme)) return refuse("the identity is no spiffe:// URI");
  std::string_view rest = uri.substr(kScheme.size());
  const std::string_view domain = cut(rest);
  if (domain.size() > kTrustDomainBytesMax || !segment(domain))
    return refuse("the trust domain is malformed");
  if (cut(rest) != "ns") return refuse("the SPIFFE ID's path is not /ns/NAMESPACE/sa/SERVICE_ACCOUNT");
  const std::string_view ns = cut(rest);
  if (!segment(ns)) return refuse("the SPIFFE ID's namespace is malformed");
  if (cut(rest) != "sa") return refuse("the SPIFFE ID's path is not /ns/NAMESPACE/sa/SERVICE_ACCOUNT");
  if (!segment(rest))
    return refuse("the SPIFFE ID's service account is malformed");  // a further '/' is not allowed()
  return SpiffeId(uri, domain.size(), ns.size());
}

}  // namespace weir::tls
