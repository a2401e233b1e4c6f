// Matching: paths by whole segments, methods, fields and parameters, the order of precedence, weights, and the cost.
#include "nodeproxy/route/match.h"

#include <malloc.h>

#include <catch2/catch.hpp>
#include <ctime>
#include <map>
#include <random>

#include "tests/unit/route/tables.h"

using namespace weir;
using namespace weir::route;
using namespace weir::route::test;

TEST_CASE("a prefix matches by whole segments, a trailing slash of either is nothing") {
  for (const char* prefix : {"/abc", "/abc/"}) {
    const auto one = matches_only(std::string("matches { path_prefix: \"") + prefix + "\" }");
    for (const char* path : {"/abc", "/abc/", "/abc/def", "/abc?x", "/x/../abc", "/%61bc/"})
      CHECK(routed(*one, get(path)) == 0);
    for (const char* path : {"/abcd", "/ab", "/", "/Abc", "/x/abc", "/abc/.."})
      CHECK(routed(*one, get(path)) == -1);
  }
}

TEST_CASE("the root prefix, and a match that says no path, is every path, also none") {
  for (const char* text : {"matches { }", "matches { path_prefix: \"/\" }"}) {
    const auto one = matches_only(text);
    for (const char* path : {"/", "/a", "/a/b/c/d/e/", "*", ""}) CHECK(routed(*one, get(path)) == 0);
  }
}

TEST_CASE("an exact path matches that path alone") {
  const auto one = matches_only(R"(matches { path_exact: "/abc" })");
  CHECK(routed(*one, get("/abc")) == 0);
  CHECK(routed(*one, get("/abc?d")) == 0);
  for (const char* path : {"/abc/", "/Abc", "/abcd", "/abc/d", "/"}) CHECK(routed(*one, get(path)) == -1);
}

TEST_CASE("a regular expression matches the whole path, any byte, and its alternatives are held together") {
  const auto one = matches_only(R"(matches { path_regex: "/a.*b|/c" })");
  for (const char* path : {"/ab", "/a/x/b", "/c", "/a%C3%A4b"}) CHECK(routed(*one, get(path)) == 0);
  for (const char* path : {"/abx", "/x/ab", "/cc", "/a"}) CHECK(routed(*one, get(path)) == -1);
}

TEST_CASE("a method matches with its case") {
  const auto one = matches_only(R"(matches { method: "POST" })");
  http::Head head = get("/");
  CHECK(routed(*one, head) == -1);
  head.method = "POST";
  CHECK(routed(*one, head) == 0);
  head.method = "post";
  CHECK(routed(*one, head) == -1);
}

TEST_CASE("all fields of a match must hold, names without case and values with it") {
  const auto one = matches_only(
      R"(matches { headers { name: "Version" exact: "v2" } headers { name: "x" regex: "a+" } })");
  CHECK(routed(*one, get("/", {{"version", "v2"}, {"X", "aaa"}})) == 0);
  CHECK(routed(*one, get("/", {{"version", "V2"}, {"x", "a"}})) == -1);
  CHECK(routed(*one, get("/", {{"version", "v2"}})) == -1);
  CHECK(routed(*one, get("/", {{"version", "v2"}, {"x", "ab"}})) == -1);
}

TEST_CASE("a field that comes twice is matched as its values joined, cookies by a semicolon") {
  const auto one = matches_only(R"(matches { rule: 0 headers { name: "x" exact: "1,2" } }
    matches { rule: 1 headers { name: "x" exact: "1" } } matches { rule: 2 headers { name: "Cookie" exact: "a=1; b=2" } }
    matches { rule: 3 headers { name: "x" regex: "3,.*,5" } })");
  CHECK(routed(*one, get("/", {{"x", "1"}, {"y", "9"}, {"X", "2"}})) == 0);
  CHECK(routed(*one, get("/", {{"x", "1"}})) == 1);
  CHECK(routed(*one, get("/", {{"x", "2"}, {"x", "1"}})) == -1);
  CHECK(routed(*one, get("/", {{"cookie", "a=1"}, {"cookie", "b=2"}})) == 2);
  CHECK(routed(*one, get("/", {{"x", "3"}, {"x", "4"}, {"x", "5"}})) == 3);
}

