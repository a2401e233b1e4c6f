// The two forms side by side. See value.h.
#include "agent/files/value.h"

#include <nlohmann/json.hpp>

namespace weir::agent {
namespace {

using Json = nlohmann::json;

const YAML::Node* yaml_of(const auto& node) { return std::get_if<YAML::Node>(&node); }

const Json* json_of(const auto& node) {
  const auto* json = std::get_if<const Json*>(&node);
  return json == nullptr ? nullptr : *json;
}

}  // namespace

bool Value::present() const {
  if (const auto* yaml = yaml_of(node_)) return yaml->IsDefined() && !yaml->IsNull();
  if (const auto* json = json_of(node_)) return !json->is_null();
  return std::holds_alternative<std::string>(node_);
}

bool Value::is_map() const {
  if (const auto* yaml = yaml_of(node_)) return yaml->IsMap();
  const auto* json = json_of(node_);
  return json != nullptr && json->is_object();
}

bool Value::is_sequence() const {
  if (const auto* yaml = yaml_of(node_)) return yaml->IsSequence();
  const auto* json = json_of(node_);
  return json != nullptr && json->is_array();
}

bool Value::is_scalar() const {
  if (const auto* yaml = yaml_of(node_)) return yaml->IsScalar();
  if (const auto* json = json_of(node_)) return json->is_primitive() && !json->is_null();
  return std::holds_alternative<std::string>(node_);
}

int Value::line() const {
  const auto* yaml = yaml_of(node_);
  return yaml == nullptr ? 0 : yaml->Mark().line + 1;
}

std::string Value::scalar() const {
  if (const auto* yaml = yaml_of(node_)) return yaml->Scalar();
  if (const auto* json = json_of(node_)) {
    return json->is_string() ? json->get_ref<const std::string&>()
                             : json->dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  const auto* key = std::get_if<std::string>(&node_);
  return key == nullptr ? std::string() : *key;
}

size_t Value::size() const {
  if (const auto* yaml = yaml_of(node_)) return yaml->size();
  const auto* json = json_of(node_);
  return json == nullptr ? 0 : json->size();
}

Value Value::item(size_t index) const {
  if (const auto* yaml = yaml_of(node_)) return Value((*yaml)[index]);
  return Value((*json_of(node_))[index]);
}

Value Value::member(const char* name) const {
  if (const auto* yaml = yaml_of(node_)) {
    const YAML::Node& self = *yaml;  // const: a look-up must not insert
    const YAML::Node found = self[name];
    return found.IsDefined() ? Value(found) : Value();
  }
  const auto* json = json_of(node_);
  const auto found = json->find(name);
  return found == json->end() ? Value() : Value(*found);
}

void Value::each(const std::function<void(const Value& key, const Value& value)>& visit) const {
  if (const auto* yaml = yaml_of(node_)) {
    for (const auto& entry : *yaml) visit(Value(entry.first), Value(entry.second));
    return;
  }
  for (const auto& [key, value] : json_of(node_)->items()) visit(Value(std::string(key)), Value(value));
}

}  // namespace weir::agent
