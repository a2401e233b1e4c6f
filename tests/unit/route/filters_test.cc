// Edits, rewrites, redirects and mirrors, as tables of the Gateway API.
#include "nodeproxy/route/filters.h"

#include <catch2/catch.hpp>

#include "tests/unit/route/tables.h"

using namespace weir;
using namespace weir::route;
using namespace weir::route::test;

namespace {

std::string all(const http::Headers& headers) {
  std::string text;
  for (const http::Field field : headers)
    text += std::string(field.name) + ": " + std::string(field.value) + "\n";
  return text;
}

config::RouteMatch prefix(std::string path) {
  config::RouteMatch match;
  match.path_value = std::move(path);
  return match;
}

config::Filters filters(const std::string& text) {
  return table("rules { filters { " + text + " } }")->rules[0].filters;
}

std::string location(const std::string& text, const http::Head& request, uint16_t port = 80,
                     const config::RouteMatch& match = prefix("/")) {
  http::Head response;
  redirect(*filters("redirect { " + text + " }").redirect, match, request, port, response);
  return std::string(response.headers.get("location").value_or("none"));
}

}  // namespace

TEST_CASE("set replaces all lines of a field, add appends a line, remove takes all, names without case") {
  http::Head head =
      get("/", {{"My-Header", "foo"}, {"other", "1"}, {"my-header", "again"}, {"Gone", "1"}, {"gone", "2"}});
  filter_request(
      filters(R"(request_headers { set { name: "MY-header" value: "bar" } set { name: "new" value: "2" }
    add { name: "Other" value: "3" } remove: "GONE" })"),
      prefix("/"), head);
  CHECK(all(head.headers) == "MY-header: bar\nother: 1\nnew: 2\nOther: 3\n");
}

TEST_CASE("edits of the response touch the response only, and those of the request the request") {
  const auto both = filters(
      R"(request_headers { set { name: "a" value: "1" } } response_headers { set { name: "b" value: "2" } })");
  http::Head request = get("/"), response;
  response.status = 200;
  filter_request(both, prefix("/"), request);
  filter_response(both, response);
  CHECK(all(request.headers) == "a: 1\n");
  CHECK(all(response.headers) == "b: 2\n");
}

TEST_CASE("filters that say nothing change nothing") {
  http::Head head = get("/a?b", {{"x", "1"}});
  filter_request({}, prefix("/a"), head);
  CHECK(head.path == "/a?b");
  CHECK(all(head.headers) == "x: 1\n");
  CHECK(head.authority == "shop.example.com");
}

