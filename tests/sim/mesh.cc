// See mesh.h.
#include "tests/sim/mesh.h"

#include <google/protobuf/text_format.h>

#include <stdexcept>

namespace weir::test {
namespace {

constexpr const char* kConfiguration = R"(
  full_state: true
  changed { mesh { trust_domain: "cluster.local" node: "a" cluster_ranges: "10.50.0.0/16" cluster_ranges: "10.60.0.0/16" } }
  changed { trust { domain: "cluster.local" version: 1 roots: "root" } }
  changed { workload { uid: "client" name: "client" namespace: "shop" identity: "spiffe://cluster.local/ns/shop/sa/client"
    addresses: "\x0a\x32\x01\x0a" node: "a" mesh_peer: true service_account: "client" } }
  changed { workload { uid: "server" name: "server" namespace: "shop" identity: "spiffe://cluster.local/ns/shop/sa/server"
    addresses: "\x0a\x32\x02\x0a" node: "b" mesh_peer: true service_account: "server" } }
  changed { service { name: "shop/server" addresses: "\x0a\x3c\x00\x01" ports { port: 80 name: "tcp" }
    ports { port: 81 name: "http" } } }
  changed { endpoints { name: "shop/server-1" service: "shop/server" ports { name: "tcp" port: 8080 }
    ports { name: "http" port: 8080 }
    endpoints { address: "\x0a\x32\x02\x0a" workload: "server" ready: true serving: true weight: 100 } } }
)";

uint64_t sum(const Node& node, uint64_t (*of)(const telemetry::Row&)) {
  uint64_t total = 0;
  for (const telemetry::Row& row : node.context.series.copy()) total += of(row);
  return total;
}

}  // namespace

Node::Node(io::SimDriver& driver, uint64_t seed)
    : driver(driver),
      context(driver, nullptr, 0, 1, seed),
      lanes(driver, *this, context.ports, context.shares, context.chains),
      http(driver, lanes, context.ports) {
  context.lanes = &lanes;
  context.http = &http;
}

uint64_t Node::opened() const {
  return sum(*this, [](const telemetry::Row& row) { return row.opened; });
}
uint64_t Node::closed() const {
  return sum(*this, [](const telemetry::Row& row) { return row.closed; });
}
uint64_t Node::failed() const {
  return sum(*this, [](const telemetry::Row& row) {
    uint64_t total = 0;
    for (const uint64_t one : row.failed) total += one;
    return total;
  });
}
uint64_t Node::failed(Reason reason) const {
  uint64_t total = 0;
  for (const telemetry::Row& row : context.series.copy()) total += row.failed[static_cast<size_t>(reason)];
  return total;
}

Mesh::Mesh(uint64_t seed, const io::SimNetwork::Options& network)
    : world(seed, network), client(world.add_driver(0), seed), server(world.add_driver(1), seed + 1) {
  if (!google::protobuf::TextFormat::ParseFromString(kConfiguration, &update))
    throw std::logic_error("configuration");
  update.mutable_changed(1)->mutable_trust()->set_roots(0, authority.der());
  configure([](mesh::v1::Update&) {});
  outbound_fd_ = world.listen(client.driver, *SocketAddress::parse("127.0.0.1:15001"));
  const int client_inbound = world.listen(client.driver, *SocketAddress::parse("127.0.0.2:15001"));
  const int server_outbound = world.listen(server.driver, *SocketAddress::parse("127.0.0.3:15001"));
  const int server_inbound = world.listen(server.driver, *SocketAddress::parse("127.0.0.4:15001"));
  world.capture(kClient, client.driver, client_inbound);
  world.capture(kServer.ip, server.driver, server_inbound);
  client_pod = add_pod(client, "client", kClientId, outbound_fd_, client_inbound);
  server_pod = add_pod(server, "server", kServerId, server_outbound, server_inbound);
  give_certificate(client, kClientId);
  give_certificate(server, kServerId);
}

Mesh::~Mesh() {
  end_all();
  client.context.pods.clear();
  server.context.pods.clear();
}

void Mesh::configure(const std::function<void(mesh::v1::Update&)>& edit) {
  edit(update);
  update.set_version(update.version() + 1);
  auto next = builder_.apply(update);
  if (!next) throw std::logic_error(next.error().name + ": " + next.error().text);
  const std::shared_ptr<const config::Snapshot> before = std::exchange(snapshot_, *next);
  for (Node* node : {&client, &server}) {
    node->context.snapshot = snapshot_.get();
    for (const auto& [uid, pod] : node->context.pods) pod->judge_again(before.get(), *snapshot_);
  }
}

