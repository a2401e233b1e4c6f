// The meaning of rules and matches, and the order Deny, Allow, default. See judge.h.
//
// A condition of layer 7 cannot be looked at on opaque traffic, nor one at all that is of a kind this proxy does not know
// (Match::l7 without any of the fields it knows). What is unknown must not open a door: it counts as met where that
// denies, and as not met where that allows (or merely audits).
#include "nodeproxy/policy/judge.h"

#include <algorithm>
#include <string>
#include <vector>

#include "nodeproxy/config/spiffe.h"
#include "nodeproxy/policy/request_match.h"

namespace weir::policy {
namespace {

using config::Action;

// What is judged, taken apart once for all policies.
struct Subject {
  std::string_view identity;  // without "spiffe://"
  std::string_view ns;
  Ip ip;
  uint16_t port;
  const Request* request;  // null: opaque
};

bool any_pattern(const std::vector<std::string>& patterns, std::string_view value) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const auto& p) { return matches_pattern(p, value); });
}

bool any_block(const std::vector<Prefix>& blocks, const Ip& ip) {
  return std::any_of(blocks.begin(), blocks.end(), [&](const Prefix& block) { return block.contains(ip); });
}

bool any_port(const std::vector<uint16_t>& ports, uint16_t port) {
  return std::find(ports.begin(), ports.end(), port) != ports.end();
}

bool l7_holds(const config::Match& match, const Subject& subject, Action action) {
  const bool known = match.has_l7_conditions();
  if (!known && !match.l7) return true;
  if (known && subject.request != nullptr) return meets_request(match, *subject.request, action);
  return action == Action::deny;
}

// Every list that is not empty must hold; a not_ list holds when none of its values does. No identity and no namespace
// match nothing, not even "*".
bool matches(const config::Match& match, const Subject& subject, Action action) {
  return (match.principals.empty() || any_pattern(match.principals, subject.identity)) &&
         !any_pattern(match.not_principals, subject.identity) &&
         (match.namespaces.empty() || any_pattern(match.namespaces, subject.ns)) &&
         !any_pattern(match.not_namespaces, subject.ns) &&
         (match.ip_blocks.empty() || any_block(match.ip_blocks, subject.ip)) &&
         !any_block(match.not_ip_blocks, subject.ip) &&
         (match.ports.empty() || any_port(match.ports, subject.port)) &&
         !any_port(match.not_ports, subject.port) && l7_holds(match, subject, action);
}

bool matches(const config::Rule& rule, const Subject& subject, Action action) {
  const auto holds = [&](const config::Match& match) { return matches(match, subject, action); };
  return (rule.from.empty() || std::any_of(rule.from.begin(), rule.from.end(), holds)) &&
         (rule.to.empty() || std::any_of(rule.to.begin(), rule.to.end(), holds)) &&
         std::all_of(rule.when.begin(), rule.when.end(), holds);
}

const config::Rule* first_match(const config::Policy& policy, const Subject& subject) {
  for (const config::Rule& rule : policy.rules)
    if (matches(rule, subject, policy.action)) return &rule;
  return nullptr;
}

bool in_force(const config::PolicyBinding& binding, uint16_t port) {
  return binding.ports.empty() || any_port(binding.ports, port);
}

// The first policy in force on the port with a match of which this is true.
template <typename Holds>
const config::Policy* first_with(const config::Workload& destination, uint16_t port, Holds holds) {
  const auto any = [&](const std::vector<config::Match>& matches) {
    return std::any_of(matches.begin(), matches.end(), holds);
  };
  for (const config::PolicyBinding& binding : destination.policies) {
    if (!in_force(binding, port)) continue;
    for (const config::Rule& rule : binding.policy->rules)
      if (any(rule.from) || any(rule.to) || any(rule.when)) return binding.policy.get();
  }
  return nullptr;
}

const config::Policy* looking_at_paths(const config::Workload& destination, uint16_t port) {
  return first_with(destination, port,
                    [](const config::Match& match) { return match.has_path_conditions(); });
}

Verdict judge_subject(const config::Workload& destination, const Subject& subject) {
  Verdict verdict;
  Match denied, allowed;
  bool any_allow = false;
  for (const config::PolicyBinding& binding : destination.policies) {
    if (!in_force(binding, subject.port)) continue;
    const config::Policy& policy = *binding.policy;
    // A policy that was never accepted: its Allow is in force and matches nothing, its Deny everything it selects.
    const config::Rule* rule = policy.invalid ? nullptr : first_match(policy, subject);
    switch (policy.action) {
      case Action::deny:
        if ((rule != nullptr || policy.invalid) && denied.policy == nullptr) denied = {&policy, rule};
        break;
      case Action::allow:
        any_allow = true;
        if (rule != nullptr && allowed.policy == nullptr) allowed = {&policy, rule};
        break;
      case Action::audit:
        if (rule == nullptr) break;
        if (verdict.audit_count < Verdict::kAuditsMax)
          verdict.audit_matches[verdict.audit_count] = {&policy, rule};
        ++verdict.audit_count;
        break;
    }
  }
  const Match& decisive = denied.policy != nullptr ? denied : allowed;
  verdict.policy = decisive.policy;
  verdict.rule = decisive.rule;
  if (denied.policy != nullptr) {
    verdict.reason = Reason::denied;
  } else if (any_allow && allowed.policy == nullptr) {
    verdict.reason = Reason::not_allowed;
  }
  verdict.allowed = verdict.reason == Reason::none;
  return verdict;
}

}  // namespace

Verdict judge(const config::Workload& destination, uint16_t port, const Peer& peer) {
  return judge_subject(destination, {config::without_scheme(peer.identity),
                                     config::namespace_of(peer.identity), peer.ip, port, nullptr});
}

Verdict judge(const config::Workload& destination, uint16_t port, const Peer& peer, const Request& request) {
  if (request.path_refused) {
    if (const config::Policy* policy = looking_at_paths(destination, port)) {
      Verdict refused;
      refused.allowed = false;
      refused.reason = Reason::bad_request;
      refused.policy = policy;
      return refused;
    }
  }
  return judge_subject(destination, {config::without_scheme(peer.identity),
                                     config::namespace_of(peer.identity), peer.ip, port, &request});
}

bool needs_request(const config::Workload& destination, uint16_t port) {
  return first_with(destination, port, [](const config::Match& match) {
           return match.l7 || match.has_l7_conditions();
         }) != nullptr;
}

bool needs_path(const config::Workload& destination, uint16_t port) {
  return looking_at_paths(destination, port) != nullptr;
}

Status admit(config::TlsMode mode, bool secured) {
  if (mode == config::TlsMode::strict && !secured) return fail(Source::policy, Reason::plaintext_refused);
  return {};
}

}  // namespace weir::policy