TEST_CASE("a match on Host sees the authority, which a head keeps beside its fields") {
  const auto one = matches_only(R"(matches { headers { name: "Host" exact: "shop.example.com" } })");
  CHECK(routed(*one, get("/")) == 0);
  http::Head other = get("/");
  other.authority = "other";
  CHECK(routed(*one, other) == -1);
}

TEST_CASE("the first parameter of a name is matched, decoded, and its name exactly") {
  const auto one =
      matches_only(R"(matches { rule: 0 query { name: "a" exact: "x y" } query { name: "b" regex: "[0-9]+" } }
    matches { rule: 1 query { name: "c" exact: "" } } matches { rule: 2 query { name: "d" regex: "x y" } })");
  for (const char* target : {"/?a=x+y&b=1", "/p?b=12&a=x%20y", "/?%61=%78+y&b=%31&a=z"})
    CHECK(routed(*one, get(target)) == 0);
  for (const char* target :
       {"/?a=z&a=x+y&b=1", "/?A=x+y&b=1", "/?a=x+y", "/?a=x+y&b=1x", "/?a=x+y;b=1", "/a=x+y&b=1"})
    CHECK(routed(*one, get(target)) == -1);
  CHECK(routed(*one, get("/?c")) == 1);
  CHECK(routed(*one, get("/?c=")) == 1);
  CHECK(routed(*one, get("/?d=x+y")) == 2);
}

// The specification's order: exact path, longest prefix, method, most fields, most parameters. The agent writes tables
// in it; this is what it then means.
TEST_CASE("a table in the order of precedence answers as the Gateway API's examples do") {
  const auto one = matches_only(R"(
    matches { rule: 0 path_exact: "/v2/example" }
    matches { rule: 1 path_prefix: "/v2/example" }
    matches { rule: 2 path_prefix: "/v2" method: "POST" }
    matches { rule: 3 path_prefix: "/v2" headers { name: "version" exact: "two" } headers { name: "color" exact: "blue" } }
    matches { rule: 4 path_prefix: "/v2" headers { name: "version" exact: "two" } }
    matches { rule: 5 path_prefix: "/v2" query { name: "animal" exact: "whale" } }
    matches { rule: 6 path_prefix: "/v2" }
    matches { rule: 7 headers { name: "version" exact: "two" } }
    matches { rule: 8 })");
  http::Head post = get("/v2/x", {{"version", "two"}});
  post.method = "POST";
  CHECK(routed(*one, get("/v2/example")) == 0);
  CHECK(routed(*one, get("/v2/example/", {{"version", "two"}})) == 1);
  CHECK(routed(*one, get("/v2/example/x")) == 1);
  CHECK(routed(*one, post) == 2);
  CHECK(routed(*one, get("/v2/x", {{"version", "two"}, {"color", "blue"}})) == 3);
  CHECK(routed(*one, get("/v2?animal=whale", {{"version", "two"}})) == 4);
  CHECK(routed(*one, get("/v2?animal=whale")) == 5);
  CHECK(routed(*one, get("/v2")) == 6);
  CHECK(routed(*one, get("/v2example", {{"version", "two"}})) == 7);
  CHECK(routed(*one, get("/")) == 8);
}

TEST_CASE("the order of the table decides, whatever the kind of path") {
  const auto one =
      matches_only(R"(matches { rule: 3 path_regex: "/a.*" } matches { rule: 2 path_prefix: "/a" }
    matches { rule: 1 path_exact: "/a" } matches { rule: 0 })");
  CHECK(routed(*one, get("/a")) == 3);
  CHECK(routed(*one, get("/b")) == 0);
  const auto other = matches_only(
      R"(matches { rule: 5 path_prefix: "/" method: "GET" } matches { rule: 4 path_prefix: "/a/b" }
    matches { rule: 6 path_exact: "/a/b" })");
  CHECK(routed(*other, get("/a/b")) == 5);
  http::Head put = get("/a/b");
  put.method = "PUT";
  CHECK(routed(*other, put) == 4);
}

TEST_CASE("nothing that matches is nothing, and a table without matches has nothing") {
  CHECK(routed(*matches_only(R"(matches { path_exact: "/a" })"), get("/b")) == -1);
  CHECK(routed(*matches_only(""), get("/")) == -1);
}

