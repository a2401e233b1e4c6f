// Fields and heads: order, case, lists, and what a change does to the rest.
#include "nodeproxy/http/message.h"

#include <catch2/catch.hpp>
#include <string>

namespace weir::http::test {
namespace {

std::string text(const Headers& headers) {
  std::string all;
  for (const Field field : headers) all += std::string(field.name) + "=" + std::string(field.value) + ";";
  return all;
}

Headers some() {
  Headers headers;
  headers.add("A", "1");
  headers.add("b", "2");
  headers.add("a", "3");
  headers.add("C", "");
  return headers;
}

}  // namespace

TEST_CASE("fields keep their order and case and are found without it") {
  const Headers headers = some();
  CHECK(text(headers) == "A=1;b=2;a=3;C=;");
  CHECK(headers.get("a") == "1");
  CHECK(headers.get("B") == "2");
  CHECK(headers.get("c") == "");
  CHECK_FALSE(headers.get("d"));
  CHECK(headers.count("A") == 2);
  CHECK(headers.size() == 4);
}

TEST_CASE("a field that is set is the only one of its name and takes the place of the first") {
  Headers headers = some();
  headers.set("a", "new");
  CHECK(text(headers) == "a=new;b=2;C=;");
  headers.set("D", "4");
  CHECK(text(headers) == "a=new;b=2;C=;D=4;");
  CHECK(headers.size() == 4);
}

TEST_CASE("removal takes all of a name and leaves the rest") {
  Headers headers = some();
  CHECK(headers.remove("A"));
  CHECK(text(headers) == "b=2;C=;");
  CHECK(headers.size() == 2);
  CHECK(headers.count("a") == 0);
  CHECK_FALSE(headers.remove("A"));
  CHECK_FALSE(headers.remove("x"));
  headers.add("a", "again");
  CHECK(text(headers) == "b=2;C=;a=again;");
  headers.clear();
  CHECK(headers.empty());
  CHECK(text(headers).empty());
}

TEST_CASE("a token is found in a list over all its lines, whole and without case") {
  Headers headers;
  headers.add("Connection", "keep-alive , Foo");
  headers.add("connection", ",\tbar,");
  CHECK(headers.has_token("CONNECTION", "foo"));
  CHECK(headers.has_token("connection", "BAR"));
  CHECK(headers.has_token("connection", "keep-alive"));
  CHECK_FALSE(headers.has_token("connection", "keep"));
  CHECK_FALSE(headers.has_token("connection", "oo"));
  CHECK_FALSE(headers.has_token("upgrade", "foo"));
}

TEST_CASE("a head that is cleared is as new") {
  Head head;
  head.method = "GET";
  head.scheme = "https";
  head.authority = "a";
  head.path = "/";
  head.status = 200;
  head.version = Version::http_2;
  head.headers = some();
  head.content_length = 5;
  head.upgrade = "x";
  head.expect_continue = true;
  head.clear();
  CHECK((head.method.empty() && head.scheme.empty() && head.authority.empty() && head.path.empty()));
  CHECK(head.is_request());
  CHECK(head.version == Version::http_1_1);
  CHECK(head.headers.empty());
  CHECK_FALSE(head.content_length);
  CHECK(head.upgrade.empty());
  CHECK_FALSE(head.expect_continue);
}

TEST_CASE("every 1xx is informational but the one that switches") {
  Head head;
  for (const auto& [status, informational] :
       {std::pair{100, true}, {103, true}, {101, false}, {200, false}, {0, false}}) {
    head.status = static_cast<uint16_t>(status);
    CHECK(head.informational() == informational);
  }
}

}  // namespace weir::http::test
