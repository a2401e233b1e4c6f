// Tokens, values, names that no rule may touch, and the normal form of paths.
#include "nodeproxy/base/http_syntax.h"

#include <catch2/catch.hpp>
#include <random>

using namespace weir;
using namespace weir::http_syntax;

namespace {

// The normal form, or the fault in words.
std::string normal(std::string_view path) {
  std::string instead = "left over";
  const PathFault fault = normalise_path(path, instead);
  if (fault != PathFault::none) return std::string(describe(fault));
  CHECK(instead != path);
  return instead.empty() ? std::string(path) : instead;
}

std::string normal_prefix(std::string_view path) {
  std::string instead;
  const PathFault fault = normalise_path_prefix(path, instead);
  if (fault != PathFault::none) return std::string(describe(fault));
  return instead.empty() ? std::string(path) : instead;
}

}  // namespace

TEST_CASE("dot segments are resolved, also escaped ones, and never above the root") {
  for (const auto& [path, wanted] : std::initializer_list<std::pair<const char*, const char*>>{
           {"/", "/"},
           {"/a/b", "/a/b"},
           {"/a/b/", "/a/b/"},
           {"/a/./b", "/a/b"},
           {"/a/../b", "/b"},
           {"/a/b/..", "/a/"},
           {"/a/b/.", "/a/b/"},
           {"/..", "/"},
           {"/../../a", "/a"},
           {"/a/..", "/"},
           {"/.", "/"},
           {"/a/%2e%2E/b", "/b"},
           {"/%2e", "/"},
           {"/a/.%2e/b", "/b"},
           {"/.well-known/x", "/.well-known/x"},
           {"/a/...", "/a/..."},
           {"/a/..b/.c", "/a/..b/.c"},
       }) {
    CAPTURE(path);
    CHECK(normal(path) == wanted);
  }
}

TEST_CASE("duplicate slashes are merged before dot segments are resolved") {
  CHECK(normal("//a") == "/a");
  CHECK(normal("/a//b///c//") == "/a/b/c/");
  CHECK(normal("/a//../b") == "/b");
  CHECK(normal("//") == "/");
  CHECK(normal("/..//../a") == "/a");
}

TEST_CASE("unreserved characters are written plain and all other escapes in upper case") {
  CHECK(normal("/%61%7e%2d%5f%2E%30") == "/a~-_.0");
  CHECK(normal("/a%3fb%23") == "/a%3Fb%23");
  CHECK(normal("/%c3%a4") == "/%C3%A4");
  CHECK(normal("/%0d%0a") == "/%0D%0A");
  CHECK(normal("/%2561") == "/%2561");  // decoded once only
  CHECK(normal("/%252e%252e/a") == "/%252e%252e/a");
  CHECK(normal("/a!$&'()*+,;=:@b") == "/a!$&'()*+,;=:@b");
}

TEST_CASE("what RFC 3986 does not let stand in a path is escaped, so that it has one spelling") {
  CHECK(normal("/a|b{c}\"<>[]^`") == "/a%7Cb%7Bc%7D%22%3C%3E%5B%5D%5E%60");
  CHECK(normal("/\xc3\xa4") == "/%C3%A4");
}

TEST_CASE("hidden separators, bad escapes and bytes that no path has are refused") {
  for (const auto& [path, fault] : std::initializer_list<std::pair<std::string_view, PathFault>>{
           {"", PathFault::no_slash},
           {"a", PathFault::no_slash},
           {"*", PathFault::no_slash},
           {"/a%2Fb", PathFault::hidden_separator},
           {"/a%2fb", PathFault::hidden_separator},
           {"/a%5Cb", PathFault::hidden_separator},
           {"/a%5cb", PathFault::hidden_separator},
           {"/a\\b", PathFault::hidden_separator},
           {"/a%00", PathFault::hidden_separator},
           {"/%", PathFault::bad_escape},
           {"/%4", PathFault::bad_escape},
           {"/%4/", PathFault::bad_escape},
           {"/%4g", PathFault::bad_escape},
           {"/%g4", PathFault::bad_escape},
           {"/%%41", PathFault::bad_escape},
           {std::string_view("/a\0b", 4), PathFault::bad_byte},
           {"/a b", PathFault::bad_byte},
           {"/a\tb", PathFault::bad_byte},
           {"/a\x7f", PathFault::bad_byte},
           {"/a#b", PathFault::bad_byte},
           {"/a?b", PathFault::bad_byte},
           {"/a/..;x/b", PathFault::dotted_parameter},
           {"/.;", PathFault::dotted_parameter},
           {"/%2e.;/", PathFault::dotted_parameter},
       }) {
    CAPTURE(std::string(path));
    std::string instead;
    CHECK(normalise_path(path, instead) == fault);
  }
  CHECK(normal("/a;x/..b;y/") == "/a;x/..b;y/");
}

