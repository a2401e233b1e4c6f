#pragma once
// What the readers of routes share. Private to routes.cc, route_matches.cc and route_filters.cc: a route is read top
// down, and every part needs to know of which kind it is and in which namespace names without one are meant.
// All throw Refused. Thread: any. Source: the CRDs of the Gateway API (release 1.6, both channels), whose limits and
// CEL rules are kept.
#include <string>

#include "agent/files/fields.h"
#include "agent/model/routes.h"

namespace weir::agent {

enum class RouteKind : uint8_t { http, grpc };

struct RouteHome {
  RouteKind kind = RouteKind::http;
  std::string ns;
};

// route_matches.cc
RouteMatch read_route_match(const Field& match, RouteKind kind);

// route_filters.cc
Filters read_filters(const Field& filters, const RouteHome& home);
// The members group, kind, namespace, name and port, which has to be there for a Service.
BackendRef read_backend_ref(const Field& ref, const RouteHome& home);

}  // namespace weir::agent
