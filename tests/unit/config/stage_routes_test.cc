// Route tables from the wire: what is read, in which form, and what is refused, naming the place.
#include <google/protobuf/unknown_field_set.h>
#include <re2/re2.h>

#include <catch2/catch.hpp>

#include "nodeproxy/config/stage.h"
#include "tests/unit/config/updates.h"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;

namespace {

std::string table(const std::string& rules, const std::string& more = "") {
  return R"(changed { routes { name: "t" service: "shop/web" rules { )" + rules + " } " + more + " } }";
}

std::shared_ptr<const RouteTable> read(const std::string& text) {
  const auto staged = stage(update(1, text));
  if (!staged) FAIL(describe(staged.error()));
  return staged->routes.at("t");
}

// What is said of a table that is refused; empty: it is taken.
std::string refusal(const std::string& text) {
  const auto staged = stage(update(1, text));
  if (staged) return {};
  CHECK(staged.error().kind == ResourceKind::routes);
  CHECK(staged.error().name == "t");
  return staged.error().text;
}

struct Row {
  const char* text;
  const char* word;
};

}  // namespace

TEST_CASE("a table is read in full") {
  const auto read_table = read(R"(changed { routes { name: "t" service: "shop/web" ports: 80 ports: 81
    consumer_namespace: "ns"
    rules { name: "a" backends { service: "shop/v1" port: 8080 weight: 9 } backends { weight: 1 } grpc: true
      timeouts { request_ms: 0 backend_request_ms: 250 } retry { attempts: 3 statuses: 503 grpc_codes: 14 }
      persistence { type: HEADER name: "x-session" absolute_timeout_seconds: 60 idle_timeout_seconds: 6 }
      filters { request_headers { set { name: "X-A" value: "1" } add { name: "x-b" value: "" } remove: "x-c" }
        mirrors { service: "shop/m" port: 80 } mirrors { service: "shop/n" port: 81 numerator: 0 denominator: 7 } } }
    rules { name: "b" invalid: "no such Service" filters { redirect { scheme: "https" status: 308 port: 8443
      hostname: "example.com" path { prefix: "" } } } }
    matches { rule: 1 path_prefix: "/b" method: "GET" }
    matches { path_exact: "/a" headers { name: "X-V" exact: "2" } query { name: "q" regex: "[0-9]+" } } } })");
  CHECK(read_table->service == "shop/web");
  CHECK(read_table->ports == std::vector<uint16_t>{80, 81});
  CHECK(read_table->consumer_namespace == "ns");
  REQUIRE(read_table->rules.size() == 2);
  const RouteRule& a = read_table->rules[0];
  CHECK(a.backends[0].service == "shop/v1");
  CHECK(a.backends[0].port == 8080);
  CHECK(a.backends[1].service.empty());
  CHECK(a.weight_sum == 10);
  CHECK(a.grpc);
  CHECK(a.timeouts.request == Milliseconds(0));
  CHECK(a.timeouts.backend_request == Milliseconds(250));
  CHECK_FALSE(a.timeouts.idle.has_value());
  CHECK(a.retry->attempts == 3);
  CHECK(a.retry->statuses == std::vector<uint16_t>{503});
  CHECK(a.retry->grpc_codes == std::vector<uint16_t>{14});
  CHECK(a.persistence->type == SessionPersistence::Type::header);
  CHECK(a.persistence->absolute_timeout_seconds == 60);
  CHECK(a.persistence->idle_timeout_seconds == 6);
  CHECK(a.filters.request_headers.set[0].first == "X-A");
  CHECK(a.filters.request_headers.add[0].second.empty());
  CHECK(a.filters.request_headers.remove[0] == "x-c");
  CHECK(a.filters.mirrors[0].numerator == 1);
  CHECK(a.filters.mirrors[0].denominator == 1);
  CHECK(a.filters.mirrors[1].numerator == 0);
  CHECK(a.filters.mirrors[1].denominator == 7);
  const RouteRule& b = read_table->rules[1];
  CHECK(b.invalid == "no such Service");
  CHECK_FALSE(b.retry.has_value());
  CHECK(b.filters.redirect->status == 308);
  CHECK(b.filters.redirect->port == 8443);
  CHECK(b.filters.redirect->path.to == PathModifier::To::prefix);
  CHECK(read_table->matches[0].rule == 1);
  CHECK(read_table->matches[0].method == "GET");
  CHECK(read_table->matches[1].headers[0].exact == "2");
  CHECK(read_table->matches[1].query[0].regex->pattern() == "[0-9]+");
}

