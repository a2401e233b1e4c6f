// What becomes of a request before anything is sent: answers of our own, the backend, and whose settings count.
#include "nodeproxy/flow/decide.h"

#include <google/protobuf/text_format.h>

#include <catch2/catch.hpp>

#include "nodeproxy/config/build.h"
#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/http/grpc.h"
#include "nodeproxy/io/sim.h"

namespace weir::flow {
namespace {

using config::Milliseconds;

// A client pod of namespace shop that has dialled shop/web:80, or what a test says.
struct Deciding {
  io::SimWorld world{1};
  io::SimDriver& driver = world.add_driver();
  config::Builder builder;
  std::shared_ptr<const config::Snapshot> snapshot;
  Context context{driver, nullptr, 0, 1, 1};
  LocalPod pod;
  Flow flow;
  HttpClient client;
  http::Head head;
  Plan plan;

  static std::shared_ptr<const PodDescriptors> descriptors() {
    auto made = std::make_shared<PodDescriptors>(1);
    made->uid = "pod";
    made->identity = "spiffe://cluster.local/ns/shop/sa/pod";
    return made;
  }
  // `routes`: of RouteTable; `traffic`: of shop/web; `other`: of shop/other.
  explicit Deciding(const std::string& routes = "", const std::string& web = "",
                    const std::string& other = "")
      : pod(context, descriptors(), 0, 1, [](const std::string&) {}),
        flow(context, pod),
        client(flow, false) {
    std::string text = R"(full_state: true version: 1
      changed { mesh { trust_domain: "cluster.local" node: "a" cluster_ranges: "10.0.0.0/8" } }
      changed { workload { uid: "pod" name: "pod" namespace: "shop" addresses: "\x0a\x32\x01\x0a" node: "a" } }
      changed { service { name: "shop/web" addresses: "\x0a\x3c\x00\x01" ports { port: 80 name: "http" } )" +
                       web +
                       R"( } } changed { service { name: "shop/other" addresses: "\x0a\x3c\x00\x02"
                         ports { port: 8080 name: "http" } )" +
                       other + " } }";
    if (!routes.empty()) text += " changed { routes { name: \"t\" service: \"shop/web\" " + routes + " } }";
    mesh::v1::Update update;
    INFO(text);
    REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &update));
    auto built = builder.apply(update);
    if (!built) FAIL(config::describe(built.error()));
    snapshot = *built;
    context.snapshot = snapshot.get();
    client.address = *SocketAddress::parse("10.50.1.10:40000");
    client.dialled = *SocketAddress::parse("10.60.0.1:80");
    flow.record.discard();
    head.method = "GET";
    head.scheme = "http";
    head.authority = "web.shop";
    head.path = "/a";
  }

  std::optional<LocalAnswer> decide() { return flow::decide(client, head, plan); }
};

const std::string kToOther = R"(backends { service: "shop/other" port: 8080 weight: 1 } )";

TEST_CASE("without routes a request goes to the service that was dialled, with its settings") {
  Deciding test("", "traffic { timeouts { request_ms: 700 } retry { attempts: 3 } }");
  CHECK(!test.decide());
  CHECK(test.plan.service == "shop/web");
  CHECK(test.plan.port == 80);
  CHECK(test.plan.rule.empty());
  CHECK(test.plan.timeouts.request == Milliseconds(700));
  CHECK(test.plan.retry.attempts == 3);
}

TEST_CASE("an inbound request goes to the pod's own application, whatever routes say") {
  Deciding test("rules { name: \"r\" } matches { }");
  HttpClient inbound(test.flow, true);
  CHECK(!decide(inbound, test.head, test.plan));
  CHECK(test.plan.service.empty());
}

TEST_CASE("a service that has gone while its connection lived is no endpoint") {
  Deciding test;
  test.client.dialled = *SocketAddress::parse("10.60.0.9:80");
  const auto answer = test.decide();
  REQUIRE(answer);
  CHECK(answer->status == 503);
  CHECK(answer->reason == Reason::no_endpoint);
}

TEST_CASE("a request that no rule matches is answered 404") {
  Deciding test("rules { name: \"r\" " + kToOther + " } matches { path_prefix: \"/b\" }");
  const auto answer = test.decide();
  REQUIRE(answer);
  CHECK(answer->status == 404);
  CHECK(answer->reason == Reason::route_not_found);
}

