// AuthorizationPolicy → Policy resources, and which of them bind a pod. An invalid one travels as such: the proxy gives
// it the safe reading. See context.h.
#include "agent/derive/context.h"

namespace weir::agent {
namespace {

void fill(const Match& from, pb::Match& to) {
  const auto copy = [](const std::vector<std::string>& values, auto& into) {
    into.Assign(values.begin(), values.end());
  };
  copy(from.principals, *to.mutable_principals());
  copy(from.not_principals, *to.mutable_not_principals());
  copy(from.namespaces, *to.mutable_namespaces());
  copy(from.not_namespaces, *to.mutable_not_namespaces());
  copy(from.ip_blocks, *to.mutable_ip_blocks());
  copy(from.not_ip_blocks, *to.mutable_not_ip_blocks());
  copy(from.hosts, *to.mutable_hosts());
  copy(from.not_hosts, *to.mutable_not_hosts());
  copy(from.methods, *to.mutable_methods());
  copy(from.not_methods, *to.mutable_not_methods());
  copy(from.paths, *to.mutable_paths());
  copy(from.not_paths, *to.mutable_not_paths());
  copy(from.grpc, *to.mutable_grpc());
  copy(from.not_grpc, *to.mutable_not_grpc());
  for (const auto value : from.ports) to.add_ports(value);
  for (const auto value : from.not_ports) to.add_not_ports(value);
  for (const auto& condition : from.headers) {
    pb::HeaderCondition& header = *to.add_headers();
    header.set_name(condition.name);
    copy(condition.values, *header.mutable_values());
    copy(condition.not_values, *header.mutable_not_values());
  }
  to.set_l7(from.l7());
}

pb::Policy::Action to_proto(Action action) {
  switch (action) {
    case Action::deny: return pb::Policy::DENY;
    case Action::audit: return pb::Policy::AUDIT;
    case Action::allow: break;
  }
  return pb::Policy::ALLOW;
}

}  // namespace

std::vector<pb::PolicyBinding> bindings_of(const Context& context, const Pod& pod) {
  std::vector<pb::PolicyBinding> out;
  const auto add_from = [&](const std::string& home) {
    const auto list = context.policies.find(home);
    if (list == context.policies.end()) return;
    for (const AuthorizationPolicy* policy : list->second) {
      const Binding binding = bind(context, policy->meta, policy->attachment, pod);
      if (!binding.binds) continue;
      pb::PolicyBinding& bound = out.emplace_back();
      bound.set_policy(policy->meta.key().text());
      for (const uint16_t port : binding.ports) bound.add_ports(port);
    }
  };
  add_from(pod.meta.ns);
  if (pod.meta.ns != kWeirNamespace) add_from(kWeirNamespace);
  return out;
}

void derive_policies(Context& context) {
  for (const auto& [name, policy] : context.objects.authorization_policies) {
    pb::Resource resource;
    pb::Policy& out = *resource.mutable_policy();
    out.set_name(name.text());
    out.set_action(to_proto(policy.action));
    out.set_invalid(!policy.invalid.empty());
    for (const auto& rule : policy.rules) {
      pb::Rule& to = *out.add_rules();
      to.set_name(rule.name);
      for (const auto& match : rule.from) fill(match, *to.add_from());
      for (const auto& match : rule.to) fill(match, *to.add_to());
      for (const auto& match : rule.when) fill(match, *to.add_when());
    }
    context.emit(pb::POLICY, name.text(), resource);
    if (!policy.invalid.empty())
      context.note("AuthorizationPolicy " + name.text(), "invalid: " + policy.invalid, "Invalid");
    note_targets(context, "AuthorizationPolicy", policy.meta, policy.attachment);
  }
  for (const auto& [name, policy] : context.objects.peer_authentications) {
    note_targets(context, "PeerAuthentication", policy.meta, policy.attachment);
  }
}

}  // namespace weir::agent
