// Checking and reading SPIFFE identities by allow-list. See spiffe.h.
#include "nodeproxy/config/spiffe.h"

#include <algorithm>

namespace weir::config {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr size_t kIdentityMaxBytes = 2048;
constexpr size_t kTrustDomainMaxBytes = 255;

bool plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

// Takes the part up to the next '/' off the front of `path`.
std::string_view next_segment(std::string_view& path) {
  const size_t slash = path.find('/');
  const std::string_view segment = path.substr(0, slash);
  path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  return segment;
}

}  // namespace

bool valid_trust_domain(std::string_view domain) {
  return !domain.empty() && domain.size() <= kTrustDomainMaxBytes &&
         std::all_of(domain.begin(), domain.end(), plain);
}

bool valid_spiffe_id(std::string_view identity) {
  if (identity.size() > kIdentityMaxBytes || !identity.starts_with(kScheme)) return false;
  std::string_view rest = without_scheme(identity);
  if (rest.empty() || rest.back() == '/') return false;
  if (!valid_trust_domain(next_segment(rest)) || rest.empty()) return false;
  while (!rest.empty()) {
    const std::string_view segment = next_segment(rest);
    if (segment.empty() || segment == "." || segment == "..") return false;
    if (!std::all_of(segment.begin(), segment.end(), plain)) return false;
  }
  return true;
}

std::string_view without_scheme(std::string_view identity) {
  return identity.starts_with(kScheme) ? identity.substr(kScheme.size()) : identity;
}

std::string_view namespace_of(std::string_view identity) {
  std::string_view rest = without_scheme(identity);
  next_segment(rest);  // the trust domain
  if (next_segment(rest) != "ns") return {};
  const std::string_view ns = next_segment(rest);
  if (next_segment(rest) != "sa" || rest.empty() || rest.find('/') != std::string_view::npos) return {};
  return ns;
}

}  // namespace weir::config