TEST_CASE("random tables and requests: the index finds what a look at every match finds") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto one_of = [&](std::vector<std::string> values) { return values[random() % values.size()]; };
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (size_t n = 1 + random() % 30; n > 0; --n) {
      text += "matches { rule: " + std::to_string(random() % 10) + " ";
      const std::string path =
          one_of({"", "/a", "/b"}) + one_of({"", "/a", "/b", "/c"}) + one_of({"/a", "/", "/abc"});
      text += one_of({"", "path_exact", "path_prefix", "path_prefix", "path_regex"});
      text += text.ends_with(' ') ? "" : ": \"" + path + "\" ";
      if (random() % 3 == 0) text += "method: \"" + one_of({"GET", "PUT"}) + "\" ";
      if (random() % 3 == 0) text += "headers { name: \"x\" exact: \"" + one_of({"1", "2"}) + "\" } ";
      text += "} ";
    }
    const auto one = matches_only(text);
    for (int request = 0; request < 50; ++request) {
      http::Head head =
          get(one_of({"", "/a", "/b"}) + one_of({"", "/a", "/b", "/c"}) + one_of({"/a", "/", "/abc", "*"}));
      head.method = one_of({"GET", "PUT", "POST"});
      if (random() % 2 == 0) head.headers.add("x", one_of({"1", "2"}));
      const std::string_view path = head.path;
      const config::RouteMatch* expected = nullptr;
      for (const config::RouteMatch& each : one->matches)
        if (expected == nullptr && holds(each, head, path)) expected = &each;
      CAPTURE(text, head.path);
      REQUIRE(match(*one, head, path) == expected);
    }
  }
}

TEST_CASE("backends are chosen by weight, the same for the same number, and one of weight 0 never") {
  const auto one = table(
      R"(rules { backends { service: "a" port: 80 weight: 1 } backends { service: "b" port: 80 weight: 0 }
    backends { service: "c" port: 80 weight: 3 } backends { weight: 4 } }
    rules { } rules { backends { service: "a" port: 80 weight: 0 } })");
  std::map<std::string, int> counts;
  for (uint64_t number = 0; number < 8000; ++number) {
    const config::Backend* chosen = choose(one->rules[0], number);
    REQUIRE(chosen != nullptr);
    CHECK(chosen == choose(one->rules[0], number));
    ++counts[chosen->service];
  }
  CHECK(counts == std::map<std::string, int>{{"a", 1000}, {"c", 3000}, {"", 4000}});
  CHECK(choose(one->rules[0], UINT64_MAX) != nullptr);
  CHECK(choose(one->rules[1], 7) == nullptr);
  CHECK(choose(one->rules[2], 7) == nullptr);
}

TEST_CASE("a match among 10,000 costs a few look-ups", "[.benchmark]") {
  const auto heap = [] { return ::mallinfo2().uordblks; };
  const size_t before = heap();
  std::string text;
  for (int i = 0; i < 10'000; ++i) {
    const std::string n = std::to_string(i);
    if (i % 3 == 0) text += "matches { rule: 0 path_exact: \"/api/v1/exact/" + n + "\" }";
    if (i % 3 == 1) text += "matches { rule: 1 path_prefix: \"/api/v1/prefix/" + n + "\" }";
    if (i % 3 == 2) text += "matches { rule: 2 path_prefix: \"/api/v2/prefix/" + n + "\" method: \"GET\" }";
  }
  auto large = matches_only(text + "matches { rule: 3 }");
  text = std::string();
  const size_t bytes = heap() - before;
  const auto small = matches_only(
      R"(matches { path_exact: "/api/v1/exact/3000" } matches { path_prefix: "/api/v1/prefix/3001" }
    matches { rule: 3 })");
  const std::string targets[] = {"/api/v1/exact/3000", "/api/v1/prefix/3001/and/what/follows",
                                 "/none/of/them"};
  for (const auto* one : {small.get(), large.get()}) {
    for (const std::string& target : targets) {
      const http::Head head = get(target, {{"user-agent", "curl/8"}, {"accept", "*/*"}});
      const int rounds = 1'000'000;
      uint64_t sum = 0;
      const std::clock_t start = std::clock();
      for (int i = 0; i < rounds; ++i) sum += match(*one, head, head.path)->rule;
      const double ns = static_cast<double>(std::clock() - start) * 1e9 / CLOCKS_PER_SEC / rounds;
      WARN(one->matches.size() << " matches, " << target << ": " << ns << " ns (" << sum % 7 << ")");
    }
  }
  WARN("10,001 matches hold " << bytes / 1024 << " KiB");
}
