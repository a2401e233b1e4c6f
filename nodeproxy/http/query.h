#pragma once
// Parameters of a query as applications read them: pairs parted by '&', the first '=' parts name and value, '+' and
// escapes are decoded (the form that browsers write: WHATWG URL, application/x-www-form-urlencoded). A rule compares
// decoded text, or else another spelling of the same parameter would pass it by. The query itself is never changed.
// Thread: pure functions.
#include <optional>
#include <string>
#include <string_view>

namespace weir::http {

// The value, as it came, of the first parameter of this (plain) name; empty where it has no '='. Allocates nothing.
std::optional<std::string_view> first_parameter(std::string_view query, std::string_view name);

// Whether a part of a query, decoded, is `plain`. Allocates nothing.
bool parameter_equals(std::string_view raw, std::string_view plain);

// A part of a query, decoded; a '%' that begins no escape stands for itself.
std::string decode_parameter(std::string_view raw);

}  // namespace weir::http
