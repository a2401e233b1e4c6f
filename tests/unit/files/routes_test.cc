// HTTPRoute, GRPCRoute and ReferenceGrant, member by member.
#include "tests/unit/files/yaml.h"

using namespace weir::agent;

namespace {

RouteSpec http(const std::string& spec) { return only<HttpRoute>(http_route(spec)).spec; }
RouteSpec grpc(const std::string& spec) { return only<GrpcRoute>(grpc_route(spec)).spec; }
RouteRule rule(const std::string& body) { return http("{rules: [{" + body + "}]}").rules.at(0); }
RouteMatch match(const std::string& body) { return rule("matches: [{" + body + "}]").matches.at(0); }
MethodMatch call(const std::string& body) {
  return *grpc("{rules: [{matches: [{method: {" + body + "}}]}]}").rules.at(0).matches.at(0).call;
}

std::string times(int n, const std::string& text) {
  std::string out;
  for (int i = 0; i < n; ++i) out += (i == 0 ? "" : ", ") + text;
  return out;
}
std::string in_rule(const std::string& body) { return "{rules: [{" + body + "}]}"; }
std::string in_match(const std::string& body) { return in_rule("matches: [{" + body + "}]"); }
std::string in_path(const std::string& value) {
  return in_match("path: {type: Exact, value: '" + value + "'}");
}
std::string in_call(const std::string& body) { return in_match("method: {" + body + "}"); }

using Table = std::vector<std::pair<std::string, std::string>>;

}  // namespace

TEST_CASE("routes are read in every version that was ever served, others are refused") {
  const auto at = [](const std::string& version, const std::string& kind, const std::string& spec) {
    return refusal(object("gateway.networking.k8s.io/" + version, kind, spec));
  };
  const std::string grant = "{from: [{group: a, kind: b, namespace: c}], to: [{group: \"\", kind: d}]}";
  for (const std::string version : {"v1", "v1beta1", "v1alpha2"}) {
    CHECK(at(version, "HTTPRoute", "{}") == "accepted");
    CHECK(at(version, "ReferenceGrant", grant) == "accepted");
  }
  CHECK(at("v1", "GRPCRoute", "{}") == "accepted");
  CHECK(at("v1alpha2", "GRPCRoute", "{}") == "accepted");
  CHECK_THAT(at("v1beta1", "GRPCRoute", "{}"), Catch::Contains("known are v1 and v1alpha2 of GRPCRoute"));
  CHECK_THAT(at("v2", "HTTPRoute", "{}"), Catch::Contains("apiVersion is not known"));
  const Parsed other = parse_yaml("a", object("gateway.networking.k8s.io/v1", "Gateway", "{any: thing}"));
  CHECK_FALSE(other.error);
  CHECK(other.passed_over == 1);
}

TEST_CASE("a parent is a Gateway unless it says Service, of the route's namespace unless it says another") {
  const auto parents = http(R"({parentRefs: [
    {name: gw}, {group: "", kind: Service, name: web}, {group: core, kind: Service, name: db, namespace: data},
    {group: "", kind: Service, name: api, sectionName: http, port: 80}]})")
                           .parents;
  REQUIRE(parents.size() == 4);
  CHECK_FALSE(parents[0].is_service());
  CHECK(parents[0].group == "gateway.networking.k8s.io");
  CHECK(parents[1].is_service());
  CHECK(parents[1].key() == ObjectName{"shop", "web"});
  CHECK(parents[1].port == 0);
  CHECK(parents[2].is_service());
  CHECK(parents[2].ns == "data");
  CHECK(parents[3].section == "http");
  CHECK(parents[3].port == 80);
}

TEST_CASE("parents of one object must differ in the same members") {
  const auto parents = [](const std::string& a, const std::string& b) {
    const std::string service = "group: \"\", kind: Service, name: web";
    return refusal(http_route("{parentRefs: [{" + service + a + "}, {" + service + b + "}]}"));
  };
  CHECK(parents(", port: 80", ", port: 81") == "accepted");
  CHECK(parents(", sectionName: a", ", sectionName: b") == "accepted");
  CHECK(parents("", ", namespace: other") == "accepted");
  CHECK_THAT(parents("", ""), Catch::Contains("spec.parentRefs name Service shop/web twice"));
  CHECK_THAT(parents(", port: 80", ", port: 80"), Catch::Contains("twice"));
  CHECK_THAT(parents("", ", port: 80"), Catch::Contains("with sectionName or port in one only"));
}

