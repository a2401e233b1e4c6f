// CORS as the text of HTTPCORSFilter has it: origins, preflight answers, actual responses, credentials and caches.
#include "nodeproxy/route/cors.h"

#include <catch2/catch.hpp>

#include "tests/unit/route/tables.h"

using namespace weir;
using namespace weir::route;
using namespace weir::route::test;

namespace {

config::Cors cors(const std::string& text) {
  return *table("rules { filters { cors { " + text + " } } }")->rules[0].filters.cors;
}

http::Head preflight(const char* origin, const char* method = "PUT", const char* headers = nullptr) {
  http::Head head = get("/", {{"Origin", origin}, {"Access-Control-Request-Method", method}});
  head.method = "OPTIONS";
  if (headers != nullptr) head.headers.add("Access-Control-Request-Headers", headers);
  return head;
}

std::string said(const http::Head& head, const char* name) {
  CHECK(head.headers.count(name) <= 1);
  return std::string(head.headers.get(name).value_or("(none)"));
}

http::Head answer(const config::Cors& filter, const http::Head& request) {
  http::Head response;
  REQUIRE(is_preflight(request));
  answer_preflight(cors_grant(filter, request), request, response);
  return response;
}

http::Head actual(const config::Cors& filter, const http::Head& request, http::Head response = {}) {
  response.status = 200;
  filter_response(cors_grant(filter, request), response);
  return response;
}

}  // namespace

TEST_CASE("an origin matches exactly, its default port understood, or by a host's star, any labels deep") {
  struct Row {
    const char *allowed, *origin;
    bool matches;
  };
  for (const Row& row : {
           Row{"*", "https://anything:1", true},
           Row{"*", "null", true},
           Row{"https://www.foo.com", "https://www.foo.com", true},
           Row{"https://www.foo.com", "https://WWW.foo.com", true},
           Row{"https://www.foo.com", "https://www.foo.com:443", true},
           Row{"https://www.foo.com:443", "https://www.foo.com", true},
           Row{"http://www.foo.com", "http://www.foo.com:80", true},
           Row{"https://www.foo.com", "http://www.foo.com", false},
           Row{"https://www.foo.com", "https://www.foo.com:8443", false},
           Row{"https://www.foo.com:8443", "https://www.foo.com:8443", true},
           Row{"https://www.foo.com", "https://www.foo.com.evil.com", false},
           Row{"https://www.foo.com", "https://wwwxfoo.com", false},
           Row{"https://www.foo.com", "null", false},
           Row{"https://*.bar.com", "https://www.bar.com", true},
           Row{"https://*.bar.com", "https://xpto.www.bar.com", true},
           Row{"https://*.bar.com", "https://bar.com", false},
           Row{"https://*.bar.com", "https://xbar.com", false},
           Row{"https://*.bar.com", "https://.bar.com", false},
           Row{"https://*.bar.com", "https://a.bar.com.evil.com", false},
           Row{"https://*.bar.com", "http://www.bar.com", false},
           Row{"https://*.bar.com:8443", "https://www.bar.com:8443", true},
           Row{"https://*.bar.com:8443", "https://www.bar.com", false},
           Row{"https://*", "https://anything", true},
           Row{"https://*", "https://anything:8443", false},
           Row{"https://*", "http://anything", false},
           Row{"https://*", "https://", false},
           Row{"http://*:8080", "http://x:8080", true},
       }) {
    CAPTURE(row.allowed, row.origin);
    CHECK(origin_allowed(row.allowed, row.origin) == row.matches);
  }
}

TEST_CASE("a preflight is OPTIONS with an origin and the method that it asks for") {
  CHECK(is_preflight(preflight("https://a")));
  http::Head head = preflight("https://a");
  head.headers.remove("origin");
  CHECK_FALSE(is_preflight(head));
  head = preflight("https://a");
  head.headers.remove("access-control-request-method");
  CHECK_FALSE(is_preflight(head));
  head = preflight("https://a");
  head.method = "GET";
  CHECK_FALSE(is_preflight(head));
}

TEST_CASE("a preflight from an allowed origin is answered with all that is configured") {
  const auto filter =
      cors(R"(allow_origins: "https://www.foo.com" allow_methods: "GET" allow_methods: "OPTIONS"
    allow_headers: "x-header-1" allow_headers: "x-header-2" expose_headers: "x-header-3" allow_credentials: true
    max_age_seconds: 3600)");
  const http::Head response =
      answer(filter, preflight("https://www.foo.com", "GET", "x-header-1, x-header-2"));
  CHECK(response.status == 200);
  CHECK(response.content_length == 0);
  CHECK(said(response, "access-control-allow-origin") == "https://www.foo.com");
  CHECK(said(response, "access-control-allow-methods") == "GET, OPTIONS");
  CHECK(said(response, "access-control-allow-headers") == "x-header-1, x-header-2");
  CHECK(said(response, "access-control-expose-headers") == "x-header-3");
  CHECK(said(response, "access-control-max-age") == "3600");
  CHECK(said(response, "access-control-allow-credentials") == "true");
}

