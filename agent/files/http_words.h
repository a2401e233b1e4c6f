#pragma once
// The words of HTTP that routes and policies are made of. Each function reads one scalar and refuses, with its place,
// what could never match a request or would not be one meaning on the wire. All throw Refused. Thread: any.
// Source: RFC 9110 §5 (names, values), the CRDs of the Gateway API (lengths, paths, host names, origins).
#include <string>
#include <string_view>

#include "agent/files/fields.h"
#include "nodeproxy/base/http_syntax.h"

namespace weir::agent {

std::string lower_case(std::string_view text);

using http_syntax::is_token;
std::string read_token(const Field& field);         // of at most 256 characters
std::string read_header_name(const Field& field);   // a token; no field of the connection or the framing
std::string read_header_value(const Field& field);  // printable, blanks inside; not empty
std::string read_standard_method(const Field& field);
std::string read_hostname(const Field& field);           // RFC 1123, lower case
std::string read_wildcard_hostname(const Field& field);  // the same, or "*." and one
std::string read_origin(const Field& field);  // "*", "https://example.com:8443", "https://*.example.com"
// Of an exact match or a prefix: absolute, in its normal form. `read_url_path`: what a redirect or rewrite puts there.
// Neither has what parsers disagree on: why, or nothing.
std::string_view ambiguity_of(std::string_view path);
std::string read_match_path(const Field& field);
std::string read_url_path(const Field& field);
// RE2's dialect, within the memory that the proxy grants one.
std::string read_regex(const Field& field, size_t max_chars);

}  // namespace weir::agent
