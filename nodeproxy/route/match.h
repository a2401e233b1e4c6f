#pragma once
// Which rule of a table a request belongs to, and which backend of the rule: the Gateway API's matching and weights.
// The order of precedence is the table's (mesh.proto RouteTable); the index over paths (config/routes.h) leaves few
// matches to look at: those of this exact path, of the prefixes it has, and the regular expressions.
// Pure, and free of allocation but for a field that comes twice or an escaped query where a match asks for it.
// Thread: any. Lifetime: what is returned points into the snapshot.
#include <cstdint>
#include <string_view>

#include "nodeproxy/config/routes.h"
#include "nodeproxy/http/message.h"

namespace weir::route {

// The first match that holds; null: none, answer 404. `path` is http::path_of a target in its normal form; the query is
// taken from head.path.
const config::RouteMatch* match(const config::RouteTable& table, const http::Head& head,
                                std::string_view path);

// Whether one match holds.
bool holds(const config::RouteMatch& match, const http::Head& head, std::string_view path);

// Whether `prefix` is `path` or a beginning of it that ends where a segment does. The prefix is as in RouteMatch: no
// trailing slash, except "/", which is a prefix of everything.
bool has_prefix(std::string_view path, std::string_view prefix);

// A backend by its weight, the same for the same number. Null: there is none with a weight, answer 500. A backend
// without a service is invalid: its share of requests is answered 500.
const config::Backend* choose(const config::RouteRule& rule, uint64_t random);

}  // namespace weir::route
