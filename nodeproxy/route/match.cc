// Conditions of a match, and the walk over a path's prefixes. See match.h.
#include "nodeproxy/route/match.h"

#include <re2/re2.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "nodeproxy/http/path.h"
#include "nodeproxy/http/query.h"

namespace weir::route {
namespace {

using config::RouteMatch;
using config::ValueMatch;

bool whole(const re2::RE2& regex, std::string_view text) {
  return regex.Match(re2::StringPiece(text.data(), text.size()), 0, text.size(), re2::RE2::ANCHOR_BOTH,
                     nullptr, 0);
}

bool value_holds(const ValueMatch& wanted, std::string_view value) {
  return wanted.regex ? whole(*wanted.regex, value) : wanted.exact == value;
}

// A field that comes twice means its values joined (RFC 9110 section 5.3); crumbs of a cookie are joined by "; "
// (RFC 9113 section 8.2.3).
bool header_holds(const ValueMatch& wanted, const http::Head& head) {
  // A head keeps Host as its authority.
  if (http::same_field(wanted.name, "host")) return value_holds(wanted, head.authority);
  const auto first = head.headers.get(wanted.name);
  if (!first) return false;
  if (head.headers.count(wanted.name) == 1) return value_holds(wanted, *first);
  const std::string_view comma = http::same_field(wanted.name, "cookie") ? "; " : ",";
  std::string joined;
  bool begun = false;
  for (const http::Field field : head.headers) {
    if (!http::same_field(field.name, wanted.name)) continue;
    if (begun) joined += comma;
    joined += field.value;
    begun = true;
  }
  return value_holds(wanted, joined);
}

// Parameters are compared decoded: the Gateway API leaves that open, but what an application calls the parameter's value
// is the decoded one, and "a%62" must not get past a match for "ab". Of a name that comes twice the first counts, as the
// Gateway API recommends.
bool parameter_holds(const ValueMatch& wanted, std::string_view query) {
  const auto raw = http::first_parameter(query, wanted.name);
  if (!raw) return false;
  if (!wanted.regex) return http::parameter_equals(*raw, wanted.exact);
  if (raw->find_first_of("%+") == std::string_view::npos) return whole(*wanted.regex, *raw);
  return whole(*wanted.regex, http::decode_parameter(*raw));
}

// All but the path.
bool rest_holds(const RouteMatch& match, const http::Head& head) {
  if (!match.method.empty() && match.method != head.method) return false;
  for (const ValueMatch& wanted : match.headers)
    if (!header_holds(wanted, head)) return false;
  if (match.query.empty()) return true;
  const std::string_view query = http::query_of(head.path);
  return std::all_of(match.query.begin(), match.query.end(),
                     [&](const ValueMatch& wanted) { return parameter_holds(wanted, query); });
}

bool path_holds(const RouteMatch& match, std::string_view path) {
  switch (match.path) {
    case RouteMatch::Path::exact: return match.path_value == path;
    case RouteMatch::Path::regex: return match.path_regex && whole(*match.path_regex, path);
    case RouteMatch::Path::prefix: return has_prefix(path, match.path_value);
  }
  return false;
}

// One request against a table: `best` is the lowest index that holds so far.
class Search {
 public:
  Search(const config::RouteTable& table, const http::Head& head) : table_(table), head_(head) {}

  void look_up(const config::PathIndex& index, std::string_view path) {
    if (const auto found = index.find(path); found != index.end())
      visit(found->second, [](const RouteMatch&) { return true; });
  }
  template <typename PathHolds>
  void visit(const std::vector<uint32_t>& rising, PathHolds path_holds) {
    for (const uint32_t at : rising) {
      if (at >= best_) return;
      const RouteMatch& match = table_.matches[at];
      if (!path_holds(match) || !rest_holds(match, head_)) continue;
      best_ = at;
      return;
    }
  }
  const RouteMatch* best() const { return best_ == kNone ? nullptr : &table_.matches[best_]; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  const config::RouteTable& table_;
  const http::Head& head_;
  uint32_t best_ = kNone;
};

// Where the path's first `depth` segments end.
size_t end_of_segments(std::string_view path, uint32_t depth) {
  size_t end = 0;
  for (uint32_t i = 0; i < depth && end < path.size(); ++i)
    end = std::min(path.find('/', end + 1), path.size());
  return end;
}

}  // namespace

bool has_prefix(std::string_view path, std::string_view prefix) {
  if (prefix == "/") return true;
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

bool holds(const RouteMatch& match, const http::Head& head, std::string_view path) {
  return path_holds(match, path) && rest_holds(match, head);
}

const RouteMatch* match(const config::RouteTable& table, const http::Head& head, std::string_view path) {
  Search search(table, head);
  search.look_up(table.by_exact, path);
  // The longest prefix first: it usually comes first in the order, and then the shorter ones cost one comparison each.
  // No prefix is deeper than prefix_depth_max, so a client's endless path costs no more than a table's own.
  if (path.starts_with('/')) {
    for (size_t end = end_of_segments(path, table.prefix_depth_max); end > 0; end = path.rfind('/', end - 1))
      search.look_up(table.by_prefix, path.substr(0, end));
  }
  search.look_up(table.by_prefix, "/");
  search.visit(table.by_regex, [&](const RouteMatch& one) { return path_holds(one, path); });
  return search.best();
}

const config::Backend* choose(const config::RouteRule& rule, uint64_t random) {
  if (rule.weight_sum == 0) return nullptr;
  uint64_t left = random % rule.weight_sum;
  for (const config::Backend& backend : rule.backends) {
    if (left < backend.weight) return &backend;
    left -= backend.weight;
  }
  return nullptr;
}

}  // namespace weir::route
