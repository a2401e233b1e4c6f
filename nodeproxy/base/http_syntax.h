#pragma once
// The small grammar of HTTP that configuration and traffic must agree on, so that what a route or a policy names is what
// a request can have: tokens, field values, the fields that no rule may touch, and the one normal form of a path.
// It stands in base/ because config/ (and the agent) validate with it what http/ and the rooms compare on the path.
// Thread: pure functions. Source: RFC 9110 sections 5 and 7.6.1, RFC 3986 sections 2 and 6.2.2; http.md "Requests".
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::http_syntax {

// How many characters at the front are tchars.
size_t token_end(std::string_view text);
// 1*tchar.
bool is_token(std::string_view text);

// Whether two names of fields are the same: ASCII, without case.
bool same_field(std::string_view a, std::string_view b);

// A field's value: no control but the tab, and no space or tab at either edge. May be empty.
bool is_field_value(std::string_view text);

// Fields that belong to one connection, to framing or to the transfer of a body (Connection, Transfer-Encoding,
// Content-Length, Upgrade, Expect, …). Proxies take them out of a head and write them anew, so no rule can look at them
// or edit them.
bool is_connection_field(std::string_view name);

// Why a path has no normal form.
enum class PathFault : uint8_t {
  none,
  no_slash,          // does not begin with '/'
  bad_escape,        // '%' without two hexadecimal digits
  hidden_separator,  // %2F, %5C, %00 or '\': parsers disagree on what they are
  bad_byte,          // a control, a space or '#'
  dotted_parameter,  // a segment "..;x" or ".;x", which some servers take for "..": RFC 3986 does not
};
std::string_view describe(PathFault fault);

// The normal form of a path without query: duplicate slashes merged, then dot segments resolved (never above the root),
// escaped unreserved characters written plain, other escapes in upper case, and what RFC 3986 does not let stand in a
// path (as '|', '{' and bytes above 0x7f) escaped. Applied twice it changes nothing more.
// `instead` receives the normal form where that differs from `path`, and is cleared where it does not (most paths: then
// nothing is allocated).
PathFault normalise_path(std::string_view path, std::string& instead);

// Likewise for a pattern that stands for all paths that begin so ("/a/.ht" of "/a/.ht*"): the last segment is a beginning
// and may be or become anything, so dots there stay.
PathFault normalise_path_prefix(std::string_view prefix, std::string& instead);

}  // namespace weir::http_syntax
