#pragma once
// Routes of the Gateway API, as their authors wrote them: HTTPRoute and GRPCRoute in one shape, and the ReferenceGrants
// that let them lead into other namespaces. Checked for form by the reader; what they are attached to, what they may
// refer to and who comes first is settled in derive/.
// Owner: the objects. Thread: values. Source: sigs.k8s.io/gateway-api apis/v1 (release 1.6), GEP-1294 for Services as
// parents.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/meta.h"
#include "agent/model/traffic.h"

namespace weir::agent {

// Groups and kinds as resolved: a Service is {"", "Service"}.
struct ParentRef {
  std::string group, kind, ns, name, section;
  uint16_t port = 0;  // 0: all of them

  bool is_service() const { return group.empty() && kind == "Service"; }
  ObjectName key() const { return {ns, name}; }
};

struct ValueMatch {
  std::string name, value;
  bool regex = false;
};

struct PathMatch {
  enum class Kind : uint8_t { prefix, exact, regex };
  Kind kind = Kind::prefix;
  std::string value = "/";  // of a prefix: without the trailing slash, except "/" itself
};

// Either may be empty (any), not both.
struct MethodMatch {
  bool regex = false;
  std::string service, method;
};

struct RouteMatch {
  PathMatch path;                   // HTTPRoute
  std::string method;               // HTTPRoute; empty: any
  std::optional<MethodMatch> call;  // GRPCRoute; none: any
  std::vector<ValueMatch> headers;  // names in lower case, each once
  std::vector<ValueMatch> query;    // HTTPRoute; each name once
};

struct HeaderEdit {
  struct Pair {
    std::string name, value;
  };
  std::vector<Pair> set, add;
  std::vector<std::string> remove;
};

struct PathModifier {
  bool prefix = false;  // in place of the matched prefix; else of the whole path
  std::string value;    // of a prefix: "/", or without a trailing slash
};

struct RouteRedirect {  // Redirect is the capture of redirect/
  std::string scheme, hostname;
  std::optional<PathModifier> path;
  uint16_t port = 0, status = 0;  // 0: not said
};

struct Rewrite {
  std::string hostname;
  std::optional<PathModifier> path;
};

// What a route refers to; `where` is its path in the YAML, for notes ("rules[0].backendRefs[1]").
struct BackendRef {
  std::string group, kind, ns, name;
  uint16_t port = 0;
  std::string where;

  bool is_service() const { return group.empty() && kind == "Service"; }
  ObjectName key() const { return {ns, name}; }
};

struct Mirror {
  BackendRef backend;
  uint32_t numerator = 1, denominator = 1;
};

struct Cors {
  std::vector<std::string> allow_origins, allow_methods, allow_headers, expose_headers;
  bool allow_credentials = false;
  uint32_t max_age_seconds = 0;  // 0: not said
};

struct Filters {
  std::optional<HeaderEdit> request_headers, response_headers;
  std::optional<RouteRedirect> redirect;
  std::optional<Rewrite> rewrite;
  std::vector<Mirror> mirrors;
  std::optional<Cors> cors;
  // Not empty: a filter of a kind that Weir has not, which must not be skipped.
  std::string unsupported;
};

struct Backend {
  BackendRef ref;
  uint32_t weight = 1;
  Filters filters;
};

struct SessionPersistence {
  bool header = false;                                              // else a cookie
  std::string name;                                                 // empty: one is made up
  uint32_t absolute_timeout_seconds = 0, idle_timeout_seconds = 0;  // 0: none
  bool permanent = false;
};

struct RouteRule {
  std::string name;  // empty: its index
  std::vector<RouteMatch> matches;
  Filters filters;
  std::vector<Backend> backends;
  Timeouts timeouts;
  std::optional<Retry> retry;
  std::optional<SessionPersistence> persistence;
};

struct RouteSpec {
  std::vector<ParentRef> parents;
  std::vector<std::string> hostnames;
  std::vector<RouteRule> rules;
};

struct HttpRoute {
  Meta meta;
  RouteSpec spec;
};

struct GrpcRoute {
  Meta meta;
  RouteSpec spec;
};

// Lets objects of other namespaces refer to those of its own.
struct ReferenceGrant {
  struct From {
    std::string group, kind, ns;
  };
  struct To {
    std::string group, kind, name;  // name empty: all
  };
  Meta meta;
  std::vector<From> from;
  std::vector<To> to;
};

}  // namespace weir::agent
