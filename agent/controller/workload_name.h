#pragma once
// The identity of a workload as namespace and service account, and names that are safe in a URL of the API server.
// Thread: any; pure. Source: mesh-protocol.md "Identity"; RFC 1123 labels as Kubernetes restricts them.
#include <optional>
#include <string>
#include <string_view>

namespace weir::agent::controller {

struct WorkloadName {
  std::string trust_domain, ns, service_account;
};

// spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT and nothing else; nothing: it is not of that form.
std::optional<WorkloadName> parse_identity(std::string_view identity);

// Lower case letters, digits, dashes and dots, at most 253, as names of nodes and service accounts are.
bool is_name(std::string_view text);

}  // namespace weir::agent::controller
