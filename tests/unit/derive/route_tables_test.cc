// Which tables there are: services, ports, producers and consumers, kinds that meet, and what a change costs.
#include "tests/unit/derive/yaml_world.h"

using namespace weir::agent;

namespace {

struct Shop : YamlWorld {
  Shop() {
    web();
    objects.add(Namespace{.meta = {.name = "other"}});
  }
  // A route with one rule that names it, attached as `parent` says.
  void attach(const std::string& name, const std::string& parent, int created = 0,
              const char* kind = "HTTPRoute") {
    route(name,
          "{parentRefs: [{group: \"\", kind: Service, " + parent +
              "}], rules: [{name: x, backendRefs: "
              "[{name: web, namespace: shop, port: 80}]}]}",
          created, kind);
  }
};

}  // namespace

TEST_CASE("without a route there is no table, and a Gateway's route is none of ours") {
  Shop shop;
  CHECK(shop.tables().empty());
  shop.route("r", "{parentRefs: [{name: web}, {kind: Service, name: web}], hostnames: [a], rules: [{}]}");
  CHECK(shop.tables().empty());
  CHECK(shop.notes().empty());
}

TEST_CASE("a route of the service's namespace makes one table for everybody and every port") {
  Shop shop;
  shop.attach("r", "name: web");
  check_text(shop.table("shop/web"), R"(
    name: "shop/web" service: "shop/web"
    rules { name: "shop/r/x" backends { service: "shop/web" port: 80 weight: 1 } }
    matches { path_prefix: "/" })");
  CHECK(shop.tables() == "shop/web");
  CHECK(shop.notes().empty());
}

TEST_CASE("a port is meant by number, by name or by both, and others have no table") {
  for (const std::string parent : {"port: 8080", "sectionName: alt", "port: 8080, sectionName: alt"}) {
    CAPTURE(parent);
    Shop shop;
    shop.attach("r", "name: web, " + parent);
    CHECK(shop.tables() == "shop/web:8080");
    REQUIRE(shop.table("shop/web:8080").ports_size() == 1);
    CHECK(shop.table("shop/web:8080").ports(0) == 8080);
  }
}

TEST_CASE(
    "each port has the routes attached to it and those attached to all, ports with the same routes one "
    "table") {
  Shop shop;
  shop.objects.services.at({"shop", "web"})
      .ports.push_back({.name = "third", .target_name = "", .port = 9090});
  shop.attach("all", "name: web");
  CHECK(shop.tables() == "shop/web");
  shop.attach("one", "name: web, port: 8080");
  CHECK(shop.tables() == "shop/web:80,9090 shop/web:8080");
  CHECK(shop.order("shop/web:80,9090") == "shop/all/x");
  CHECK(shop.order("shop/web:8080") == "shop/all/x shop/one/x");
  CHECK(shop.table("shop/web:80,9090").ports_size() == 2);
}

TEST_CASE("several parents give several tables, two ports of one service one") {
  Shop shop;
  shop.web("api");
  const std::string service = "{group: \"\", kind: Service, name: ";
  shop.route("r", "{parentRefs: [" + service + "web, port: 80}, " + service + "web, port: 8080}, " + service +
                      "api, port: 80}], rules: [{}]}");
  CHECK(shop.tables() == "shop/api:80 shop/web");
}

TEST_CASE(
    "a route of another namespace is for the clients of that namespace, and hides the producer's from them") {
  Shop shop;
  shop.attach("producer", "name: web");
  shop.attach("other/consumer", "name: web, namespace: shop");
  shop.attach("third/consumer", "name: web, namespace: shop, port: 80");
  CHECK(shop.tables() == "shop/web shop/web:80@third shop/web@other");
  CHECK(shop.order("shop/web") == "shop/producer/x");
  CHECK(shop.order("shop/web@other") == "other/consumer/x");
  CHECK(shop.table("shop/web@other").consumer_namespace() == "other");
  CHECK(shop.table("shop/web@other").service() == "shop/web");
  CHECK(shop.table("shop/web").consumer_namespace().empty());
  // conformance/tests/mesh/mesh-consumer-route.yaml: to the service it is attached to, without a grant.
  CHECK(shop.notes().empty());
  CHECK(shop.table("shop/web@other").rules(0).backends(0).service() == "shop/web");
}

TEST_CASE("routes of one consumer namespace are merged like any") {
  Shop shop;
  shop.attach("other/b", "name: web, namespace: shop", 2);
  shop.attach("other/a", "name: web, namespace: shop", 3);
  CHECK(shop.order("shop/web@other") == "other/b/x other/a/x");
}