TEST_CASE("an HTTPRoute without rules, or a rule without matches, means every request") {
  for (const RouteSpec& spec : {http("{}"), http("{rules: [{}]}")}) {
    REQUIRE(spec.rules.size() == 1);
    REQUIRE(spec.rules[0].matches.size() == 1);
    CHECK(spec.rules[0].matches[0].path.kind == PathMatch::Kind::prefix);
    CHECK(spec.rules[0].matches[0].path.value == "/");
  }
  CHECK(grpc("{}").rules.empty());
  CHECK_FALSE(grpc("{rules: [{}]}").rules.at(0).matches.at(0).call);
}

TEST_CASE("a path is exact, a prefix or an expression, and a prefix loses its last slash") {
  const auto path = [](const std::string& body) { return match("path: {" + body + "}").path; };
  CHECK(path("value: /a/").value == "/a");
  CHECK(path("value: /").value == "/");
  CHECK(path("type: Exact, value: /a/").value == "/a/");
  CHECK(path("type: Exact, value: /a/").kind == PathMatch::Kind::exact);
  CHECK(path("type: RegularExpression, value: '/a/[0-9]+'").value == "/a/[0-9]+");
  CHECK(path("type: RegularExpression, value: x").kind == PathMatch::Kind::regex);
  CHECK(path("type: Exact").value == "/");
}

TEST_CASE("methods, headers and parameters are read, of those with one name the first") {
  const RouteMatch got = match(
      "method: GET, headers: [{name: X-Version, value: one}, {name: x-version, value: two}, "
      "{type: RegularExpression, name: b, value: 'x.*'}], "
      "queryParams: [{name: q, value: a b}, {name: q, value: c}, {name: Q, type: RegularExpression, value: "
      "'.'}]");
  CHECK(got.method == "GET");
  REQUIRE(got.headers.size() == 2);
  CHECK(got.headers[0].name == "x-version");
  CHECK(got.headers[0].value == "one");
  CHECK_FALSE(got.headers[0].regex);
  CHECK(got.headers[1].regex);
  REQUIRE(got.query.size() == 2);
  CHECK(got.query[0].value == "a b");
  CHECK(got.query[1].name == "Q");
  CHECK(got.query[1].regex);
}

TEST_CASE("a gRPC match names a service, a method or both, exactly or by expression") {
  CHECK(call("service: shop.Cart, method: Add").service == "shop.Cart");
  CHECK(call("service: shop.Cart, method: Add").method == "Add");
  CHECK(call("service: .shop.Cart").service == "shop.Cart");
  CHECK_FALSE(call("method: Add").regex);
  CHECK(call("type: RegularExpression, service: 'shop[.].*'").regex);
  const auto headers =
      grpc("{rules: [{matches: [{headers: [{name: A, value: b}]}]}]}").rules.at(0).matches.at(0);
  CHECK(headers.headers.at(0).name == "a");
}

TEST_CASE("a backend has a weight of 1 and the route's namespace unless it says otherwise") {
  const auto backends = rule(
                            "backendRefs: [{name: a, port: 80}, {name: b, namespace: n, port: 81, weight: 0, "
                            "group: core, kind: Service}, "
                            "{group: example.com, kind: Bucket, name: c}]")
                            .backends;
  REQUIRE(backends.size() == 3);
  CHECK(backends[0].ref.key() == ObjectName{"shop", "a"});
  CHECK(backends[0].ref.port == 80);
  CHECK(backends[0].weight == 1);
  CHECK(backends[0].ref.where == "spec.rules[0].backendRefs[0]");
  CHECK(backends[1].ref.key() == ObjectName{"n", "b"});
  CHECK(backends[1].weight == 0);
  CHECK(backends[1].ref.is_service());
  CHECK_FALSE(backends[2].ref.is_service());
}

