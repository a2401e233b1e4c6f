#pragma once
// Short ways to write updates for the tests of this directory.
//
// Concept: each function is one Resource or ResourceKey in textproto, to be joined; update() and first_update() parse.
// Owner, thread, lifetime: each test's own.
#include <google/protobuf/text_format.h>

#include <catch2/catch.hpp>
#include <sstream>
#include <string>

#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/config/snapshot.h"
#include "tests/unit/config/dump.h"

namespace weir::config::test {

namespace v1 = mesh::v1;

inline Ip ip(std::string_view text) { return *Ip::parse(text); }

// An address as a textproto bytes literal.
inline std::string wire(const std::string& address) {
  std::ostringstream out;
  out << '"';
  for (const char c : ip(address).to_wire()) {
    const auto byte = static_cast<unsigned char>(c);
    out << '\\' << (byte >> 6) << (byte >> 3 & 7) << (byte & 7);
  }
  out << '"';
  return out.str();
}

inline v1::Update update(uint64_t version, const std::string& text) {
  v1::Update update;
  INFO(text);
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &update));
  update.set_version(version);
  return update;
}

// A full state with the settings of the mesh; this node is n1.
inline v1::Update first_update(const std::string& text, uint64_t version = 1) {
  v1::Update first = update(
      version,
      R"(changed { mesh { trust_domain: "cluster.local" node: "n1" cluster_ranges: "10.0.0.0/8" } })" + text);
  first.set_full_state(true);
  return first;
}

inline std::string workload(const std::string& uid, const std::string& address,
                            const std::string& more = "") {
  return "changed { workload { uid: \"" + uid + "\" node: \"n1\" addresses: " + wire(address) + " " + more +
         " } }";
}
inline std::string bound_workload(const std::string& uid, const std::string& policy,
                                  const std::string& address = "10.9.9.9") {
  return workload(uid, address, "policies { policy: \"" + policy + "\" }");
}
inline std::string service(const std::string& name, const std::string& address, int port = 80) {
  return "changed { service { name: \"" + name + "\" addresses: " + wire(address) +
         " ports { port: " + std::to_string(port) + " } } }";
}
inline std::string slice(const std::string& name, const std::string& service, const std::string& address) {
  return "changed { endpoints { name: \"" + name + "\" service: \"" + service +
         "\" ports { port: 8080 } endpoints { ready: true weight: 100 address: " + wire(address) + " } } }";
}
inline std::string policy(const std::string& name, const std::string& more = "") {
  return "changed { policy { name: \"" + name + "\" " + more + " } }";
}
// A table whose only rule sends everything to the service itself.
inline std::string routes(const std::string& name, const std::string& service, const std::string& more = "") {
  return "changed { routes { name: \"" + name + "\" service: \"" + service +
         "\" rules { name: \"r\" backends { service: \"" + service +
         "\" port: 80 weight: 1 } } matches { } " + more + " } }";
}
inline std::string trust(const std::string& domain) {
  return "changed { trust { domain: \"" + domain + "\" version: 1 roots: \"root\" } }";
}
inline std::string removed(const std::string& kind, const std::string& name) {
  return "removed { kind: " + kind + " name: \"" + name + "\" }";
}

}  // namespace weir::config::test
