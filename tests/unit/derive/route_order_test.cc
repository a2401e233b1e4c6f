// Who comes first: the precedence of the Gateway API over all routes of a service, criterion by criterion.
// Source: httproute_types.go and grpcroute_types.go, "matches"; GEP-1294.
#include "tests/unit/derive/yaml_world.h"

using namespace weir::agent;

namespace {

struct Shop : YamlWorld {
  Shop() { web(); }
};
// A rule with one match.
std::string rule(const std::string& name, const std::string& match) {
  return "{name: " + name + ", matches: [{" + match + "}]}";
}
std::string path(const std::string& value, const std::string& type = "PathPrefix") {
  return "path: {type: " + type + ", value: '" + value + "'}";
}
// Both orders of two rules in one route: the same one must be first.
void check_first(const std::string& first, const std::string& second, const char* kind = "HTTPRoute") {
  CAPTURE(first, second);
  const std::string a = rule("first", first), b = rule("second", second);
  for (const std::string& rules : {a + ", " + b, b + ", " + a}) {
    Shop shop;
    shop.rules("r", rules, 0, kind);
    CHECK(shop.order() == "shop/r/first shop/r/second");
  }
}

}  // namespace

TEST_CASE("an exact path comes before every prefix, whatever else they ask") {
  check_first(path("/a", "Exact"), path("/a/longer"));
  check_first(path("/", "Exact"), path("/a") + ", method: GET, headers: [{name: a, value: b}]");
}

TEST_CASE("the longer prefix comes first, its last slash not counted") {
  check_first(path("/a/b"), path("/a"));
  check_first(path("/abc"), path("/ab/"));
  check_first(path("/a"), path("/") + ", method: GET, headers: [{name: a, value: b}]");
}

TEST_CASE("an expression comes after the prefixes that say something, and before the one that says nothing") {
  check_first(path("/a"), path("/a/very/long/[a-z]+", "RegularExpression"));
  check_first(path("/[0-9]", "RegularExpression"),
              path("/") + ", method: GET, headers: [{name: a, value: b}]");
  check_first(path("/[0-9]", "RegularExpression"), "method: GET");
}

TEST_CASE("of equal paths the one with a method comes first, then more headers, then more parameters") {
  check_first("method: GET", "headers: [{name: a, value: b}, {name: c, value: d}]");
  check_first("headers: [{name: a, value: b}, {name: c, value: d}]",
              "headers: [{name: a, value: b}], queryParams: [{name: q, value: r}, {name: s, value: t}]");
  check_first("queryParams: [{name: q, value: r}, {name: s, value: t}]",
              "queryParams: [{name: q, value: r}]");
  check_first("queryParams: [{name: q, value: r}]", "");
  check_first(path("/a", "Exact") + ", method: GET", path("/b", "Exact"));
}

TEST_CASE("headers named twice count once") {
  check_first("headers: [{name: a, value: b}, {name: c, value: d}]",
              "headers: [{name: a, value: b}, {name: A, value: c}, {name: a, value: d}]");
}

TEST_CASE("of equal matches the older route comes first, one without a time last, then by name") {
  Shop shop;
  shop.rules("a", rule("x", ""));
  shop.rules("b", rule("x", ""), 2);
  shop.rules("d", rule("x", ""), 1);
  shop.rules("c", rule("x", ""), 1);
  shop.rules("e", rule("x", ""));
  CHECK(shop.order() == "shop/c/x shop/d/x shop/b/x shop/a/x shop/e/x");
}

TEST_CASE("a more specific match of a younger route comes before an older route's") {
  Shop shop;
  shop.rules("old", rule("x", path("/a")), 1);
  shop.rules("young", rule("x", path("/a/b")), 2);
  CHECK(shop.order() == "shop/young/x shop/old/x");
}

TEST_CASE("within a route the first rule, and in it the first match, comes first") {
  Shop shop;
  shop.rules("r",
             "{name: a, matches: [{path: {value: /p}}, {path: {value: /q}}]}, "
             "{name: b, matches: [{path: {value: /q}}]}");
  CHECK(shop.order() == "shop/r/a shop/r/a shop/r/b");
  const auto table = shop.table("shop/web");
  CHECK(table.matches(0).path_prefix() == "/p");
  CHECK(table.matches(1).path_prefix() == "/q");
}

// httproute_types.go, the example at HTTPRouteRule.matches.
TEST_CASE("the matches of one rule rank each by itself") {
  Shop shop;
  shop.rules(
      "r",
      "{name: any, matches: [{}]}, {name: foo, matches: [{path: {value: /foo}, headers: [{name: version, "
      "value: v2}]}, {path: {value: /v2/foo}}]}");
  CHECK(shop.order() == "shop/r/foo shop/r/foo shop/r/any");
  CHECK(shop.table("shop/web").matches(0).path_prefix() == "/v2/foo");
}

// conformance/tests/mesh/httproute-matching.yaml.
TEST_CASE("the conformance suite's matching route is ordered as it expects") {
  Shop shop;
  shop.rules("r",
             "{name: v1, matches: [{path: {value: /}}, {headers: [{name: version, value: one}]}]}, "
             "{name: v2, matches: [{path: {value: /v2}}, {headers: [{name: version, value: two}]}]}");
  CHECK(shop.order() == "shop/r/v2 shop/r/v1 shop/r/v2 shop/r/v1");
}

TEST_CASE("of gRPC matches the one with more of a service's name comes first, then more of a method's") {
  const char* kind = "GRPCRoute";
  check_first("method: {service: shop.Cart}", "method: {service: shop.Car, method: AddEverything}", kind);
  check_first("method: {service: shop.Cart, method: AddAll}", "method: {service: shop.Cart, method: Add}",
              kind);
  check_first("method: {service: shop.Cart, method: Add}",
              "method: {service: shop.Cart}, headers: [{name: a, value: b}]", kind);
  check_first("method: {method: Add}", "headers: [{name: a, value: b}]", kind);
}

TEST_CASE("gRPC expressions come after names and before calls of any kind; then the more headers") {
  const char* kind = "GRPCRoute";
  check_first("method: {method: A}", "method: {type: RegularExpression, service: 'shop.*', method: '.*'}",
              kind);
  check_first("method: {type: RegularExpression, service: 'shop.*', method: '.*'}",
              "method: {type: RegularExpression, service: 'shop.*'}", kind);
  check_first("method: {type: RegularExpression, service: 'shop.*'}", "headers: [{name: a, value: b}]", kind);
  check_first("headers: [{name: a, value: b}, {name: c, value: d}]", "headers: [{name: a, value: b}]", kind);
}

TEST_CASE("of equal gRPC matches the older route and then the first rule comes first") {
  Shop shop;
  shop.rules("a", rule("x", "") + ", " + rule("y", ""), 2, "GRPCRoute");
  shop.rules("b", rule("x", ""), 1, "GRPCRoute");
  CHECK(shop.order() == "shop/b/x shop/a/x shop/a/y");
}