TEST_CASE("what a route leaves unsaid is the default") {
  const auto read_table = read(table(R"(retry { } filters { redirect { } cors { } })", "matches { }"));
  const RouteRule& rule = read_table->rules[0];
  CHECK(rule.retry->attempts == 1);
  CHECK(rule.retry->backoff_base == Milliseconds(25));
  CHECK(rule.filters.redirect->status == 302);
  CHECK(rule.filters.redirect->path.to == PathModifier::To::keep);
  CHECK(rule.filters.cors->max_age_seconds == 5);
  CHECK(rule.weight_sum == 0);
  CHECK(read_table->matches[0].path == RouteMatch::Path::prefix);
  CHECK(read_table->matches[0].path_value == "/");
  CHECK(read(table("retry { disabled: true attempts: 3 }"))->rules[0].retry->attempts == 0);
}

TEST_CASE("paths of matches are held in the normal form, a prefix without its trailing slash") {
  const auto read_table =
      read(table("", R"(matches { path_exact: "/a//%7eb/./c%2d/" } matches { path_prefix: "/x/" }
    matches { path_prefix: "/" } matches { path_exact: "/" } matches { path_prefix: "//" })"));
  CHECK(read_table->matches[0].path_value == "/a/~b/c-/");
  CHECK(read_table->matches[1].path_value == "/x");
  CHECK(read_table->matches[2].path_value == "/");
  CHECK(read_table->matches[3].path_value == "/");
  CHECK(read_table->matches[4].path_value == "/");
}

TEST_CASE("the index names each match once, in order, and the depth of the longest prefix") {
  const auto read_table = read(table("", R"(matches { path_exact: "/a" } matches { path_prefix: "/a/b/c" }
    matches { path_regex: "/r.*" } matches { path_exact: "/a" method: "GET" } matches { path_prefix: "/" }
    matches { path_regex: "/s" })"));
  CHECK(read_table->by_exact.find(std::string_view("/a"))->second == std::vector<uint32_t>{0, 3});
  CHECK(read_table->by_exact.size() == 1);
  CHECK(read_table->by_prefix.find(std::string_view("/a/b/c"))->second == std::vector<uint32_t>{1});
  CHECK(read_table->by_prefix.find(std::string_view("/"))->second == std::vector<uint32_t>{4});
  CHECK(read_table->by_regex == std::vector<uint32_t>{2, 5});
  CHECK(read_table->prefix_depth_max == 3);
}

TEST_CASE("of header edits for one name the first counts") {
  const auto read_table = read(table(R"(filters { request_headers { set { name: "X-A" value: "1" }
    set { name: "x-a" value: "2" } set { name: "b" value: "3" } } })"));
  REQUIRE(read_table->rules[0].filters.request_headers.set.size() == 2);
  CHECK(read_table->rules[0].filters.request_headers.set[0].second == "1");
}

TEST_CASE("of conditions of a match on one name the first counts") {
  const auto read_table =
      read(table("", R"(matches { headers { name: "X" exact: "1" } headers { name: "x" exact: "2" }
    headers { name: "y" exact: "3" } query { name: "q" exact: "4" } query { name: "q" exact: "5" }
    query { name: "Q" exact: "6" } })"));
  const RouteMatch& match = read_table->matches[0];
  REQUIRE(match.headers.size() == 2);
  CHECK(match.headers[0].exact == "1");
  REQUIRE(match.query.size() == 2);
  CHECK(match.query[0].exact == "4");
}

TEST_CASE("broken matches are refused with their place") {
  for (const Row& row : {
           Row{R"(rule: 1)", "matches[0].rule: 1 of 1"},
           Row{R"(path_exact: "a")", "matches[0].path: 'a' does not begin with /"},
           Row{R"(path_exact: "")", "does not begin with /"},
           Row{R"(path_prefix: "/a%2Fb")", "%2F"},
           Row{R"(path_prefix: "/a?b")", "?"},
           Row{R"(path_prefix: "/%zz")", "hexadecimal"},
           Row{R"(path_regex: "/a(")", "missing )"},
           Row{R"(path_regex: "/(a{1000}){1000}")", "RE2"},
           Row{R"(method: "GE T")", "method"},
           Row{R"(headers { name: "x y" exact: "1" })", "'x y' is no name"},
           Row{R"(headers { name: "" exact: "1" })", "is no name"},
           Row{R"(headers { name: ":path" exact: "1" })", "is no name"},
           Row{R"(headers { name: "Content-Length" exact: "1" })", "framing"},
           Row{R"(headers { name: "x" })", "'x' has no value"},
           Row{R"(headers { name: "x" regex: "[" })", "RE2"},
           Row{R"(query { name: "" exact: "1" })", "without a name"},
           Row{R"(query { name: "q" })", "'q' has no value"},
       }) {
    CAPTURE(row.text);
    const std::string said = refusal(table("", std::string("matches { ") + row.text + " }"));
    CAPTURE(said);
    CHECK(said.find(row.word) != std::string::npos);
  }
}

TEST_CASE("regular expressions are bounded in size, memory and number") {
  const std::string long_one(4097, 'a');
  CHECK(refusal(table("", "matches { path_regex: \"" + long_one + "\" }")).find("4097") != std::string::npos);
  CHECK(refusal(table("", "matches { path_regex: \"" + long_one.substr(1) + "\" }")).empty());
  std::string many;
  for (int i = 0; i < 1001; ++i) many += "matches { path_regex: \"/a\" }";
  CHECK(refusal(table("", many)).find("more than 1000") != std::string::npos);
  const auto ok = read(table("", R"(matches { path_regex: "/a|/b" })"));
  CHECK(ok->matches[0].path_regex->options().max_mem() == 1 << 20);
}

TEST_CASE("broken rules are refused with their place") {
  for (const Row& row : {
           Row{R"(backends { service: "s" port: 0 weight: 1 })", "rules[0].backends[0].port: 0"},
           Row{R"(backends { service: "s" port: 70000 })", "70000"},
           Row{R"(backends { service: "s" port: 80 weight: 1000001 })", "weight"},
           Row{R"(backends { } backends { filters { redirect { status: 200 } } })",
               "backends[1].redirect.status"},
           Row{R"(retry { attempts: 101 })", "retry.attempts"},
           Row{R"(retry { statuses: 200 })", "retry.statuses: 200"},
           Row{R"(retry { grpc_codes: 17 })", "retry.grpc_codes"},
           Row{R"(retry { methods: "G T" })", "retry.methods"},
           Row{R"(persistence { type: 7 name: "a" })", "rules[0].persistence.type: 7"},
           Row{R"(persistence { name: "a=b" })", "cookie"},
           Row{R"(persistence { name: "" })", "cookie"},
           Row{R"(persistence { type: HEADER name: "upgrade" })", "framing"},
           Row{R"(persistence { name: "a" permanent: true })", "permanent"},
       }) {
    CAPTURE(row.text);
    const std::string said = refusal(table(row.text));
    CAPTURE(said);
    CHECK(said.find(row.word) != std::string::npos);
  }
  CHECK(refusal(R"(changed { routes { name: "t" } })").find("service") != std::string::npos);
  CHECK(refusal(R"(changed { routes { name: "t" service: "s" ports: 0 } })").find("ports") !=
        std::string::npos);
}

TEST_CASE("filters that would break a message or contradict its framing are refused") {
  for (const Row& row : {
           Row{R"(request_headers { set { name: "a b" value: "1" } })", "filters.request_headers.set: 'a b'"},
           Row{R"(request_headers { set { name: ":authority" value: "1" } })", "no name"},
           Row{R"(request_headers { set { name: "Host" value: "1" } })", "Host"},
           Row{R"(request_headers { remove: "hOST" })", "Host"},
           Row{R"(request_headers { add { name: "Transfer-Encoding" value: "chunked" } })", "framing"},
           Row{R"(request_headers { remove: "content-length" })", "framing"},
           Row{R"(request_headers { remove: "Connection" })", "framing"},
           Row{R"(request_headers { remove: "" })", "no name"},
           Row{R"(response_headers { set { name: "a" value: "1\r\nx: 2" } })", "response_headers.set"},
           Row{R"(response_headers { set { name: "a" value: "1\n" } })", "control"},
           Row{R"(response_headers { set { name: "a" value: "\000" } })", "control"},
           Row{R"(response_headers { add { name: "a" value: " 1" } })", "edge"},
           Row{R"(redirect { scheme: "ftp" })", "redirect.scheme"},
           Row{R"(redirect { status: 304 })", "redirect.status: 304"},
           Row{R"(redirect { port: 65536 })", "redirect.port"},
           Row{R"(redirect { hostname: "a/b" })", "redirect.hostname"},
           Row{R"(redirect { hostname: "a\r\n" })", "redirect.hostname"},
           Row{R"(redirect { path { full: "b" } })", "redirect.path"},
           Row{R"(redirect { path { full: "/b?c" } })", "redirect.path"},
           Row{R"(redirect { } rewrite { })", "nothing to rewrite"},
           Row{R"(rewrite { hostname: "a b" })", "rewrite.hostname"},
           Row{R"(rewrite { path { prefix: "x" } })", "rewrite.path"},
           Row{R"(rewrite { path { prefix: "/x\\y" } })", "rewrite.path"},
           Row{R"(mirrors { port: 80 })", "mirrors: service"},
           Row{R"(mirrors { service: "s" })", "mirrors.port"},
           Row{R"(mirrors { service: "s" port: 80 numerator: 3 denominator: 2 })", "3 of 2"},
           Row{R"(cors { allow_origins: "example.com" })", "cors.allow_origins"},
           Row{R"(cors { allow_origins: "https://a*.com" })", "cors.allow_origins"},
           Row{R"(cors { allow_origins: "https://a.com:0" })", "cors.allow_origins"},
           Row{R"(cors { allow_origins: "https://a.com:" })", "cors.allow_origins"},
           Row{R"(cors { allow_origins: "https://a.com/" })", "cors.allow_origins"},
           Row{R"(cors { allow_origins: "https://" })", "cors.allow_origins"},
           Row{R"(cors { allow_methods: "G T" })", "cors.allow_methods"},
           Row{R"(cors { allow_headers: "a,b" })", "cors.allow_headers"},
           Row{R"(cors { expose_headers: "" })", "cors.expose_headers"},
       }) {
    CAPTURE(row.text);
    const std::string said = refusal(table(std::string("filters { ") + row.text + " }"));
    CAPTURE(said);
    CHECK(said.find(row.word) != std::string::npos);
  }
  for (const char* good :
       {"*", "https://a.com", "HTTP://A.com:8080", "https://*.a.com", "https://*", "http://*:8080"}) {
    CAPTURE(good);
    CHECK(refusal(table(std::string("filters { cors { allow_origins: \"") + good + "\" } }")).empty());
  }
}

TEST_CASE("a prefix is replaced only where prefixes are matched") {
  const std::string rule = R"(filters { rewrite { path { prefix: "/x" } } })";
  CHECK(refusal(table(rule, R"(matches { path_prefix: "/a" })")).empty());
  CHECK(refusal(table(rule, R"(matches { path_exact: "/a" })")).find("prefix") != std::string::npos);
  CHECK(refusal(table(rule, R"(matches { path_regex: "/a" })")).find("prefix") != std::string::npos);
  CHECK(refusal(table(R"(filters { redirect { path { prefix: "/x" } } })", R"(matches { path_exact: "/a" })"))
            .find("prefix") != std::string::npos);
}

TEST_CASE("a table with a field that this proxy does not know, at any depth, is refused") {
  const std::string text =
      table(R"(backends { service: "s" port: 80 filters { mirrors { service: "m" port: 80 } } })",
            R"(matches { headers { name: "a" exact: "b" } })");
  REQUIRE(refusal(text).empty());
  for (int place = 0; place < 5; ++place) {
    auto broken = update(1, text);
    auto* routes = broken.mutable_changed(0)->mutable_routes();
    auto* backend = routes->mutable_rules(0)->mutable_backends(0);
    google::protobuf::Message* places[] = {routes, routes->mutable_rules(0), routes->mutable_matches(0),
                                           routes->mutable_matches(0)->mutable_headers(0),
                                           backend->mutable_filters()->mutable_mirrors(0)};
    places[place]->GetReflection()->MutableUnknownFields(places[place])->AddVarint(999, 1);
    v1::Update received;  // as it comes over the wire
    REQUIRE(received.ParseFromString(broken.SerializeAsString()));
    const auto staged = stage(received);
    CAPTURE(place);
    REQUIRE_FALSE(staged.has_value());
    CHECK(staged.error().kind == ResourceKind::routes);
    CHECK(staged.error().text.find("does not know") != std::string::npos);
  }
}
