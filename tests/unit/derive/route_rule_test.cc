// What a rule becomes: matches, filters, backends and the rest, as protobuf text, and what is said of those that do not
// resolve.
#include "tests/unit/derive/yaml_world.h"

using namespace weir::agent;

namespace {

struct Shop : YamlWorld {
  Shop() {
    web();
    web("v2");
  }
  pb::RouteRule rule(const std::string& body, const char* kind = "HTTPRoute") {
    rules("r", "{" + body + "}", 0, kind);
    return table("shop/web").rules(0);
  }
  pb::RouteMatch match(const std::string& body, const char* kind = "HTTPRoute") {
    rules("r", "{matches: [{" + body + "}]}", 0, kind);
    return table("shop/web").matches(0);
  }
};
const std::string kBackend = "backendRefs: [{name: v2, port: 80}]";

}  // namespace

TEST_CASE("every condition of an HTTP match arrives") {
  Shop shop;
  check_text(
      shop.match("path: {type: Exact, value: /a/}, method: POST, "
                 "headers: [{name: X-A, value: b}, {name: c, type: RegularExpression, value: 'd.*'}], "
                 "queryParams: [{name: Q, value: r}, {name: s, type: RegularExpression, value: 't?'}]"),
      R"(path_exact: "/a/" method: "POST"
                headers { name: "x-a" exact: "b" } headers { name: "c" regex: "d.*" }
                query { name: "Q" exact: "r" } query { name: "s" regex: "t?" })");
  check_text(shop.match("path: {value: /a/}"), R"(path_prefix: "/a")");
  check_text(shop.match(""), R"(path_prefix: "/")");
  check_text(shop.match("path: {type: RegularExpression, value: '/[0-9]+'}"), R"(path_regex: "/[0-9]+")");
}

TEST_CASE("a gRPC call is a path: whole, of a service, or an expression that stays in its half") {
  const auto path = [](const std::string& method) {
    Shop shop;
    const auto match = shop.match("method: {" + method + "}", "GRPCRoute");
    CHECK(shop.table("shop/web").rules(0).grpc());
    return match.path_exact() + match.path_prefix() + match.path_regex();
  };
  CHECK(path("service: shop.Cart, method: Add") == "/shop.Cart/Add");
  CHECK(path("service: shop.Cart") == "/shop.Cart");
  CHECK(path("method: Add") == "/[^/]+/(?:Add)");
  CHECK(path("type: RegularExpression, service: 'a|b', method: 'c|d'") == "/(?:a|b)/(?:c|d)");
  CHECK(path("type: RegularExpression, service: a") == "/(?:a)/[^/]+");
  Shop shop;
  check_text(shop.match("headers: [{name: a, value: b}]", "GRPCRoute"),
             R"(headers { name: "a" exact: "b" })");
}

TEST_CASE("every filter of a rule arrives") {
  Shop shop;
  check_text(shop.rule(kBackend + R"(, matches: [{path: {value: /old}}], filters: [
      {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: b}], add: [{name: C, value: d}],
       remove: [E]}},
      {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [F]}},
      {type: URLRewrite, urlRewrite: {hostname: a.b, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new/}}},
      {type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}, percent: 10}},
      {type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 8080}}},
      {type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 8080}, percent: 0}},
      {type: CORS, cors: {allowOrigins: ['https://a'], allowMethods: [GET], allowHeaders: [X], exposeHeaders: [Y],
       allowCredentials: true, maxAge: 7}}])"),
             R"(name: "shop/r/0"
                backends { service: "shop/v2" port: 80 weight: 1 }
                filters {
                  request_headers { set { name: "A" value: "b" } add { name: "C" value: "d" } remove: "E" }
                  response_headers { remove: "F" }
                  rewrite { hostname: "a.b" path { prefix: "/new" } }
                  mirrors { service: "shop/v2" port: 80 numerator: 10 denominator: 100 }
                  mirrors { service: "shop/v2" port: 8080 numerator: 1 denominator: 1 }
                  cors { allow_origins: "https://a" allow_methods: "GET" allow_headers: "X" expose_headers: "Y"
                         allow_credentials: true max_age_seconds: 7 }
                })");
  CHECK(shop.notes().empty());
}

