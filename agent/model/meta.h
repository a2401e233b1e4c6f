#pragma once
// What every object has: its name, its labels, and how others select it or are attached to it.
// Owner: whoever holds the object. Thread: values, no sharing.
// Source of the names: the Kubernetes API reference (meta/v1).
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::agent {

using Labels = std::map<std::string, std::string>;

struct ObjectName {
  std::string ns;  // empty for what has no namespace
  std::string name;

  std::string text() const { return ns.empty() ? name : ns + "/" + name; }
  auto operator<=>(const ObjectName&) const = default;
};

struct Owner {
  std::string kind, name;
};

struct Meta {
  std::string name, ns;
  std::string uid;  // as written; see Pod::uid()
  Labels labels;
  Labels annotations;                 // those that somebody reads (read_meta)
  std::vector<Owner> owners;          // the controller first
  std::optional<int64_t> created_at;  // Unix seconds of creationTimestamp
  bool deleting = false;              // has a deletionTimestamp

  ObjectName key() const { return {ns, name}; }
  // Of two objects that say different things the older wins; without a time last, then by name.
  std::pair<int64_t, std::string> seniority() const { return {created_at.value_or(INT64_MAX), key().text()}; }
};

// How a policy is attached: to the pods of a Service, to pods by label, or (neither) to its whole namespace.
struct TargetRef {
  std::string kind, name, section;
};
struct Attachment {
  std::optional<Labels> selector;
  std::vector<TargetRef> targets;
};

}  // namespace weir::agent
