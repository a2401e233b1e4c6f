// What tap asks and prints.
#include "agent/cli/tap.h"

#include <catch2/catch.hpp>

#include "agent/cli/members.h"

using namespace weir::agent;
using Json = nlohmann::json;

namespace {

const char* const kRequest = R"({"time":"2026-11-25T18:03:17.123Z","kind":"request",
 "source":{"namespace":"shop","workload":"web"},"destination":{"namespace":"shop","workload":"api"},
 "route":"shop/api/canary","protocol":"http/1.1","security":"mtls","method":"GET","host":"api","path":"/cart",
 "status":503,"reason":"no_endpoint","duration_ms":12.345,"attempts":2})";

}  // namespace

TEST_CASE("tap asks with its filters, from where the last answer ended") {
  CHECK(tap_target({}, "").target == "/tap?since=");
  CHECK(tap_target({"shop/web", "shop/api/canary", "5xx"}, "1,2").target ==
        "/tap?since=1,2&workload=shop/web&route=shop/api/canary&status=5xx");
}

TEST_CASE("a filter that cannot be a name is refused before anything is asked") {
  for (const char* bad : {"shop/web&since=0", "a b", "a\r\nX: y", "a?b", "a%41", "a#"}) {
    const TapTarget target = tap_target({.workload = bad, .route = "", .status = ""}, "");
    CHECK(target.target.empty());
    CHECK_THAT(target.error, Catch::Contains("--workload"));
  }
}

TEST_CASE("an answer is requests and where to go on from; what is not understood is passed over") {
  const TapAnswer answer = read_tap(
      "{\"kind\":\"request\",\"path\":\"/1\"}\nnonsense\n[]\n{\"kind\":\"request\",\"path\":\"/2\"}\n"
      "{\"kind\":\"tap\",\"next\":\"3,4\",\"missed\":5}\n");
  REQUIRE(answer.requests.size() == 2);
  CHECK(answer.requests[1]["path"] == "/2");
  CHECK(answer.next == "3,4");
  CHECK(answer.missed == 5);
  CHECK(read_tap("no such path\n").next.empty());
  CHECK(read_tap("").next.empty());
}

TEST_CASE("a request is told by time, ends, status, duration, what was asked, and how and why") {
  CHECK(tap_cells(Json::parse(kRequest)) ==
        std::vector<std::string>{"18:03:17.123", "shop/web", "shop/api", "503", "12.3ms", "GET api/cart",
                                 "http/1.1 mtls route shop/api/canary attempts 2 no_endpoint"});
  Json denied = Json::parse(kRequest);
  denied["reason"] = "denied";
  denied["policy"] = "shop/p";
  denied["rule"] = "r";
  denied["truncated"] = true;
  denied["grpc_status"] = 7;
  const auto cells = tap_cells(denied);
  CHECK(cells[3] == "503/grpc 7");
  CHECK(cells[5] == "GET api/cart...");
  CHECK_THAT(cells[6], Catch::EndsWith("denied by shop/p rule r"));
  CHECK(tap_cells(Json::parse("{}")).size() == cells.size());
}

TEST_CASE("what a stranger wrote does not move the terminal") {
  Json request = Json::parse(kRequest);
  request["path"] = "/\x1b[2J\xc2\x9b\xe2\x80\xae";
  const auto cells = tap_cells(request);
  CHECK(cells[5] == R"(GET api/\x1b[2J\xc2\x9b\xe2\x80\xae)");
  CHECK(visible("a\tb\x7f") == R"(a\x09b\x7f)");
}

TEST_CASE("columns of tap keep their place, however long a cell before was") {
  TapTable table;
  CHECK(table.line({"a", "b", "c"}) == "a  b  c\n");
  CHECK(table.line({"long", "b", "c"}) == "long  b  c\n");
  CHECK(table.line({"a", "b", "c"}) == "a     b  c\n");
  table.line({std::string(500, 'x'), "b", "c"});
  CHECK(table.line({"a", "b", "c"}).size() < 60);
}