TEST_CASE("a redirect needs no backend, and its absent members stay absent") {
  Shop shop;
  check_text(
      shop.rule(
          "filters: [{type: RequestRedirect, requestRedirect: {scheme: https, hostname: a.b, port: 8443, "
          "statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /x}}}]"),
      R"(name: "shop/r/0" filters { redirect {
                  scheme: "https" hostname: "a.b" port: 8443 status: 301 path { full: "/x" } } })");
  check_text(shop.rule("filters: [{type: RequestRedirect, requestRedirect: {port: 8443}}]"),
             R"(name: "shop/r/0" filters { redirect { port: 8443 } })");
  CHECK(shop.notes().empty());
}

TEST_CASE("weights, names, filters of backends, time-outs, retries and sessions arrive") {
  Shop shop;
  check_text(shop.rule(R"(name: split, backendRefs: [{name: web, port: 80, weight: 90},
      {name: v2, port: 8080, weight: 0, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [A]}}]}],
      timeouts: {request: 10s, backendRequest: 0s}, retry: {codes: [503], attempts: 2, backoff: 100ms},
      sessionPersistence: {sessionName: sid, type: Header, absoluteTimeout: 1h, idleTimeout: 5m})"),
             R"(name: "shop/r/split"
                backends { service: "shop/web" port: 80 weight: 90 }
                backends { service: "shop/v2" port: 8080 filters { request_headers { remove: "A" } } }
                timeouts { request_ms: 10000 backend_request_ms: 0 }
                retry { statuses: 503 attempts: 2 backoff_base_ms: 100 backoff_max_ms: 1000 }
                persistence { type: HEADER name: "sid" absolute_timeout_seconds: 3600 idle_timeout_seconds: 300 })");
  check_text(shop.rule(kBackend + ", retry: {}, sessionPersistence: {absoluteTimeout: 1h, "
                                  "cookieConfig: {lifetimeType: Permanent}}")
                 .persistence(),
             R"(name: "session-acdc3215d83f85d3" absolute_timeout_seconds: 3600 permanent: true)");
  CHECK(shop.rule(kBackend + ", retry: {}").has_retry());
  CHECK_FALSE(shop.rule(kBackend).has_retry());
  CHECK_FALSE(shop.rule(kBackend).has_timeouts());
}

TEST_CASE("two rules without a name for their sessions do not share one") {
  Shop shop;
  shop.rules("r", "{" + kBackend + ", sessionPersistence: {}}, {" + kBackend + ", sessionPersistence: {}}");
  const auto table = shop.table("shop/web");
  CHECK(table.rules(0).persistence().name() != table.rules(1).persistence().name());
}

TEST_CASE("a backend that cannot be is a share of errors, and is named with its reason") {
  for (const auto& [ref, says] : std::vector<std::pair<std::string, std::string>>{
           {"{name: gone, port: 80}", "(BackendNotFound) there is no Service gone in namespace shop"},
           {"{name: v2, port: 81}", "(BackendNotFound) Service v2 has no TCP port 81"},
           {"{name: v2, group: example.com, kind: Bucket}", "(InvalidKind) is a Bucket of example.com"},
           {"{name: v2, kind: Pod}", "(InvalidKind) is a Pod; only Services"},
           {"{name: out, port: 80}", "(BackendNotFound) Service out is an ExternalName"},
           {"{name: web, namespace: other, port: 80}",
            "(RefNotPermitted) no ReferenceGrant in namespace other lets HTTPRoutes of namespace shop refer "
            "to "
            "Service web"},
           {"{name: gone, namespace: other, port: 80}", "(RefNotPermitted)"}}) {
    CAPTURE(ref);
    Shop shop;
    shop.web("web", "other");
    shop.web("out");
    shop.objects.services.at({"shop", "out"}).external_name = true;
    const auto rule = shop.rule("backendRefs: [{name: web, port: 80}, " + ref + "]");
    REQUIRE(rule.backends_size() == 2);
    CHECK(rule.backends(0).service() == "shop/web");
    CHECK(rule.backends(1).service().empty());
    CHECK(rule.backends(1).weight() == 1);
    CHECK_THAT(shop.notes(),
               Catch::StartsWith("HTTPRoute shop/r: spec.rules[0].backendRefs[1]: not resolved " + says));
    CHECK_THAT(shop.notes(), Catch::EndsWith("; its share of requests is answered 500\n"));
  }
  Shop shop;
  CHECK(shop.rule("backendRefs: [{name: gone, port: 80}]", "GRPCRoute").backends(0).service().empty());
  CHECK_THAT(shop.notes(), Catch::Contains("GRPCRoute shop/r: ") &&
                               Catch::EndsWith("; its share of calls is answered UNAVAILABLE\n"));
}