flow::LocalPod* Mesh::add_pod(Node& node, const std::string& uid, const std::string& identity, int outbound,
                              int inbound) {
  // The simulator's descriptors are not the kernel's: they must not reach close(2).
  auto* descriptors = new flow::PodDescriptors(1);
  descriptors->uid = uid;
  descriptors->identity = identity;
  descriptors->outbound.emplace_back(outbound);
  descriptors->inbound.emplace_back(inbound);
  const std::shared_ptr<flow::PodDescriptors> shared(descriptors, [&node](flow::PodDescriptors* gone) {
    for (auto* list : {&gone->outbound, &gone->inbound}) {
      for (Fd& fd : *list) node.driver.close(fd.release());
    }
    delete gone;
  });
  auto pod = std::make_unique<flow::LocalPod>(node.context, shared, 0, 1,
                                              [this](const std::string& gone) { released_.push_back(gone); });
  pod->start();
  return node.context.pods.emplace(uid, std::move(pod)).first->second.get();
}

flow::LocalPod* Mesh::add_neighbour(const std::string& identity) {
  configure([&](mesh::v1::Update& update) {
    auto* workload = update.add_changed()->mutable_workload();
    *workload = update.changed(3).workload();
    workload->set_uid("neighbour");
    workload->set_name("neighbour");
    workload->set_node("a");
    workload->set_identity(identity);
    workload->clear_policies();
    workload->set_addresses(0, "\x0a\x32\x01\x0b");
  });
  neighbour_outbound_fd_ = world.listen(client.driver, *SocketAddress::parse("127.0.0.5:15001"));
  const int inbound = world.listen(client.driver, *SocketAddress::parse("127.0.0.6:15001"));
  world.capture(kNeighbour.ip, client.driver, inbound);
  return add_pod(client, "neighbour", identity, neighbour_outbound_fd_, inbound);
}

flow::LocalPod* Mesh::add_replica() {
  configure([&](mesh::v1::Update& update) {
    auto* workload = update.add_changed()->mutable_workload();
    *workload = update.changed(3).workload();
    workload->set_uid("replica");
    workload->set_name("replica");
    workload->set_addresses(0, "\x0a\x32\x02\x0b");
    auto* endpoints = update.mutable_changed(5)->mutable_endpoints();
    auto* endpoint = endpoints->add_endpoints();
    *endpoint = endpoints->endpoints(0);
    endpoint->set_address("\x0a\x32\x02\x0b");
    endpoint->set_workload("replica");
  });
  const int outbound = world.listen(server.driver, *SocketAddress::parse("127.0.0.7:15001"));
  const int inbound = world.listen(server.driver, *SocketAddress::parse("127.0.0.8:15001"));
  world.capture(kReplica.ip, server.driver, inbound);
  return add_pod(server, "replica", kServerId, outbound, inbound);
}

void Mesh::sweep() {
  for (const std::string& uid : std::exchange(released_, {})) {
    client.context.pods.erase(uid);
    server.context.pods.erase(uid);
  }
  for (Node* node : {&client, &server}) {
    for (const auto& [uid, pod] : node->context.pods) pod->maybe_release();
  }
}

void Mesh::give_certificate(Node& node, const std::string& identity) {
  node.context.certificates[identity] = tls::test::good_context(authority, identity);
}

io::SimApp& Mesh::dial(const SocketAddress& to, uint16_t port) { return dial_from(kClient, to, port); }

io::SimApp& Mesh::dial_from(const Ip& source, const SocketAddress& to, uint16_t port) {
  return world.connect_app({source, port}, to, outbound_fd_, 0);
}

io::SimApp& Mesh::dial_from_neighbour(const SocketAddress& to, uint16_t port) {
  return world.connect_app({kNeighbour.ip, port}, to, neighbour_outbound_fd_, 0);
}

io::SimApp& Mesh::dial_from_outside(uint16_t port, const Ip& source) {
  return world.connect_app({source, port}, kServer, -1, 7);
}

void Mesh::end_all() {
  for (Node* node : {&client, &server}) {
    for (const auto& [uid, pod] : node->context.pods) pod->remove(Reason::pod_removed);
    node->http.close_all(Reason::draining);
    node->lanes.close_all(Reason::draining);
  }
  world.run_until([this] {
    return client.http.empty() && server.http.empty() && client.lanes.empty() && server.lanes.empty() &&
           !client.context.live_flows && !server.context.live_flows;
  });
  world.run_until_idle();
}

}  // namespace weir::test
