// See json.h.
#include "agent/kube/json.h"

namespace weir::agent::kube {

Json parse_pruned(std::string_view text, int depth) {
  const auto keep = [depth](int at, Json::parse_event_t event, const Json& parsed) {
    return !(event == Json::parse_event_t::key && at == depth && parsed == "managedFields");
  };
  return Json::parse(text, keep, false);
}

std::string text_at(const Json& object, const char* name) {
  if (!object.is_object()) return {};
  const auto found = object.find(name);
  return found == object.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

std::string text_at(const Json& object, const char* outer, const char* name) {
  if (!object.is_object()) return {};
  const auto found = object.find(outer);
  return found == object.end() ? std::string() : text_at(*found, name);
}

const Json& member(const Json& object, const std::string& pointer) {
  static const Json none;
  const Json::json_pointer where(pointer);
  return object.contains(where) ? object[where] : none;
}

std::string text_member(const Json& object, const std::string& pointer) {
  const Json& value = member(object, pointer);
  return value.is_string() ? value.get<std::string>() : "";
}

std::string url_encoded(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[static_cast<uint8_t>(c) >> 4];
      out += kHex[static_cast<uint8_t>(c) & 15];
    }
  }
  return out;
}

}  // namespace weir::agent::kube