TEST_CASE("into another namespace leads only what a grant there allows") {
  const auto resolved = [](const std::string& from, const std::string& to, const std::string& ns = "other",
                           const char* kind = "HTTPRoute") {
    Shop shop;
    shop.web("web", "other");
    shop.add(
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, "
        "namespace: " +
        ns + "}\nspec: {from: [{" + from + "}], to: [{" + to + "}]}");
    return shop.rule("backendRefs: [{name: web, namespace: other, port: 80}]", kind).backends(0).service();
  };
  const std::string route = "group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop";
  const std::string service = "group: '', kind: Service";
  CHECK(resolved(route, service) == "other/web");
  CHECK(resolved(route, service + ", name: web") == "other/web");
  CHECK(resolved(route, service + ", name: db").empty());
  CHECK(resolved(route, "group: '', kind: Secret").empty());
  CHECK(resolved(route, service, "shop").empty());
  CHECK(resolved(route, service, "other", "GRPCRoute").empty());
  CHECK(resolved("group: gateway.networking.k8s.io, kind: GRPCRoute, namespace: shop", service, "other",
                 "GRPCRoute") == "other/web");
  CHECK(resolved("group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: else", service).empty());
  CHECK(resolved("group: '', kind: HTTPRoute, namespace: shop", service).empty());
}

TEST_CASE("a mirror that cannot be is left out, and the requests go on") {
  Shop shop;
  const auto rule = shop.rule(
      kBackend + ", filters: [{type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 80}}}]");
  CHECK_FALSE(rule.has_filters());
  CHECK(rule.invalid().empty());
  CHECK_THAT(shop.notes(),
             Catch::Contains("(BackendNotFound)") && Catch::EndsWith("; nothing is mirrored to it\n"));
}

TEST_CASE("a filter that Weir has not makes its rule or backend an error, never a filter less") {
  const std::string extension =
      "filters: [{type: ExtensionRef, extensionRef: {group: a.b, kind: Auth, name: c}}]";
  Shop shop;
  const auto rule = shop.rule(kBackend + ", " + extension);
  CHECK_THAT(rule.invalid(), Catch::Contains("Weir knows no Auth of a.b"));
  CHECK_THAT(shop.notes(), Catch::Contains("spec.rules[0].filters[0]: Weir knows no Auth of a.b") &&
                               Catch::EndsWith("; its requests are answered 500\n"));
  const auto other =
      shop.rule("backendRefs: [{name: v2, port: 80, " + extension + "}, {name: web, port: 80}]");
  CHECK(other.invalid().empty());
  CHECK(other.backends(0).service().empty());
  CHECK(other.backends(1).service() == "shop/web");
  CHECK_THAT(shop.notes(), Catch::Contains("backendRefs[0].filters[0]: Weir knows no Auth") &&
                               Catch::EndsWith("; its share of requests is answered 500\n"));
}

TEST_CASE("a rule without backends answers with an error, and says so") {
  Shop shop;
  CHECK(shop.rule("name: a").backends_size() == 0);
  CHECK(shop.notes() ==
        "HTTPRoute shop/r: spec.rules[0] has no backendRefs; its requests are answered 500\n");
}