TEST_CASE("the last segment of a prefix pattern is a beginning: its dots are not resolved") {
  CHECK(normal_prefix("/a/.") == "/a/.");
  CHECK(normal_prefix("/a/..") == "/a/..");
  CHECK(normal_prefix("/a/../..") == "/..");
  CHECK(normal_prefix("/a/%2e") == "/a/.");
  CHECK(normal_prefix("/a//") == "/a/");
  CHECK(normal_prefix("/a/./b") == "/a/b");
}

TEST_CASE("the normal form of random paths stays when it is taken again, and has nothing left to resolve") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const std::string_view pieces[] = {"/",   "/",   ".",   "..", "a", "%2e", "%2E",
                                     "%61", "%C3", "%a4", "|",  ";", "%25", "~"};
  for (int round = 0; round < 20'000; ++round) {
    std::string path = "/";
    for (size_t n = random() % 12; n > 0; --n) path += pieces[random() % std::size(pieces)];
    CAPTURE(path);
    std::string once;
    const PathFault fault = normalise_path(path, once);
    if (fault != PathFault::none) {
      REQUIRE(fault == PathFault::dotted_parameter);
      continue;
    }
    if (once.empty()) once = path;
    std::string twice;
    REQUIRE(normalise_path(once, twice) == PathFault::none);
    REQUIRE(twice.empty());
    REQUIRE(once.find("//") == std::string::npos);
    REQUIRE((once + "/").find("/./") == std::string::npos);
    REQUIRE((once + "/").find("/../") == std::string::npos);
    REQUIRE(once.size() <= 3 * path.size());
  }
}

TEST_CASE("tokens are of tchar and not empty") {
  CHECK(is_token("x-a_B.9!#$%&'*+-^`|~"));
  for (const char* bad : {"", "a b", "a:", "a,b", "a\r", "\x80", "a(", "\"a\"", "a/b"}) {
    CAPTURE(bad);
    CHECK_FALSE(is_token(bad));
  }
}

TEST_CASE("names of fields are the same without case, in ASCII only") {
  CHECK(same_field("Content-Type", "content-tYPE"));
  CHECK_FALSE(same_field("a", "ab"));
  CHECK_FALSE(same_field("\xc4", "\xe4"));
  CHECK_FALSE(same_field("[", "{"));
}

TEST_CASE("field values have no control but the tab, and no space at an edge") {
  for (const char* good : {"", "a", "a b", "a\tb", "\x80\xff", "~!"}) CHECK(is_field_value(good));
  for (const std::string_view bad : {" a", "a ", "\ta", "a\t", "a\rb", "a\nb", "a\x01", "a\x7f", " "})
    CHECK_FALSE(is_field_value(bad));
  CHECK_FALSE(is_field_value(std::string_view("a\0b", 3)));
}

TEST_CASE("fields of the connection and of framing are known whatever their case") {
  for (const char* name : {"Connection", "TRANSFER-ENCODING", "content-length", "te", "Upgrade", "Keep-Alive",
                           "proxy-connection", "Trailer", "Expect", "HTTP2-Settings"}) {
    CAPTURE(name);
    CHECK(is_connection_field(name));
  }
  for (const char* name : {"", "connections", "content-type", "host", "x-upgrade", "t"}) {
    CAPTURE(name);
    CHECK_FALSE(is_connection_field(name));
  }
}