TEST_CASE("a path that has no normal form is answered 400 where routes look at it") {
  Deciding routed("rules { name: \"r\" " + kToOther + " } matches { }");
  routed.head.path = "/a%2fb";
  const auto answer = routed.decide();
  REQUIRE(answer);
  CHECK(answer->status == 400);
  Deciding plain;
  plain.head.path = "/a%2fb";
  CHECK(!plain.decide());
  CHECK(plain.head.path == "/a%2fb");
}

TEST_CASE("a rule that does not resolve is answered 500") {
  Deciding test("rules { name: \"r\" invalid: \"a filter of somebody else's\" } matches { }");
  const auto answer = test.decide();
  REQUIRE(answer);
  CHECK(answer->status == 500);
  CHECK(answer->reason == Reason::route_invalid);
  CHECK(test.plan.rule == "r");
}

TEST_CASE("a share without a backend, and a rule without any, are answered 500") {
  for (const char* backends : {"", "backends { service: \"\" weight: 1 }"}) {
    INFO(backends);
    Deciding test(std::string("rules { name: \"r\" ") + backends + " } matches { }");
    const auto answer = test.decide();
    REQUIRE(answer);
    CHECK(answer->status == 500);
  }
}

TEST_CASE("a backend's port that is not there is answered 500") {
  Deciding test("rules { name: \"r\" backends { service: \"shop/other\" port: 9 weight: 1 } } matches { }");
  const auto answer = test.decide();
  REQUIRE(answer);
  CHECK(answer->reason == Reason::route_invalid);
}

TEST_CASE("a redirect is answered here, and no endpoint is chosen") {
  Deciding test(
      "rules { name: \"r\" filters { redirect { hostname: \"new.example\" status: 301 } } } matches { }");
  const auto answer = test.decide();
  REQUIRE(answer);
  CHECK(answer->status == 301);
  CHECK(answer->reason == Reason::redirected);
  CHECK(answer->headers.get("location") == "http://new.example/a");
}

TEST_CASE("a preflight is answered here and is no failure; the request itself goes on with the grant") {
  const std::string rule =
      "rules { name: \"r\" " + kToOther +
      "filters { cors { allow_origins: \"http://page\" allow_methods: \"PUT\" } } } matches { }";
  Deciding preflight(rule);
  preflight.head.method = "OPTIONS";
  preflight.head.headers.add("origin", "http://page");
  preflight.head.headers.add("access-control-request-method", "PUT");
  const auto answer = preflight.decide();
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->reason == Reason::none);
  CHECK(answer->headers.get("access-control-allow-origin") == "http://page");
  Deciding actual(rule);
  actual.head.headers.add("origin", "http://page");
  CHECK(!actual.decide());
  REQUIRE(actual.plan.cors);
  CHECK(actual.plan.cors_origin == "http://page");
}

TEST_CASE("CONNECT goes only where a route leads it") {
  Deciding plain;
  plain.head.method = "CONNECT";
  plain.head.path.clear();
  const auto answer = plain.decide();
  REQUIRE(answer);
  CHECK(answer->status == 403);
  CHECK(answer->reason == Reason::upgrade_refused);
  Deciding routed("rules { name: \"r\" " + kToOther + " } matches { method: \"CONNECT\" }");
  routed.head.method = "CONNECT";
  routed.head.path.clear();
  CHECK(!routed.decide());
}

TEST_CASE(
    "a rule leads to its backend and changes what is forwarded, the rule's filters before the backend's") {
  Deciding test(R"(rules { name: "r"
      backends { service: "shop/other" port: 8080 weight: 1
        filters { request_headers { set { name: "x-by" value: "backend" } } } }
      filters { request_headers { set { name: "x-by" value: "rule" } set { name: "x-rule" value: "1" } } } }
      matches { })");
  CHECK(!test.decide());
  CHECK(test.plan.service == "shop/other");
  CHECK(test.plan.port == 8080);
  CHECK(test.plan.rule == "r");
  CHECK(test.head.headers.get("x-by") == "backend");
  CHECK(test.head.headers.get("x-rule") == "1");
}

TEST_CASE("what a rule says wins over the backend's service, which wins over nothing") {
  Deciding test(
      "rules { name: \"r\" " + kToOther + "timeouts { request_ms: 100 } retry { attempts: 5 } } matches { }",
      "traffic { timeouts { idle_ms: 1 } }",
      "traffic { timeouts { request_ms: 900 backend_request_ms: 300 } retry { attempts: 2 } }");
  CHECK(!test.decide());
  CHECK(test.plan.timeouts.request == Milliseconds(100));
  CHECK(test.plan.timeouts.backend_request == Milliseconds(300));
  CHECK(!test.plan.timeouts.idle);  // the dialled service's are not the backend's
  CHECK(test.plan.retry.attempts == 5);
}

