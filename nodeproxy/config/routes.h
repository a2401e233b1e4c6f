#pragma once
// The HTTP routes of a service, compiled: rules, and matches in the Gateway API's order of precedence with an index over
// their paths, so that a match among ten thousand costs a few look-ups. Regular expressions are compiled by the builder,
// with bounded memory, on the config thread; the path only runs them (route/match).
// Thread: part of an immutable snapshot.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nodeproxy/config/traffic.h"

namespace re2 {
class RE2;
}

namespace weir::config {

struct HeaderEdit {
  std::vector<std::pair<std::string, std::string>> set, add;
  std::vector<std::string> remove;
  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
};

struct PathModifier {
  enum class To : uint8_t { keep, full, prefix };
  To to = To::keep;
  std::string value;  // in the normal form; of a prefix: may be empty or end in '/'
};

struct Redirect {
  std::string scheme, hostname;  // empty: the request's
  PathModifier path;
  uint16_t port = 0;  // 0: by the scheme's rules of HTTPRequestRedirectFilter
  uint16_t status = 302;
};

struct Rewrite {
  std::string hostname;
  PathModifier path;
};

struct Mirror {
  std::string service;
  uint16_t port = 0;
  uint32_t numerator = 1, denominator = 1;
};

struct Cors {
  std::vector<std::string> allow_origins, allow_methods, allow_headers, expose_headers;
  bool allow_credentials = false;
  uint32_t max_age_seconds = 5;
};

struct Filters {
  HeaderEdit request_headers, response_headers;
  std::optional<Redirect> redirect;
  std::optional<Rewrite> rewrite;
  std::vector<Mirror> mirrors;
  std::optional<Cors> cors;
  bool empty() const {
    return request_headers.empty() && response_headers.empty() && !redirect && !rewrite && mirrors.empty() &&
           !cors;
  }
};

struct Backend {
  std::string service;  // "namespace/name"; empty: invalid, its share of requests is answered 500
  uint16_t port = 0;
  uint32_t weight = 1;
  Filters filters;
};

struct SessionPersistence {
  enum class Type : uint8_t { cookie, header };
  Type type = Type::cookie;
  std::string name;
  uint32_t absolute_timeout_seconds = 0, idle_timeout_seconds = 0;  // 0: none
  bool permanent = false;
};

struct RouteRule {
  std::string name;  // "ns/route/rule": metrics, access log
  std::vector<Backend> backends;
  uint64_t weight_sum = 0;  // of all backends, also of invalid ones
  Filters filters;
  Timeouts timeouts;           // what is set here wins over the service's Traffic
  std::optional<Retry> retry;  // likewise
  std::optional<SessionPersistence> persistence;
  bool grpc = false;
  std::string invalid;  // not empty: answered 500, for this reason
};

struct ValueMatch {
  std::string name;                       // of a header: compared without case
  std::string exact;                      // when there is no regex
  std::shared_ptr<const re2::RE2> regex;  // whole value
};

struct RouteMatch {
  enum class Path : uint8_t { prefix, exact, regex };
  uint32_t rule = 0;
  Path path = Path::prefix;
  std::string path_value = "/";  // of a prefix: without a trailing slash, except "/" itself
  std::shared_ptr<const re2::RE2> path_regex;
  std::string method;  // empty: any
  std::vector<ValueMatch> headers, query;
};

// Found by a view, so that a look-up copies nothing.
struct PathHash {
  using is_transparent = void;
  size_t operator()(std::string_view path) const { return std::hash<std::string_view>()(path); }
};
using PathIndex = std::unordered_map<std::string, std::vector<uint32_t>, PathHash, std::equal_to<>>;

struct RouteTable {
  std::string name, service, consumer_namespace;
  std::vector<uint16_t> ports;  // of the service; empty: all
  std::vector<RouteRule> rules;
  std::vector<RouteMatch> matches;  // in order of precedence

  // Indices into `matches`, each list rising: what to look at for a path, so that the first that holds decides.
  PathIndex by_exact, by_prefix;
  std::vector<uint32_t> by_regex;
  uint32_t prefix_depth_max = 0;  // segments of the longest prefix in the index
};

// Fills the index of a table from its matches.
void index_matches(RouteTable& table);

}  // namespace weir::config
