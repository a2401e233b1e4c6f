// See workload_name.h.
#include "agent/controller/workload_name.h"

#include <algorithm>

namespace weir::agent::controller {
namespace {

constexpr std::string_view kScheme = "spiffe://";
constexpr size_t kNameMax = 253, kLabelMax = 63;

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Takes what stands before `mark` off the front; nothing: there is none.
std::optional<std::string> take(std::string_view& text, std::string_view mark) {
  const size_t at = text.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  std::string out(text.substr(0, at));
  text.remove_prefix(at + mark.size());
  return out;
}

}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kNameMax) return false;
  if (!is_alphanumeric(text.front()) || !is_alphanumeric(text.back())) return false;
  return std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '-' || c == '.'; }) &&
         text.find("..") == std::string_view::npos;
}

std::optional<WorkloadName> parse_identity(std::string_view identity) {
  if (!identity.starts_with(kScheme)) return std::nullopt;
  identity.remove_prefix(kScheme.size());
  const auto trust_domain = take(identity, "/ns/");
  const auto ns = take(identity, "/sa/");
  if (!trust_domain || !ns) return std::nullopt;
  const bool domain =
      !trust_domain->empty() && trust_domain->size() <= 255 && std::ranges::all_of(*trust_domain, [](char c) {
        return is_alphanumeric(c) || c == '-' || c == '.' || c == '_';
      });
  if (!domain || !is_name(*ns) || ns->size() > kLabelMax || ns->find('.') != std::string::npos ||
      !is_name(identity)) {
    return std::nullopt;
  }
  return WorkloadName{*trust_domain, *ns, std::string(identity)};
}

}  // namespace weir::agent::controller
