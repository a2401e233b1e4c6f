// See members.h.
#include "agent/cli/members.h"

#include <fmt/format.h>

namespace weir::agent {

using Json = nlohmann::json;

std::string text_of(const Json& object, const char* name, const std::string& missing) {
  if (!object.is_object() || !object.contains(name) || object[name].is_null()) return missing;
  const Json& value = object[name];
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  return text.empty() ? missing : text;
}

int64_t number_of(const Json& object, const char* name) {
  if (!object.is_object() || !object.contains(name) || !object[name].is_number()) return 0;
  return object[name].get<int64_t>();
}

double real_of(const Json& object, const char* name) {
  if (!object.is_object() || !object.contains(name) || !object[name].is_number()) return 0;
  return object[name].get<double>();
}

bool flag_of(const Json& object, const char* name) {
  return object.is_object() && object.contains(name) && object[name].is_boolean() && object[name].get<bool>();
}

const Json& list_of(const Json& object, const char* name) {
  static const Json kNone = Json::array();
  return object.is_object() && object.contains(name) && object[name].is_array() ? object[name] : kNone;
}

const Json& member_of(const Json& object, const char* name) {
  static const Json kNone;
  return object.is_object() && object.contains(name) ? object[name] : kNone;
}

bool is_name(const std::string& text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/:") ==
             std::string::npos;
}

std::string visible(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace weir::agent
