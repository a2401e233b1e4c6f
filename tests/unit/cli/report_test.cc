// What a person reads of status and check, and when check says no.
#include "agent/cli/report.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace weir::agent;
using Json = nlohmann::json;

namespace {

const Json kAgent = Json::parse(R"({"version":"1.0","node":"n1","ready":false,"not_ready":"no proxy",
 "pods":[{"uid":"u1","name":"shop/web","identity":"spiffe://x","mode":"Strict","state":"captured","accepting":true,
          "announced":true,"certificate_not_after":5,"error":""},
         {"uid":"u2","name":"shop/db","identity":"spiffe://y","mode":"Permissive","state":"waiting","announced":false,
          "certificate_not_after":0,"error":"network namespace is not there"}],
 "source":{"errors":[{"file":"bad.yaml","line":3,"reason":"is wrong"}],
           "notes":[{"object":"TrafficPolicy a/b","text":"no Service"}]},
 "quarantine":[{"object":"POLICY a/p","error":"odd","stands_in":"nothing"}],
 "trust":{"domain":"cluster.local","version":4,"error":"","roots":[{},{}]}})");
const Json kProxy = Json::parse(R"({"version":"1.1","ready":true,"workers":2,
 "pods":[{"uid":"u1","identity":"spiffe://x","certificate_not_after":8000,"flows":12}]})");

}  // namespace

TEST_CASE("columns are as wide as their widest cell") {
  CHECK(table({{"A", "B"}, {"long", "x"}}) == "A     B\nlong  x\n");
}

TEST_CASE("times are told as a person would") {
  CHECK(until(0, 100) == "-");
  CHECK(until(108, 100) == "8s");
  CHECK(until(100 + 125, 100) == "2m 5s");
  CHECK(until(100 + 7300, 100) == "2h 1m");
  CHECK(until(100 + 90000, 100) == "1d 1h");
  CHECK(until(97, 100) == "expired 3s ago");
}

TEST_CASE("status shows every pod with identity, mode, capture, flows and expiry, and all that is wrong") {
  const std::string text = status_text(kAgent, kProxy, 800);
  for (const char* part :
       {"agent  1.0, NOT READY: no proxy", "proxy  1.1, ready, 2 workers", "bundle version 4, 2 roots",
        "shop/web  Strict      captured  12     2h 0m        spiffe://x",
        "shop/db   Permissive  waiting   -      -            spiffe://y",
        "pod shop/db: network namespace is not there", "bad.yaml:3: is wrong",
        "TrafficPolicy a/b: no Service", "POLICY a/p: refused by the proxy: odd; in its place: nothing"}) {
    CHECK_THAT(text, Catch::Contains(part));
  }
}

TEST_CASE("status without a proxy, or from a process with fewer members, still prints") {
  CHECK_THAT(status_text(kAgent, Json(), 0), Catch::Contains("proxy  not reached"));
  CHECK_THAT(status_text(Json::object(), Json::object(), 0), Catch::Contains("no pod of this node"));
  CHECK_THAT(status_text(Json::parse(R"({"pods":[{"name":5,"state":null}],"trust":7})"), Json(), 0),
             Catch::Contains("5"));
}

TEST_CASE(
    "check fails for a failed part, a missing or expired certificate, or a proxy that cannot be asked") {
  Json checks = Json::parse(R"({"ok":true,"pods":[{"uid":"u1","name":"shop/web","ok":true,
    "checks":[{"name":"routes","ok":true,"detail":"there"},{"name":"sysctls","ok":true,"detail":"set"}]}]})");
  auto report = check_text(checks, kProxy, 800);
  CHECK(report.ok);
  CHECK_THAT(report.text, Catch::Contains("shop/web  ok 2/2   2h 0m"));
  CHECK_FALSE(check_text(checks, Json(), 800).ok);
  report = check_text(checks, kProxy, 9000);
  CHECK_FALSE(report.ok);
  CHECK_THAT(report.text, Catch::Contains("shop/web: certificate: expired"));
  CHECK_THAT(check_text(checks, Json::object(), 800).text, Catch::Contains("the proxy has none for it"));
  checks["ok"] = false;
  checks["pods"][0]["checks"][0] = {{"name", "routes"}, {"ok", false}, {"detail", "rule is missing"}};
  report = check_text(checks, kProxy, 800);
  CHECK_FALSE(report.ok);
  CHECK_THAT(report.text, Catch::Contains("FAILED 1/2"));
  CHECK_THAT(report.text, Catch::Contains("shop/web: routes: rule is missing"));
  CHECK_FALSE(check_text(Json(), kProxy, 800).ok);
}
