// What a dialled address means, row by row of architecture.md's table.
#include "nodeproxy/flow/target.h"

#include <google/protobuf/text_format.h>

#include <catch2/catch.hpp>

#include "nodeproxy/config/build.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::flow {
namespace {

std::shared_ptr<const config::Snapshot> snapshot(const char* unknown = "REFUSE") {
  mesh::v1::Update update;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(std::string(R"(
    full_state: true version: 1
    changed { mesh { trust_domain: "cluster.local" node: "a" cluster_ranges: "10.50.0.0/16" cluster_ranges: "10.60.0.0/16"
      unknown_destinations: )") + unknown + R"( } }
    changed { workload { uid: "pod" name: "pod" namespace: "shop" identity: "spiffe://cluster.local/ns/shop/sa/pod"
      addresses: "\x0a\x32\x01\x0a" node: "a" } }
    changed { workload { uid: "node/a" name: "a" addresses: "\x0a\x32\x00\x01" node: "a" host_network: true } }
    changed { service { name: "shop/web" addresses: "\x0a\x3c\x00\x01" ports { port: 80 name: "http" } } }
  )",
                                                        &update));
  config::Builder builder;
  auto built = builder.apply(update);
  REQUIRE(built);
  return *built;
}

SocketAddress at(const char* text) { return *SocketAddress::parse(text); }

TEST_CASE("a service's address with one of its ports is that service") {
  const auto config = snapshot();
  const Target target = target_of(*config, at("10.60.0.1:80"));
  REQUIRE(std::holds_alternative<ToService>(target));
  CHECK(std::get<ToService>(target).service->name == "shop/web");
  CHECK(std::get<ToService>(target).port->name == "http");
}

TEST_CASE("a service's address with another port is that service without a port, to be refused") {
  const auto config = snapshot();
  const Target target = target_of(*config, at("10.60.0.1:81"));
  REQUIRE(std::holds_alternative<ToService>(target));
  CHECK(std::get<ToService>(target).port == nullptr);
}

TEST_CASE("a pod's address is that workload, whatever the port") {
  const auto config = snapshot();
  const Target target = target_of(*config, at("10.50.1.10:12345"));
  REQUIRE(std::holds_alternative<ToWorkload>(target));
  CHECK(std::get<ToWorkload>(target).workload->uid == "pod");
}

TEST_CASE("a node's address is outside, even inside the cluster's ranges") {
  const auto config = snapshot();
  CHECK(std::holds_alternative<ToOutside>(target_of(*config, at("10.50.0.1:30080"))));
}

TEST_CASE("an address outside the cluster's ranges is outside") {
  const auto config = snapshot();
  CHECK(std::holds_alternative<ToOutside>(target_of(*config, at("192.0.2.1:443"))));
  CHECK(std::holds_alternative<ToOutside>(target_of(*config, at("[2001:db8::1]:443"))));
}

TEST_CASE("an address inside the ranges that nobody knows is unknown, or outside where that is allowed") {
  const auto refusing = snapshot();
  CHECK(std::holds_alternative<ToUnknown>(target_of(*refusing, at("10.50.9.9:80"))));
  const auto allowing = snapshot("ALLOW");
  CHECK(std::holds_alternative<ToOutside>(target_of(*allowing, at("10.50.9.9:80"))));
}

}  // namespace
}  // namespace weir::flow
