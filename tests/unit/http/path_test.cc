// Targets cut at their query and normalised in place, and parameters as applications read them.
#include "nodeproxy/http/path.h"

#include <catch2/catch.hpp>

#include "nodeproxy/http/query.h"

using namespace weir::http;

TEST_CASE("a target is cut at its first question mark") {
  CHECK(path_of("/a/b?c?d") == "/a/b");
  CHECK(query_of("/a/b?c?d") == "c?d");
  CHECK(path_of("/a") == "/a");
  CHECK(query_of("/a").empty());
  CHECK(query_of("/a?").empty());
  CHECK(path_of("*") == "*");
  CHECK(path_of("").empty());
}

TEST_CASE("a target is normalised up to its query, which stays byte for byte") {
  for (const auto& [target, wanted] : std::initializer_list<std::pair<const char*, const char*>>{
           {"/a/../b?x=%2e%2e/../%2f//\\", "/b?x=%2e%2e/../%2f//\\"},
           {"/a?b", "/a?b"},
           {"/%7e", "/~"},
           {"//?//", "/?//"},
           {"/|?|", "/%7C?|"},
           {"*", "*"},
           {"", ""},
       }) {
    std::string text = target;
    CAPTURE(target);
    CHECK(normalise_target(text) == PathFault::none);
    CHECK(text == wanted);
  }
}

TEST_CASE("a target without a normal form is left as it was") {
  for (const char* target : {"/a%2fb/../c?d", "/%zz/..", "/a\\b//", "a//b", "?a", "*a"}) {
    std::string text = target;
    CHECK(normalise_target(text) != PathFault::none);
    CHECK(text == target);
  }
}

TEST_CASE("the first parameter of a name is found by its decoded name") {
  const char* query = "a=1&b=2&a=3&&c&=5&d%20e=x+y&f=g=h";
  CHECK(first_parameter(query, "a") == "1");
  CHECK(first_parameter(query, "b") == "2");
  CHECK(first_parameter(query, "c") == "");
  CHECK(first_parameter(query, "") == "5");
  CHECK(first_parameter(query, "d e") == "x+y");
  CHECK(first_parameter(query, "f") == "g=h");
  CHECK_FALSE(first_parameter(query, "A").has_value());
  CHECK_FALSE(first_parameter(query, "d+e").has_value());
  CHECK_FALSE(first_parameter("", "a").has_value());
  CHECK(first_parameter("%61=1", "a") == "1");
}

TEST_CASE("parameters are compared and read decoded, a bad escape standing for itself") {
  for (const auto& [raw, plain] :
       std::initializer_list<std::pair<const char*, const char*>>{{"abc", "abc"},
                                                                  {"a%62c", "abc"},
                                                                  {"a+b", "a b"},
                                                                  {"a%2Bb", "a+b"},
                                                                  {"%", "%"},
                                                                  {"%4", "%4"},
                                                                  {"%zz", "%zz"},
                                                                  {"%4%31", "%41"},
                                                                  {"", ""},
                                                                  {"%C3%A4", "\xc3\xa4"}}) {
    CAPTURE(raw);
    CHECK(decode_parameter(raw) == plain);
    CHECK(parameter_equals(raw, plain));
    CHECK_FALSE(parameter_equals(raw, std::string(plain) + "x"));
    CHECK_FALSE(parameter_equals(std::string(raw) + "x", plain));
  }
}
