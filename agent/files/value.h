#pragma once
// A node of a YAML document or of a JSON one, so that the readers read both: a file's objects and the API server's.
// Owner: the document's. Thread: one at a time. Lifetime: while the document (YAML::Node, or the JSON value) lives.
#include <yaml-cpp/yaml.h>

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <variant>

namespace weir::agent {

class Value {
 public:
  Value() = default;  // nothing is there
  explicit Value(YAML::Node node) : node_(std::move(node)) {}
  explicit Value(const nlohmann::json& json) : node_(&json) {}

  bool present() const;  // null counts as absent
  bool is_map() const;
  bool is_sequence() const;
  bool is_scalar() const;
  int line() const;            // 1-based; 0 in JSON
  std::string scalar() const;  // true and 8080 as they are written

  size_t size() const;
  Value item(size_t index) const;
  Value member(const char* name) const;
  // Of a map.
  void each(const std::function<void(const Value& key, const Value& value)>& visit) const;

 private:
  explicit Value(std::string key) : node_(std::move(key)) {}

  std::variant<std::monostate, YAML::Node, const nlohmann::json*, std::string> node_;
};

}  // namespace weir::agent
