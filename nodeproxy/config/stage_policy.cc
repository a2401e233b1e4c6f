// Policies from the wire. The strictest of the readers: a condition that is not understood must not be ignored, so
// fields this proxy does not know, at any depth, refuse the policy (mesh.proto "Compatibility").
// Thread: config, pure.
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include "nodeproxy/config/spiffe.h"
#include "nodeproxy/config/stage_value.h"

namespace weir::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The type of the first message, outside in, that has fields this program was not built with; empty: none.
std::string type_with_unknown_fields(const Message& message) {
  const auto* reflection = message.GetReflection();
  if (!reflection->GetUnknownFields(message).empty()) return message.GetDescriptor()->name();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const Message& inner = field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                                  : reflection->GetMessage(message, field);
      if (std::string type = type_with_unknown_fields(inner); !type.empty()) return type;
    }
  }
  return {};
}

// Patterns are exact or end in one '*': anything else a user may have meant (a regular expression, a '*' in front)
// would silently never match, and a Deny that never matches is an open door.
bool read_patterns(const char* field, const google::protobuf::RepeatedPtrField<std::string>& from,
                   std::vector<std::string>& into, std::string& wrong) {
  for (const std::string& text : from) {
    const std::string_view pattern = without_scheme(text);
    const size_t star = pattern.find('*');
    if (pattern.empty() || (star != std::string_view::npos && star + 1 != pattern.size())) {
      wrong = fmt::format("{}: '{}' must be a whole name, or a beginning with one * at its end", field, text);
      return false;
    }
    into.emplace_back(pattern);
  }
  return true;
}

bool read_match(const v1::Match& from, Match& into, std::string& wrong) {
  into.l7 = from.l7();
  return read_patterns("principals", from.principals(), into.principals, wrong) &&
         read_patterns("not_principals", from.not_principals(), into.not_principals, wrong) &&
         read_patterns("namespaces", from.namespaces(), into.namespaces, wrong) &&
         read_patterns("not_namespaces", from.not_namespaces(), into.not_namespaces, wrong) &&
         read_prefixes("ip_blocks", from.ip_blocks(), into.ip_blocks, wrong) &&
         read_prefixes("not_ip_blocks", from.not_ip_blocks(), into.not_ip_blocks, wrong) &&
         read_ports("ports", from.ports(), into.ports, wrong) &&
         read_ports("not_ports", from.not_ports(), into.not_ports, wrong);
}

bool read_matches(const char* list, const google::protobuf::RepeatedPtrField<v1::Match>& from,
                  std::vector<Match>& into, std::string& wrong) {
  for (int i = 0; i < from.size(); ++i) {
    if (read_match(from[i], into.emplace_back(), wrong)) continue;
    wrong = fmt::format("{}[{}].{}", list, i, wrong);
    return false;
  }
  return true;
}

}  // namespace

bool read_policy(const v1::Policy& from, Policy& into, std::string& wrong) {
  if (const std::string type = type_with_unknown_fields(from); !type.empty()) {
    wrong = fmt::format("{} has fields that this proxy does not know; a condition must not be ignored", type);
    return false;
  }
  into.name = from.name();
  into.invalid = from.invalid();
  switch (from.action()) {
    case v1::Policy::ALLOW: into.action = Action::allow; break;
    case v1::Policy::DENY: into.action = Action::deny; break;
    case v1::Policy::AUDIT: into.action = Action::audit; break;
    default: wrong = fmt::format("action: {} is none this proxy knows", int{from.action()}); return false;
  }
  for (int i = 0; i < from.rules_size(); ++i) {
    const v1::Rule& rule = from.rules(i);
    Rule& read = into.rules.emplace_back();
    read.name = rule.name();
    if (read_matches("from", rule.from(), read.from, wrong) &&
        read_matches("to", rule.to(), read.to, wrong) &&
        read_matches("when", rule.when(), read.when, wrong)) {
      continue;
    }
    wrong = fmt::format("rules[{}].{}", i, wrong);
    return false;
  }
  return true;
}

}  // namespace weir::config
