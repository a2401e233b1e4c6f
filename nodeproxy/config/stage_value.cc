// Addresses, prefixes, ports, modes and names of fields from the wire. See stage_value.h.
#include "nodeproxy/config/stage_value.h"

#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>

#include "nodeproxy/base/http_syntax.h"

namespace weir::config {

bool read_address(const std::string& field, const std::string& bytes, Ip& into, std::string& wrong) {
  const auto address = Ip::from_bytes(bytes);
  if (!address) {
    wrong = fmt::format("{}: {} bytes; an address has 4 or 16", field, bytes.size());
    return false;
  }
  if (!address->names_a_host()) {
    wrong =
        fmt::format("{}: {} cannot be the address of a pod, node or service", field, address->to_string());
    return false;
  }
  into = *address;
  return true;
}

bool read_addresses(const google::protobuf::RepeatedPtrField<std::string>& from, std::vector<Ip>& into,
                    std::string& wrong) {
  for (int i = 0; i < from.size(); ++i) {
    Ip address;
    if (!read_address(fmt::format("addresses[{}]", i), from[i], address, wrong)) return false;
    if (std::find(into.begin(), into.end(), address) == into.end()) into.push_back(address);
  }
  return true;
}

bool read_prefixes(const char* field, const google::protobuf::RepeatedPtrField<std::string>& from,
                   std::vector<Prefix>& into, std::string& wrong) {
  for (const std::string& text : from) {
    const auto prefix = Prefix::parse(text);
    if (!prefix) {
      wrong = fmt::format("{}: '{}' is no prefix (10.0.0.0/8, fd00::/8 or an address)", field, text);
      return false;
    }
    into.push_back(*prefix);
  }
  return true;
}

bool read_port(const std::string& field, uint32_t from, uint16_t& into, std::string& wrong) {
  if (from == 0 || from > 65535) {
    wrong = fmt::format("{}: {} is no port (1 to 65535)", field, from);
    return false;
  }
  into = static_cast<uint16_t>(from);
  return true;
}

bool read_ports(const char* field, const google::protobuf::RepeatedField<uint32_t>& from,
                std::vector<uint16_t>& into, std::string& wrong) {
  for (const uint32_t number : from)
    if (!read_port(field, number, into.emplace_back(), wrong)) return false;
  return true;
}

bool read_mode(const std::string& field, int from, TlsMode& into, std::string& wrong) {
  switch (from) {
    case v1::PERMISSIVE: into = TlsMode::permissive; return true;
    case v1::STRICT: into = TlsMode::strict; return true;
    case v1::DISABLED: into = TlsMode::disabled; return true;
    default: wrong = fmt::format("{}: {} is no mode this proxy knows", field, from); return false;
  }
}

std::string type_with_unknown_fields(const google::protobuf::Message& message) {
  const auto* reflection = message.GetReflection();
  if (!reflection->GetUnknownFields(message).empty()) return message.GetDescriptor()->name();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const google::protobuf::Message& inner = field->is_repeated()
                                                   ? reflection->GetRepeatedMessage(message, field, i)
                                                   : reflection->GetMessage(message, field);
      if (std::string type = type_with_unknown_fields(inner); !type.empty()) return type;
    }
  }
  return {};
}

bool read_field_name(const std::string& field, const std::string& from, std::string& into,
                     std::string& wrong) {
  if (!http_syntax::is_token(from)) {
    wrong = fmt::format("{}: '{}' is no name of a header field", field, from);
    return false;
  }
  if (http_syntax::is_connection_field(from)) {
    wrong = fmt::format("{}: '{}' belongs to the connection or to framing; no rule can look at it or edit it",
                        field, from);
    return false;
  }
  into = from;
  return true;
}

}  // namespace weir::config