TEST_CASE("what is not configured is not said, but that an answer lives five seconds") {
  const http::Head response = answer(cors(R"(allow_origins: "*")"), preflight("https://a", "PUT", "x"));
  CHECK(said(response, "access-control-allow-methods") == "(none)");
  CHECK(said(response, "access-control-allow-headers") == "(none)");
  CHECK(said(response, "access-control-allow-credentials") == "(none)");
  CHECK(said(response, "access-control-max-age") == "5");
}

TEST_CASE("a preflight from another origin is answered without a word about CORS") {
  const http::Head response =
      answer(cors(R"(allow_origins: "https://a" allow_methods: "*" allow_credentials: true)"),
             preflight("https://b"));
  CHECK(response.status == 200);
  for (const http::Field field : response.headers)
    CHECK_FALSE(field.name.starts_with("access-control-allow"));
  CHECK(response.headers.has_token("vary", "origin"));
}

TEST_CASE("stars are echoed as what was asked, so that none ever meets credentials") {
  for (const char* credentials : {"", "allow_credentials: true"}) {
    const auto filter =
        cors(std::string(R"(allow_origins: "*" allow_methods: "*" allow_headers: "*" )") + credentials);
    http::Head response =
        answer(filter, preflight("https://other.foo.com", "PUT", "x-header-1, authorization"));
    CHECK(said(response, "access-control-allow-origin") == "https://other.foo.com");
    CHECK(said(response, "access-control-allow-methods") == "PUT");
    CHECK(said(response, "access-control-allow-headers") == "x-header-1, authorization");
    response = answer(filter, preflight("https://other.foo.com"));
    CHECK(said(response, "access-control-allow-headers") == "(none)");
    for (const http::Field field : response.headers) CHECK(field.value != "*");
  }
}

TEST_CASE("an actual response names its origin, and caches are told that it depends on it") {
  const auto filter =
      cors(R"(allow_origins: "https://a" allow_methods: "GET" allow_headers: "x" allow_credentials: true
    expose_headers: "y" expose_headers: "z")");
  const http::Head response = actual(filter, get("/", {{"origin", "https://a"}}));
  CHECK(said(response, "access-control-allow-origin") == "https://a");
  CHECK(said(response, "access-control-allow-credentials") == "true");
  CHECK(said(response, "access-control-expose-headers") == "y, z");
  CHECK(said(response, "access-control-allow-methods") == "(none)");
  CHECK(said(response, "access-control-max-age") == "(none)");
  for (const http::Head& request : {get("/"), get("/", {{"origin", "https://b"}})}) {
    const http::Head other = actual(filter, request);
    CHECK(said(other, "access-control-allow-origin") == "(none)");
    CHECK(said(other, "access-control-allow-credentials") == "(none)");
    CHECK(said(other, "vary") == "Origin");
  }
}

TEST_CASE("the filter's word goes before the application's, which keeps its own Vary") {
  http::Head response;
  response.headers.add("Access-Control-Allow-Origin", "*");
  response.headers.add("access-control-allow-credentials", "true");
  response.headers.add("Vary", "Accept, origin");
  const auto filter = cors(R"(allow_origins: "https://a")");
  const http::Head allowed = actual(filter, get("/", {{"origin", "https://a"}}), response);
  CHECK(said(allowed, "access-control-allow-origin") == "https://a");
  CHECK(said(allowed, "access-control-allow-credentials") == "(none)");
  CHECK(said(allowed, "vary") == "Accept, origin");
  const http::Head other = actual(filter, get("/", {{"origin", "https://b"}}), response);
  CHECK(said(other, "access-control-allow-origin") == "(none)");
}

TEST_CASE("a star of exposed headers is said by name beside credentials, as a star without them") {
  http::Head response;
  response.headers.add("X-A", "1");
  response.headers.add("set-cookie", "secret");
  const http::Head request = get("/", {{"origin", "https://a"}});
  const http::Head without = actual(cors(R"(allow_origins: "*" expose_headers: "*")"), request, response);
  CHECK(said(without, "access-control-expose-headers") == "*");
  const http::Head beside =
      actual(cors(R"(allow_origins: "*" expose_headers: "*" allow_credentials: true)"), request, response);
  CHECK(said(beside, "access-control-expose-headers") == "X-A, vary");
}

TEST_CASE("a request with two origins has none, and a rule without the filter changes nothing") {
  const auto filter = cors(R"(allow_origins: "*")");
  CHECK(said(actual(filter, get("/", {{"origin", "https://a"}, {"origin", "https://b"}})),
             "access-control-allow-origin") == "(none)");
  http::Head response;
  response.headers.add("access-control-allow-origin", "*");
  filter_response(CorsGrant{}, response);
  CHECK(said(response, "access-control-allow-origin") == "*");
  CHECK(response.headers.size() == 1);
}
