// A route's match: what it asks of a request, and how it ranks. The order is the Gateway API's (httproute_types.go and
// grpcroute_types.go, "matches"); ties go on to the age, name and order of routes, which route_tables.cc settles.
//
// What the specification leaves to implementations: a path's regular expression ranks behind every prefix that says
// something, and before the prefix "/", which says nothing. Behind "/" it could never be chosen beside a rule for
// everything else, and its length says nothing about how much it matches. For the same reason a gRPC expression ranks
// behind exact names and before a match of any call. See route.h.
#include "agent/derive/route.h"

namespace weir::agent {
namespace {

Rank rank_of(const RouteMatch& match) {
  enum PathRank : int64_t { kExact, kPrefix, kRegex, kAny };
  int64_t path = kExact, length = 0;
  if (match.path.kind == PathMatch::Kind::regex) path = kRegex;
  if (match.path.kind == PathMatch::Kind::prefix) {
    path = match.path.value == "/" ? kAny : kPrefix;
    length = static_cast<int64_t>(match.path.value.size());
  }
  return {path, -length, match.method.empty() ? 1 : 0, -static_cast<int64_t>(match.headers.size()),
          -static_cast<int64_t>(match.query.size())};
}

Rank rank_of_call(const RouteMatch& match) {
  int64_t service = 0, method = 0, expressions = 0;
  if (match.call && !match.call->regex) {
    service = static_cast<int64_t>(match.call->service.size());
    method = static_cast<int64_t>(match.call->method.size());
  } else if (match.call) {
    expressions = (match.call->service.empty() ? 0 : 1) + (match.call->method.empty() ? 0 : 1);
  }
  return {-service, -method, -expressions, -static_cast<int64_t>(match.headers.size()), 0};
}

void fill_path(const PathMatch& path, pb::RouteMatch& to) {
  switch (path.kind) {
    case PathMatch::Kind::exact: to.set_path_exact(path.value); break;
    case PathMatch::Kind::prefix: to.set_path_prefix(path.value); break;
    case PathMatch::Kind::regex: to.set_path_regex(path.value); break;
  }
}

// gRPC calls /package.Service/Method (PROTOCOL-HTTP2.md). The reader has compiled each expression by itself, so none can
// reach out of its group.
void fill_call(const MethodMatch& call, pb::RouteMatch& to) {
  const auto group = [&](const std::string& part) {
    return part.empty() ? std::string("[^/]+") : "(?:" + part + ")";
  };
  if (call.regex || call.service.empty()) {
    to.set_path_regex("/" + group(call.service) + "/" + group(call.method));
  } else if (call.method.empty()) {
    to.set_path_prefix("/" + call.service);
  } else {
    to.set_path_exact("/" + call.service + "/" + call.method);
  }
}

void fill_values(const std::vector<ValueMatch>& from,
                 google::protobuf::RepeatedPtrField<pb::ValueMatch>& to) {
  for (const auto& match : from) {
    pb::ValueMatch& out = *to.Add();
    out.set_name(match.name);
    if (match.regex) {
      out.set_regex(match.value);
    } else {
      out.set_exact(match.value);
    }
  }
}

}  // namespace

RankedMatch derive_match(const RouteMatch& match, bool grpc) {
  RankedMatch out;
  if (grpc) {
    out.rank = rank_of_call(match);
    if (match.call) fill_call(*match.call, out.match);
  } else {
    out.rank = rank_of(match);
    fill_path(match.path, out.match);
    out.match.set_method(match.method);
  }
  fill_values(match.headers, *out.match.mutable_headers());
  fill_values(match.query, *out.match.mutable_query());
  return out;
}

}  // namespace weir::agent
