#pragma once
// What a rule or a backend does to a request and to its response: fields edited, host and path rewritten, a redirect
// answered, a share mirrored. Filters were validated when they were configured; here they are only applied.
// Order: the rule's request filters, then the chosen backend's; of the response the backend's, then the rule's.
// Pure; a message whose filters say nothing is not touched and nothing is allocated.
// Thread: any. Source: Gateway API HTTPHeaderFilter, HTTPURLRewriteFilter, HTTPRequestRedirectFilter,
// HTTPRequestMirrorFilter.
#include <cstdint>
#include <string>
#include <string_view>

#include "nodeproxy/config/routes.h"
#include "nodeproxy/http/message.h"

namespace weir::route {

// Header edits and rewrites. `match` is what the request was routed by: its prefix is what a prefix replacement
// replaces. The target must be in its normal form (http::normalise_target), and is in it afterwards.
void filter_request(const config::Filters& filters, const config::RouteMatch& match, http::Head& request);

void filter_response(const config::Filters& filters, http::Head& response);

// The answer to a request that is redirected: status, Location and an empty body. `port` is the one that the client
// dialled; where the request named no host, Location is relative.
void redirect(const config::Redirect& redirect, const config::RouteMatch& match, const http::Head& request,
              uint16_t port, http::Head& response);

// A path with the matched prefix or all of it replaced, as the Gateway API's table has it. A path that does not have the
// prefix stays.
std::string modified_path(const config::PathModifier& modifier, const config::RouteMatch& match,
                          std::string_view path);

// Whether this request is mirrored there. Each mirror of a rule needs a number of its own.
bool mirrored(const config::Mirror& mirror, uint64_t random);

}  // namespace weir::route