TEST_CASE("a matched prefix is replaced as the Gateway API's table says") {
  struct Row {
    const char *path, *prefix, *replacement, *modified;
  };
  for (const Row& row : {
           Row{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
           Row{"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
           Row{"/foo/bar", "/foo/", "/xyz", "/xyz/bar"},
           Row{"/foo/bar", "/foo/", "/xyz/", "/xyz/bar"},
           Row{"/foo", "/foo", "/xyz", "/xyz"},
           Row{"/foo/", "/foo", "/xyz", "/xyz/"},
           Row{"/foo/bar", "/foo", "", "/bar"},
           Row{"/foo/", "/foo", "", "/"},
           Row{"/foo", "/foo", "", "/"},
           Row{"/foo/", "/foo", "/", "/"},
           Row{"/foo", "/foo", "/", "/"},
           // Beyond its table: the root, and what does not have the prefix any more.
           Row{"/foo/bar", "/", "/xyz", "/xyz/foo/bar"},
           Row{"/", "/", "/xyz", "/xyz/"},
           Row{"/", "/", "", "/"},
           Row{"/foobar", "/foo", "/xyz", "/foobar"},
           Row{"/foo/bar/", "/foo/bar", "/a/b/", "/a/b/"},
       }) {
    CAPTURE(row.path, row.prefix, row.replacement);
    // Through the reader: it takes the trailing slash off the prefix.
    const auto one = table(std::string("rules { filters { rewrite { path { prefix: \"") + row.replacement +
                           "\" } } } } matches { path_prefix: \"" + row.prefix + "\" }");
    CHECK(modified_path(one->rules[0].filters.rewrite->path, one->matches[0], row.path) == row.modified);
    http::Head head = get(std::string(row.path) + "?q=/foo");
    filter_request(one->rules[0].filters, one->matches[0], head);
    CHECK(head.path == std::string(row.modified) + "?q=/foo");
  }
}

TEST_CASE("a full path is replaced and the query kept, a hostname takes the place of the authority") {
  http::Head head = get("/a/b?c=d");
  filter_request(filters(R"(rewrite { hostname: "other.example.com" path { full: "/one/../two" } })"),
                 prefix("/"), head);
  CHECK(head.path == "/two?c=d");
  CHECK(head.authority == "other.example.com");
  head = get("/a?");
  filter_request(filters(R"(rewrite { path { full: "" } })"), prefix("/"), head);
  CHECK(head.path == "/?");
}

TEST_CASE("a target that is no path is not rewritten") {
  for (const char* target : {"*", ""}) {
    http::Head head = get(target);
    filter_request(filters(R"(rewrite { path { full: "/x" } })"), prefix("/"), head);
    CHECK(head.path == target);
  }
}

TEST_CASE("a redirect keeps what it does not name: scheme, host, path and query") {
  CHECK(location("", get("/a/b?c")) == "http://shop.example.com/a/b?c");
  CHECK(location(R"(hostname: "example.org")", get("/a?c")) == "http://example.org/a?c");
  CHECK(location(R"(path { full: "/x" })", get("/a?c")) == "http://shop.example.com/x?c");
  CHECK(location(R"(path { prefix: "/x" })", get("/a/b?c"), 80, prefix("/a")) ==
        "http://shop.example.com/x/b?c");
  http::Head response;
  redirect(*filters("redirect { status: 307 }").redirect, prefix("/"), get("/"), 80, response);
  CHECK(response.status == 307);
  CHECK(response.content_length == 0);
}

TEST_CASE(
    "a redirect's port is its own, else its scheme's, else the one dialled, and a well-known one is not "
    "written") {
  struct Row {
    const char* text;
    const char* scheme;
    uint16_t dialled;
    const char* location;
  };
  for (const Row& row : {
           Row{"", "http", 80, "http://a/"},
           Row{"", "http", 8080, "http://a:8080/"},
           Row{"", "https", 443, "https://a/"},
           Row{"", "https", 8443, "https://a:8443/"},
           Row{"", "http", 443, "http://a:443/"},
           Row{"scheme: \"https\"", "http", 8080, "https://a/"},
           Row{"scheme: \"http\"", "https", 8443, "http://a/"},
           Row{"scheme: \"https\" port: 443", "http", 80, "https://a/"},
           Row{"scheme: \"https\" port: 80", "http", 80, "https://a:80/"},
           Row{"scheme: \"http\" port: 80", "https", 443, "http://a/"},
           Row{"port: 8083", "http", 80, "http://a:8083/"},
           Row{"port: 80", "http", 8080, "http://a/"},
           Row{"port: 443", "https", 8443, "https://a/"},
       }) {
    CAPTURE(row.text, row.scheme, row.dialled);
    http::Head head = get("/");
    head.scheme = row.scheme;
    head.authority = "a:1234";
    CHECK(location(row.text, head, row.dialled) == row.location);
  }
}

TEST_CASE("the host of a redirect is the request's without its port, an IPv6 address in its brackets") {
  http::Head head = get("/");
  head.authority = "[fd00::1]:8080";
  CHECK(location("", head) == "http://[fd00::1]/");
  head.authority = "[fd00::1]";
  CHECK(location("", head, 81) == "http://[fd00::1]:81/");
}

TEST_CASE("a redirect of a request that named no host is relative") {
  http::Head head = get("/a?b");
  head.authority.clear();
  CHECK(location("", head) == "/a?b");
}

TEST_CASE("a mirror gets its share of requests, none where it has none") {
  const auto share = [](uint32_t numerator, uint32_t denominator) {
    config::Mirror mirror{"s", 80, numerator, denominator};
    int count = 0;
    for (uint64_t number = 0; number < 3000; ++number) count += mirrored(mirror, number);
    return count;
  };
  CHECK(share(1, 1) == 3000);
  CHECK(share(0, 100) == 0);
  CHECK(share(1, 3) == 1000);
  CHECK(share(100, 100) == 3000);
}