TEST_CASE("where a GRPCRoute is attached no HTTPRoute is, however old, and it is told") {
  Shop shop;
  shop.attach("http", "name: web", 1);
  shop.attach("grpc", "name: web, port: 8080", 2, "GRPCRoute");
  CHECK(shop.tables() == "shop/web:80 shop/web:8080");
  CHECK(shop.order("shop/web:80") == "shop/http/x");
  CHECK(shop.order("shop/web:8080") == "shop/grpc/x");
  CHECK(shop.notes() ==
        "HTTPRoute shop/http: not accepted (Conflicted) for Service shop/web, port 8080: a GRPCRoute is "
        "attached "
        "there\n");
  // A consumer's routes do not meet the producer's.
  shop.attach("other/http", "name: web, namespace: shop");
  CHECK(shop.order("shop/web@other") == "other/http/x");
}

TEST_CASE(
    "a parent that is not there, has no address or no such port takes no route, and the route says so") {
  for (const auto& [parent, says] : std::vector<std::pair<std::string, std::string>>{
           {"name: gone", "there is no Service gone in namespace shop"},
           {"name: web, namespace: other", "there is no Service web in namespace other"},
           {"name: web, port: 81", "Service web has no TCP port 81"},
           {"name: web, sectionName: grpc", "Service web has no TCP port named grpc"},
           {"name: web, sectionName: http, port: 8080", "Service web has no TCP port named http 8080"},
           {"name: headless", "Service headless has no address of its own to be dialled at"},
           {"name: out", "Service out has no address of its own to be dialled at"}}) {
    CAPTURE(parent);
    Shop shop;
    shop.web("headless");
    shop.objects.services.at({"shop", "headless"}).addresses.clear();
    shop.web("out");
    shop.objects.services.at({"shop", "out"}).external_name = true;
    shop.attach("r", parent);
    CHECK(shop.tables().empty());
    CHECK(shop.notes() ==
          "HTTPRoute shop/r: spec.parentRefs[0]: not accepted (NoMatchingParent) " + says + "\n");
  }
}

TEST_CASE("hostnames and routes without rules are spoken of") {
  Shop shop;
  shop.route("r", "{parentRefs: [{group: '', kind: Service, name: web}], hostnames: [a.b]}", 0, "GRPCRoute");
  CHECK(shop.table("shop/web").matches_size() == 0);
  CHECK_THAT(shop.notes(), Catch::Contains("GRPCRoute shop/r: spec.hostnames have no meaning at a Service") &&
                               Catch::Contains("GRPCRoute shop/r: has no rules"));
}

TEST_CASE("a route's rules keep their matches when tables have several routes") {
  Shop shop;
  shop.rules("a", "{name: p, matches: [{path: {value: /p}}]}, {name: q, matches: [{path: {value: /q/long}}]}",
             1);
  shop.rules("b", "{name: r, matches: [{path: {value: /r/longer}}]}", 2);
  check_text(shop.table("shop/web"), R"(
    name: "shop/web" service: "shop/web"
    rules { name: "shop/a/p" } rules { name: "shop/a/q" } rules { name: "shop/b/r" }
    matches { rule: 2 path_prefix: "/r/longer" }
    matches { rule: 1 path_prefix: "/q/long" }
    matches { path_prefix: "/p" })");
}

TEST_CASE("a route that changes changes its tables and nothing else") {
  Shop shop;
  shop.web("api");
  shop.attach("a", "name: web");
  shop.attach("b", "name: api");
  shop.attach("other/a", "name: web, namespace: shop");
  const auto before = shop.derived().resources;
  const auto changes = [&](const Shop& now) {
    std::string out;
    const Delta delta = difference(before, now.derived().resources);
    for (const auto& id : delta.changed) out += "+" + id.text() + " ";
    for (const auto& id : delta.removed) out += "-" + id.text() + " ";
    return out;
  };
  CHECK(changes(shop).empty());
  Shop changed = shop;
  changed.rules("a", "{name: y}");
  CHECK(changes(changed) == "+ROUTES shop/web ");
  Shop consumer = shop;
  consumer.objects.http_routes.erase({"other", "a"});
  CHECK(changes(consumer) == "-ROUTES shop/web@other ");
  Shop port = shop;
  port.attach("b", "name: api, port: 80");
  CHECK(changes(port) == "+ROUTES shop/api:80 -ROUTES shop/api ");
  Shop unrelated = shop;
  unrelated.rules("a", "{name: x, backendRefs: [{name: web, port: 80}]}");
  CHECK(changes(unrelated).empty());
}
