#pragma once
// The parts of a request's target, and its normal form: where a policy or a route looks at the path, one form serves
// policy, routing and forwarding; where none does, the target passes untouched (http.md "Requests").
// Thread: pure functions. Source: RFC 9112 section 3.2, RFC 3986 section 6.2.2; what is refused: base/http_syntax.h.
#include <string>
#include <string_view>

#include "nodeproxy/base/http_syntax.h"

namespace weir::http {

using http_syntax::PathFault;

// Head::path up to the query. "*" (OPTIONS *) and "" (CONNECT) are their own path.
std::string_view path_of(std::string_view target);
// What follows the first '?', without it; empty where there is none.
std::string_view query_of(std::string_view target);

// Brings the path of a target to its normal form, in place; the query stays byte for byte, and "*" and "" as they are.
// On a fault nothing is changed: answer 400. Afterwards path_of(target) is what policies and routes compare.
[[nodiscard]] PathFault normalise_target(std::string& target);

}  // namespace weir::http
