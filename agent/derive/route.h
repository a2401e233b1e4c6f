#pragma once
// A route on its way to a table: its rules as the proxy reads them, and its matches with their rank. Both are made once,
// whatever number of services the route is attached to. Private to route_*.cc.
// Lifetime: one call of derive(). Thread: that call's.
#include <array>
#include <compare>
#include <string>
#include <vector>

#include "agent/derive/context.h"

namespace weir::agent {

// How specific a match is, by its kind's criteria in their order: the smaller goes first. HTTPRoutes and GRPCRoutes are
// never in one table, so that their ranks never meet.
using Rank = std::array<int64_t, 5>;

struct RankedMatch {
  Rank rank{};
  pb::RouteMatch match;  // `rule` counts within the route
};

struct Route {
  bool grpc = false;
  const Meta* meta = nullptr;
  const RouteSpec* spec = nullptr;

  const char* kind() const { return grpc ? "GRPCRoute" : "HTTPRoute"; }
  std::string object() const { return std::string(kind()) + " " + meta->key().text(); }
};

// route_match.cc
RankedMatch derive_match(const RouteMatch& match, bool grpc);

// route_rule.cc: notes what does not resolve; requests that come to it are answered with an error, never let past it.
pb::RouteRule derive_rule(Context& context, const Route& route, size_t index);

// route_filters.cc. `resolve` gives the name of a Service, or nothing for one that cannot be (and is noted).
std::string resolve_backend(Context& context, const Route& route, const BackendRef& ref,
                            const char* consequence);
void fill_filters(Context& context, const Route& route, const Filters& from, pb::Filters& to);

}  // namespace weir::agent
