// What a person reads of why.
#include "agent/cli/why_text.h"

#include <catch2/catch.hpp>

using namespace weir::agent;
using Json = nlohmann::json;

namespace {

const char* const kAnswer =
    R"({"agent":{"pod":"shop/web-1","node":"n1","asked_node":"n1","here":true,"addresses":["10.0.0.1"],
 "enrolled":true,"because":"label weir.dev/mesh: enabled of namespace shop","identity":"spiffe://x",
 "capture":{"state":"captured","accepting":true,"announced":true,"error":""},
 "mode":{"mode":"Strict","by":"shop/default","level":"namespace"},
 "ports":[{"port":8080,"name":"http","declared":true,"mode":{"mode":"Permissive","by":"","level":"default"},
           "services":[{"service":"shop/web","port":80,"protocol":"HTTP"}]}],
 "policies":[{"policy":"shop/p","action":"Deny","level":"selector","ports":[8080],"invalid":"",
   "rules":[{"name":"r","from":[{"principals":["a","b"]},{"ipBlocks":["10.0.0.0/8"]}],"to":[{"methods":["GET"]}],
             "when":[{"headers":[{"header":"x-a","values":["1"],"notValues":["2"]}]}]}]},
   {"policy":"shop/q","action":"Allow","level":"namespace","ports":[],"invalid":"odd","rules":[]}],
 "services":[{"service":"shop/web","traffic_policies":["shop/t"],"routes":[{"service":"shop/web","consumer_namespace":"",
   "ports":[80],"matches":[{"path":"prefix /cart","method":"GET","headers":["x=y"],"query":[],"rule":"shop/r/cart",
   "backends":[{"service":"shop/web","port":80,"weight":9},{"service":"shop/v2","port":80,"weight":1}],
   "filters":["rewrite"],"request_timeout_ms":500,"invalid":""}]}]}],
 "consumer_routes":[],"warnings":["mind this"]},
 "refusals":[{"time":"2026-11-25T10:00:00.123Z","kind":"request","direction":"inbound","source":{"pod":"batch/job"},
   "method":"GET","path":"/\u001b[2J","reason":"denied","policy":"shop/p","rule":"r"},
  {"time":"2026-11-25T10:00:01.123Z","kind":"connection","direction":"outbound","dialled":"10.0.0.9:1",
   "destination":{"pod":"","address":"10.0.0.9:1"},"reason":"unknown_destination"}]})";

}  // namespace

TEST_CASE(
    "why is told in paragraphs: what the pod is, ports, policies, services, refusals and what to look at") {
  CHECK(why_text(Json::parse(kAnswer)) ==
        R"(pod        shop/web-1 on node n1, 10.0.0.1
enrolled   yes: label weir.dev/mesh: enabled of namespace shop
capture    captured, the proxy accepts, announced to the mesh
identity   spiffe://x
mode       Strict by PeerAuthentication shop/default (namespace)

ports
  PORT  NAME  MODE                      SERVICES
  8080  http  Permissive (the default)  shop/web:80 (HTTP)

policies   in the order in which they decide
  Deny   shop/p (selector, ports 8080)
    r: from principals a b or ipBlocks 10.0.0.0/8; to methods GET; when header x-a is 1 is not 2
  Allow  shop/q (namespace) INVALID: odd
    no rules: it matches nothing
  what no Allow matches is denied

services   it belongs to
  shop/web, TrafficPolicy shop/t
    at shop/web:80, for everybody
      shop/r/cart  path prefix /cart, GET, header x=y  to shop/web:80 weight 9, shop/v2:80 weight 1; rewrite; within 500 ms
      nothing of these: 404

refused    the last times
  2026-11-25T10:00:00  from  batch/job   GET /\x1b[2J              denied by shop/p, r
  2026-11-25T10:00:01  to    10.0.0.9:1  connection to 10.0.0.9:1  unknown_destination

to look at
  mind this
)");
}

TEST_CASE("why of a pod that has little, or from processes that know less, still prints") {
  const std::string text =
      why_text(Json::parse(R"({"agent":{"pod":"a/b"},"refusals":null,"refusals_error":"no proxy"})"));
  for (const char* part : {"enrolled   no", "identity   none", "none: everybody may call it",
                           "none leads to it", "the proxy cannot be asked: no proxy"}) {
    CHECK_THAT(text, Catch::Contains(part));
  }
  CHECK_THAT(text, !Catch::Contains("to look at"));
  CHECK_THAT(why_text(Json()), Catch::Contains("pod "));
  Json elsewhere = Json::parse(kAnswer);
  elsewhere["agent"]["here"] = false;
  elsewhere["agent"]["node"] = "n9";
  CHECK_THAT(why_text(elsewhere), Catch::Contains("its node n9 knows; this is n1"));
}