TEST_CASE("names, time-outs and retries of a rule are read") {
  const RouteRule got = rule(
      "name: slow, timeouts: {request: 10s, backendRequest: 0s}, retry: {codes: [500, 503], attempts: 2, "
      "backoff: 1s}");
  CHECK(got.name == "slow");
  CHECK(got.timeouts == Timeouts{10'000, 0, std::nullopt});
  REQUIRE(got.retry);
  CHECK(*got.retry == Retry{false, 2, {500, 503}, {}, {}, 1'000, 0});
  CHECK(*rule("retry: {}").retry == Retry{});
  CHECK_FALSE(rule("name: a").retry);
}

TEST_CASE("sessions persist by cookie or header, in the words of every release") {
  const auto session = [](const std::string& body) {
    return *rule("sessionPersistence: {" + body + "}").persistence;
  };
  CHECK_FALSE(session("").header);
  CHECK(session("sessionName: sid").name == "sid");
  CHECK(session("type: Header, header: {name: X-Sid}").name == "X-Sid");
  CHECK(session("type: Header, header: {name: X-Sid}").header);
  CHECK(session("cookie: {name: sid, path: /}").name == "sid");
  CHECK(session("absoluteTimeout: 1h, idleTimeout: 1500ms").absolute_timeout_seconds == 3600);
  CHECK(session("absoluteTimeout: 1h, idleTimeout: 1500ms").idle_timeout_seconds == 2);
  CHECK(session("absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}").permanent);
  CHECK(session("absoluteTimeout: 1h, cookie: {lifetimeType: Permanent}").permanent);
  CHECK_FALSE(session("cookieConfig: {lifetimeType: Session}").permanent);
  CHECK(grpc("{rules: [{sessionPersistence: {sessionName: s}}]}").rules.at(0).persistence->name == "s");
}

TEST_CASE("a grant says from which kinds and namespaces to what") {
  const auto grant = only<ReferenceGrant>(object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", R"({
    from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: web}],
    to: [{group: "", kind: Service}, {group: "", kind: Service, name: a}]})"));
  CHECK(grant.from.at(0).kind == "HTTPRoute");
  CHECK(grant.from[0].ns == "web");
  CHECK(grant.to.at(0).name.empty());
  CHECK(grant.to.at(1).name == "a");
  for (const std::string spec : {"{}", "{from: [{group: a, kind: b, namespace: c}]}",
                                 "{from: [{kind: b, namespace: c}], to: [{group: '', kind: d}]}",
                                 "{from: [{group: a, kind: b, namespace: c}], to: [{kind: d}]}"}) {
    CHECK_THAT(refusal(object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", spec)),
               Catch::Contains("is missing"));
  }
}

TEST_CASE("a route is refused whole for what is unknown, malformed or beyond the limits of its schema") {
  for (const auto& [spec, says] : Table{
           {"{rule: []}", "a.yaml:4: spec.rule is not known; known are: parentRefs"},
           {"{rules: []}", "spec.rules is empty"},
           {"{rules: {}}", "spec.rules must be a list"},
           {"{parentRefs: [{kind: Service}]}", "spec.parentRefs[0].name is missing"},
           {"{parentRefs: [{name: A}]}", "has a character that Kubernetes does not allow"},
           {"{parentRefs: [{name: a, port: 0}]}", "parentRefs[0].port must be a number from 1 to 65535"},
           {"{parentRefs: [{name: a, weight: 1}]}", "parentRefs[0].weight is not known"},
           {"{hostnames: [\"a.*.b\"]}", "spec.hostnames[0] is no host name"},
           {"{hostnames: [Shop]}", "is no host name in lower case"},
           {"{hostnames: [-a]}", "is no host name"},
           {"{useDefaultGateways: Some}", "must be one of: All, None"},
           {"{rules: [" + times(17, "{}") + "]}", "spec.rules has more than 16 entries"},
           {in_rule("matches: [" + times(65, "{}") + "]"), "matches has more than 64 entries"},
           {"{rules: [" + times(3, "{matches: [" + times(50, "{}") + "]}") + "]}",
            "have more than 128 matches"},
           {"{rules: [{name: a}, {name: a}]}", "spec.rules[1].name is there twice: a"},
           {in_rule("name: A"), "rules[0].name has a character"},
           {in_rule("to: []"), "rules[0].to is not known"},
       }) {
    CAPTURE(spec);
    CHECK_THAT(refusal(http_route(spec)), Catch::Contains(says));
  }
}

TEST_CASE("a match that is no match is refused") {
  std::string large;  // more than a route's expression may take, less than RE2 takes by itself
  for (int i = 0; i < 120; ++i) large += "x{1000}";
  for (const auto& [spec, says] : Table{
           {in_match("verb: GET"), "matches[0].verb is not known"},
           {in_match("method: get"), "method is 'get', must be one of: GET, HEAD"},
           {in_path("a"), "path.value must start with /"},
           {in_path("/a//b"), "must not have //"},
           {in_path("/a/./b"), "must not have /./"},
           {in_path("/a/../b"), "must not have /../"},
           {in_path("/a%2Fb"), "has %2F, %5C, %00 or"},
           {in_path("/a%5cb"), "has %2F, %5C, %00 or"},
           {in_path("/a/..;b"), "has a dot segment with a parameter"},
           {in_path("/a#b"), "must not have #"},
           {in_path("/a/.."), "must not end with a dot segment"},
           {in_path("/a b"), "has a character that no path has"},
           {in_path("/a%4"), "has a character that no path has"},
           {in_path("/" + std::string(1024, 'a')), "is longer than 1024 characters"},
           {in_match("path: {type: Prefix, value: /}"),
            "must be one of: PathPrefix, Exact, RegularExpression"},
           {in_match("path: {type: RegularExpression, value: '('}"),
            "is no regular expression (RE2): missing )"},
           {in_match("path: {type: RegularExpression, value: '(a)\\1'}"), "is no regular expression (RE2)"},
           {in_match("path: {type: RegularExpression, value: '" + large + "'}"),
            "is no regular expression (RE2): pattern too large"},
           {in_match("path: {type: RegularExpression, value: '((a{100}){100}){100}'}"),
            "is no regular expression"},
           {in_match("headers: [{name: a}]"), "headers[0].value is missing"},
           {in_match("headers: [{name: ':path', value: b}]"), "headers[0].name is no name such as x-version"},
           {in_match("headers: [{name: Upgrade, value: b}]"), "is a field of the connection or the framing"},
           {in_match("headers: [{name: a, value: \"b\\n\"}]"), "must be printable ASCII"},
           {in_match("headers: [{type: Prefix, name: a, value: b}]"),
            "must be one of: Exact, RegularExpression"},
           {in_match("headers: [" + times(17, "{name: a, value: b}") + "]"),
            "headers has more than 16 entries"},
           {in_match("queryParams: [{name: a, value: ''}]"), "queryParams[0].value is missing"},
           {in_match("queryParams: [{name: a, value: " + std::string(1025, 'b') + "}]"),
            "is longer than 1024"},
       }) {
    CAPTURE(spec);
    CHECK_THAT(refusal(http_route(spec)), Catch::Contains(says));
  }
}

TEST_CASE("backends, time-outs, retries and sessions are refused where they are none") {
  for (const auto& [spec, says] : Table{
           {in_rule("backendRefs: [{name: a}]"), "backendRefs[0].port is missing"},
           {in_rule("backendRefs: [{port: 80}]"), "backendRefs[0].name is missing"},
           {in_rule("backendRefs: [{name: a, port: 80, weight: 1000001}]"),
            "weight must be a number from 0 to"},
           {in_rule("backendRefs: [{name: a, port: 80, wait: 1}]"), "backendRefs[0].wait is not known"},
           {in_rule("timeouts: {request: 1}"), "timeouts.request is no duration"},
           {in_rule("timeouts: {idle: 1s}"), "timeouts.idle is not known"},
           {in_rule("timeouts: {request: 1s, backendRequest: 2s}"), "backendRequest is longer than request"},
           {in_rule("retry: {codes: [399]}"), "retry.codes[0] must be a number from 400 to 599"},
           {in_rule("retry: {attempts: 0}"), "retry.attempts must be a number from 1 to 100"},
           {in_rule("sessionPersistence: {type: Header, cookieConfig: {}}"),
            "cookieConfig needs type Cookie"},
           {in_rule("sessionPersistence: {header: {name: a}}"), "header needs type Header"},
           {in_rule("sessionPersistence: {cookie: {path: /a}}"), "cookie.path can only be /"},
           {in_rule("sessionPersistence: {sessionName: a, cookie: {name: b}}"), "exclude each other"},
           {in_rule("sessionPersistence: {sessionName: a b}"), "is no name"},
           {in_rule("sessionPersistence: {type: Header, sessionName: Expect}"),
            "is a field of the connection"},
           {in_rule("sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}"),
            "absoluteTimeout is missing"},
       }) {
    CAPTURE(spec);
    CHECK_THAT(refusal(http_route(spec)), Catch::Contains(says));
  }
}

TEST_CASE("a GRPCRoute is refused for names that are none, and for what only an HTTPRoute has") {
  for (const auto& [spec, says] : Table{
           {in_call(""), "method needs service or method"},
           {in_call("service: a/b"), "method.service is no name in protobuf's sense"},
           {in_call("service: 'a..b'"), "is no name"},
           {in_call("method: a.b"), "method.method is no name"},
           {in_call("type: RegularExpression, method: '['"), "is no regular expression"},
           {"{rules: [{matches: [{path: {value: /}}]}]}", "matches[0].path is not known"},
           {"{rules: [{timeouts: {request: 1s}}]}", "rules[0].timeouts is not known"},
           {"{rules: [{retry: {}}]}", "rules[0].retry is not known"},
       }) {
    CAPTURE(spec);
    CHECK_THAT(refusal(grpc_route(spec)), Catch::Contains(says));
  }
}