TEST_CASE("a limit of zero is none, and lifts the service's") {
  Deciding lifted("rules { name: \"r\" " + kToOther + "timeouts { request_ms: 0 } } matches { }", "",
                  "traffic { timeouts { request_ms: 900 } }");
  CHECK(!lifted.decide());
  CHECK(!lifted.plan.timeouts.request);
  Deciding service("", "traffic { timeouts { request_ms: 0 backend_request_ms: 0 idle_ms: 0 } }");
  CHECK(!service.decide());
  CHECK(!service.plan.timeouts.request);
  CHECK(!service.plan.timeouts.backend_request);
  CHECK(!service.plan.timeouts.idle);
}

TEST_CASE("gRPC is known by its content type or by its rule, also for answers of our own") {
  Deciding typed;
  typed.head.headers.add("content-type", "application/grpc+proto");
  CHECK(!typed.decide());
  CHECK(typed.plan.grpc);
  Deciding ruled("rules { name: \"r\" grpc: true invalid: \"why\" } matches { }");
  CHECK(ruled.decide());
  CHECK(ruled.plan.grpc);
  Deciding neither;
  CHECK(!neither.decide());
  CHECK(!neither.plan.grpc);
}

TEST_CASE("a consistent balancer gets the hash of what its service hashes, and others get none") {
  Deciding none;
  none.decide();
  CHECK(!none.plan.hash);
  const std::string ring = "balancer: RING_HASH traffic { hash { query: \"user\" } }";
  const auto hash_of = [&](const std::string& path) {
    Deciding test("", ring);
    test.head.path = path;
    CHECK(!test.decide());
    return test.plan.hash;
  };
  REQUIRE(hash_of("/a?user=1"));
  CHECK(hash_of("/a?user=1") == hash_of("/b?x=y&user=1"));
  CHECK(hash_of("/a?user=1") != hash_of("/a?user=2"));
  CHECK(hash_of("/a?user=%31") == hash_of("/a?user=1"));
}

TEST_CASE("a session leads back to the backend and the endpoint it had, whatever the weights say") {
  const std::string rules = R"(rules { name: "r" persistence { name: "sticky" }
      backends { service: "shop/web" port: 80 weight: 1 } backends { service: "shop/other" port: 8080 weight: 1 } }
      matches { })";
  config::Backend other;
  other.service = "shop/other";
  other.port = 8080;
  const auto now_s = http::unix_seconds();
  const std::string token = route::encode_session({route::backend_id(other), 77, now_s, now_s});
  for (int i = 0; i < 20; ++i) {
    Deciding test(rules);
    test.head.headers.add("cookie", "sticky=" + token);
    CHECK(!test.decide());
    CHECK(test.plan.service == "shop/other");
    CHECK(test.plan.prefer == 77);
    CHECK(test.plan.persistence);
  }
}

TEST_CASE("what filters do to the answer is copied, the backend's before the rule's") {
  Deciding test(R"(rules { name: "r"
      backends { service: "shop/other" port: 8080 weight: 1
        filters { response_headers { set { name: "x-by" value: "backend" } } } }
      filters { response_headers { set { name: "x-by" value: "rule" } } } } matches { })");
  CHECK(!test.decide());
  REQUIRE(test.plan.response_filters.size() == 2);
  CHECK(test.plan.response_filters[0].response_headers.set[0].second == "backend");
  CHECK(test.plan.response_filters[1].response_headers.set[0].second == "rule");
}

TEST_CASE("mirrors of the rule and of the backend are both begun, by their share") {
  Deciding test(R"(rules { name: "r"
      backends { service: "shop/other" port: 8080 weight: 1
        filters { mirrors { service: "shop/web" port: 80 numerator: 1 denominator: 1 } } }
      filters { mirrors { service: "shop/other" port: 8080 numerator: 1 denominator: 1 }
                mirrors { service: "shop/web" port: 80 numerator: 0 denominator: 1 } } } matches { })");
  CHECK(!test.decide());
  REQUIRE(test.plan.mirrors.size() == 2);
  CHECK(test.plan.mirrors[0].service == "shop/other");
  CHECK(test.plan.mirrors[1].service == "shop/web");
}

}  // namespace
}  // namespace weir::flow
