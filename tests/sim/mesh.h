#pragma once
// Two nodes of a mesh on the simulator: a worker's context each, one enrolled pod each (client on node 0, server on
// node 1; a test may add a neighbour to the client), real TLS with certificates made here, real snapshots from a real
// builder. Everything of the corridor runs; only the kernel is simulated.
// Thread: the test's. Lifetime: a test case.
#include <memory>
#include <string>

#include "nodeproxy/config/build.h"
#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/flow/local_pod.h"
#include "nodeproxy/io/sim.h"
#include "nodeproxy/upstream/http_pool.h"
#include "nodeproxy/upstream/lane_pool.h"
#include "tests/unit/tls/certificates.h"

namespace weir::test {

inline constexpr const char* kClientId = "spiffe://cluster.local/ns/shop/sa/client";
inline constexpr const char* kServerId = "spiffe://cluster.local/ns/shop/sa/server";
inline const SocketAddress kService = *SocketAddress::parse("10.60.0.1:80");
inline const SocketAddress kHttpService = *SocketAddress::parse("10.60.0.1:81");
inline const SocketAddress kServer = *SocketAddress::parse("10.50.2.10:8080");
inline const SocketAddress kReplica = *SocketAddress::parse("10.50.2.11:8080");
inline const Ip kOutside = *Ip::parse("192.168.9.9");
inline const Ip kClient = *Ip::parse("10.50.1.10");
inline const SocketAddress kNeighbour = *SocketAddress::parse("10.50.1.11:8080");

class Node final : private upstream::LanePoolEvents {
 public:
  Node(io::SimDriver& driver, uint64_t seed);

  io::SimDriver& driver;
  flow::Context context;
  upstream::LanePool lanes;
  upstream::HttpPool http;
  Status last_handshake;
  uint64_t full_handshakes = 0, resumed_handshakes = 0;  // as dialler

  uint64_t opened() const;
  uint64_t closed() const;
  uint64_t failed() const;
  uint64_t failed(Reason reason) const;

 private:
  void on_handshake(const Status& outcome, bool resumed) override {
    last_handshake = outcome;
    if (outcome) ++(resumed ? resumed_handshakes : full_handshakes);
  }
  void on_lane_opened() override {}
  void on_lane_closed(Reason) override {}
  void on_session_opened() override {}
};

class Mesh {
 public:
  explicit Mesh(uint64_t seed, const io::SimNetwork::Options& network = {});
  ~Mesh();

  // The configuration, changed by `edit` and given to both nodes; live flows are judged again.
  void configure(const std::function<void(mesh::v1::Update&)>& edit);
  mesh::v1::Update update;

  // A second pod on the client's node: what the client dials there goes in one pass.
  flow::LocalPod* add_neighbour(const std::string& identity = kServerId);
  // A second endpoint of the service, on the server's node and under its identity.
  flow::LocalPod* add_replica();
  // As a worker does between its turns: pods that have said that nothing of them is left go.
  void sweep();
  // An application on the client pod dials `to`, captured.
  io::SimApp& dial(const SocketAddress& to, uint16_t port);
  io::SimApp& dial_from_neighbour(const SocketAddress& to, uint16_t port);
  // Likewise from a second address of that pod.
  io::SimApp& dial_from(const Ip& source, const SocketAddress& to, uint16_t port);
  // One outside the mesh dials the server pod.
  io::SimApp& dial_from_outside(uint16_t port, const Ip& source = kOutside);
  void give_certificate(Node& node, const std::string& identity);
  void lose_certificate(Node& node, const std::string& identity) {
    node.context.certificates.erase(identity);
  }
  // Ends every flow and lane and waits for it.
  void end_all();

  io::SimWorld world;
  tls::test::Authority authority{"root"};
  Node client, server;
  flow::LocalPod *client_pod = nullptr, *server_pod = nullptr;
  bool certificates_wanted = true;

 private:
  flow::LocalPod* add_pod(Node& node, const std::string& uid, const std::string& identity, int outbound,
                          int inbound);

  config::Builder builder_;
  std::shared_ptr<const config::Snapshot> snapshot_;
  std::vector<std::string> released_;
  int outbound_fd_ = -1, neighbour_outbound_fd_ = -1;
};

}  // namespace weir::test
