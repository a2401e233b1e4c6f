#pragma once
// Whether a peer may reach a port of a workload, and with which requests: the meaning of AuthorizationPolicy and
// PeerAuthentication (api.md "Weir's kinds"). Deny first; with any Allow in force, what none allows is denied; without
// one, allowed. Traffic is judged once as a connection where it is opaque, and request by request where it is HTTP.
// The policies that count are those the destination binds for the port; where they came from (mesh, namespace, Service,
// selector) was resolved by the agent.
// Pure, and free of allocation. Thread: any. Lifetime: a Verdict points into the snapshot that was judged.
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/ip.h"
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/http/message.h"

namespace weir::policy {

// Who asks. The identity is the one that TLS proved, or that is known because the client is a pod of this node.
struct Peer {
  std::string_view identity;  // "spiffe://…"; empty: not authenticated
  Ip ip;
};

// What it asks for.
struct Request {
  const http::Head& head;
  std::string_view
      normal_path;            // http::path_of the target in its normal form; looked at only if needs_path()
  bool path_refused = false;  // the target has no normal form
};

// A policy and the rule of it that matched; the rule is null where a policy counts without one (it is invalid).
struct Match {
  const config::Policy* policy = nullptr;
  const config::Rule* rule = nullptr;
};

struct Verdict {
  static constexpr size_t kAuditsMax = 4;

  bool allowed = true;
  Reason reason = Reason::none;  // denied, not_allowed; bad_request: answer 400
  const config::Policy* policy =
      nullptr;                         // what denied, or what allowed; null for not_allowed and by default
  const config::Rule* rule = nullptr;  // null: the policy is invalid, or there is no policy
  size_t audit_count = 0;              // all Audit policies that matched; the first kAuditsMax are kept
  std::array<Match, kAuditsMax> audit_matches{};

  std::span<const Match> audits() const {
    return {audit_matches.data(), audit_count < kAuditsMax ? audit_count : kAuditsMax};
  }
};

// Judges opaque traffic: a condition that only a parsed request can meet counts as met in a Deny and never in an Allow.
// `port` is the workload's own, not the Service's.
Verdict judge(const config::Workload& destination, uint16_t port, const Peer& peer);

// Judges one request. Where a policy in force looks at paths and this one's has no normal form, nothing is known of what
// an application would make of it: refused as bad_request, whatever else the policies say.
Verdict judge(const config::Workload& destination, uint16_t port, const Peer& peer, const Request& request);

// Whether a policy in force on the port can only be judged by requests: then HTTP is not to be passed on as opaque.
bool needs_request(const config::Workload& destination, uint16_t port);
// Whether one looks at paths: then the target is brought to its normal form before it is judged and forwarded.
bool needs_path(const config::Workload& destination, uint16_t port);

// Strict refuses what did not come secured (over mTLS, or from a pod of this node directly): plaintext_refused.
Status admit(config::TlsMode mode, bool secured);

}  // namespace weir::policy
