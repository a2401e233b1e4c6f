// The layer 7 conditions of policies from the wire: brought to the form in which requests are judged, or refused.
#include <catch2/catch.hpp>

#include "nodeproxy/config/stage.h"
#include "tests/unit/config/updates.h"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;

namespace {

std::string to(const std::string& text) { return policy("p", "rules { to { " + text + " } }"); }

Match read(const std::string& text) {
  const auto staged = stage(update(1, to(text)));
  if (!staged) FAIL(describe(staged.error()));
  return staged->policies.at("p")->rules[0].to[0];
}

std::string refusal(const std::string& text) {
  const auto staged = stage(update(1, to(text)));
  if (staged) return {};
  CHECK(staged.error().kind == ResourceKind::policy);
  return staged.error().text;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a match with any layer 7 condition says so itself, and one that only says so keeps it") {
  CHECK(read("methods: \"GET\"").l7);
  CHECK(read("not_hosts: \"a\"").l7);
  CHECK(read("headers { name: \"x\" values: \"*\" }").l7);
  CHECK(read("l7: true").l7);
  CHECK_FALSE(read("ports: 80").l7);
}

TEST_CASE("hosts are held in lower case, without port and trailing dot") {
  CHECK(read(R"(hosts: "Shop.Example.COM" hosts: "a.b.:8080" hosts: "*.Example.com" hosts: "api.*" hosts: "*"
    hosts: "[FD00::1]:80" hosts: "[fd00::1]" hosts: "a:*" not_hosts: "x.y.")")
            .hosts ==
        Texts{"shop.example.com", "a.b", "*.example.com", "api.*", "*", "[fd00::1]", "[fd00::1]", "a"});
  CHECK(read(R"(not_hosts: "x.y.")").not_hosts == Texts{"x.y"});
  for (const char* bad : {"", "https://a", "a/b", "a b", "*a.com", "a.*.com", "*.", "**", "a:b",
                          "a:", "fd00::1", "[fd00::1", "*.*", "u@h", "."}) {
    CAPTURE(bad);
    CHECK(refusal(std::string("hosts: \"") + bad + "\"").find("hosts: '") != std::string::npos);
  }
}

TEST_CASE(
    "paths are held in the normal form, and one that ends in a star keeps its last, unfinished segment") {
  CHECK(read(R"(paths: "/a/../b%7e" paths: "/a//b*" paths: "/a/.*" paths: "/a/..*" paths: "/a/./*" paths: "*"
    paths: "/%61*")")
            .paths == Texts{"/b~", "/a/b*", "/a/.*", "/a/..*", "/a/*", "*", "/a*"});
  for (const char* bad :
       {"", "a", "a*", "/a*b", "*/a", "/a?b", "/a%2fb", "/a%5C*", "/%00", "/a%2*", "/a\\\\b", "/a/..;/b"}) {
    CAPTURE(bad);
    CHECK(refusal(std::string("paths: \"") + bad + "\"").find("paths: '") != std::string::npos);
    CHECK(refusal(std::string("not_paths: \"") + bad + "\"").find("not_paths: '") != std::string::npos);
  }
}

TEST_CASE("methods are tokens, whole or by a trailing star") {
  CHECK(read("methods: \"GET\" methods: \"get\" methods: \"P*\" methods: \"*\"").methods ==
        Texts{"GET", "get", "P*", "*"});
  for (const char* bad : {"", "G T", "*T", "G*T"}) {
    CAPTURE(bad);
    CHECK(refusal(std::string("methods: \"") + bad + "\"").find("methods: '") != std::string::npos);
  }
}

TEST_CASE("gRPC conditions are a service with a method or a star, or a star") {
  CHECK(read("grpc: \"a.B/C\" grpc: \"a.B/*\" grpc: \"*\" not_grpc: \"a/b\"").grpc ==
        Texts{"a.B/C", "a.B/*", "*"});
  for (const char* bad : {"", "a.B", "/a.B/C", "a.B/", "a.B/C*", "a.*/C", "a/b/c", "*/C", "a/%43", "a//"}) {
    CAPTURE(bad);
    CHECK(refusal(std::string("grpc: \"") + bad + "\"").find("grpc: '") != std::string::npos);
  }
}

TEST_CASE("conditions on header fields have a name and a value, and keep their values as they are") {
  const Match match =
      read(R"(headers { name: "X-Id" values: "spiffe://td/a" values: "v*" not_values: "*" })");
  CHECK(match.headers[0].name == "X-Id");
  CHECK(match.headers[0].values == Texts{"spiffe://td/a", "v*"});
  CHECK(match.headers[0].not_values == Texts{"*"});
  for (const char* bad : {"values: \"a\"", "name: \"a b\" values: \"c\"", "name: \"a\"",
                          "name: \"a\" values: \"\"", "name: \"a\" values: \"*b\"",
                          "name: \"connection\" values: \"a\"", "name: \":path\" values: \"a\""}) {
    CAPTURE(bad);
    CHECK(refusal(std::string("headers { ") + bad + " }").find("to[0].headers") != std::string::npos);
  }
}
