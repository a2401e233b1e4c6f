// The config thread in a large cluster: 10,000 services with ten endpoints each, every endpoint a pod of the mesh. What
// the whole state costs to take, what one change among it costs, and what a snapshot that somebody still reads keeps.
// Thread: main, as the config thread. Lifetime: the program's.
#include <cstdlib>
#include <random>
#include <string>

#include "bench/micro/micro.h"
#include "nodeproxy/config/build.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::bench {
namespace {

namespace v1 = mesh::v1;

constexpr uint32_t kServices = 10'000, kEndpointsEach = 10;
constexpr size_t kChanges = 2'000;

std::string address(uint8_t first, uint32_t number) {
  return {static_cast<char>(first), static_cast<char>(number >> 16), static_cast<char>(number >> 8),
          static_cast<char>(number)};
}

uint32_t pod_number(uint32_t service, uint32_t endpoint) { return service * kEndpointsEach + endpoint; }
std::string service_name(uint32_t service) { return fmt::format("ns-{}/service-{}", service % 100, service); }

void set_workload(v1::Workload& workload, uint32_t service, uint32_t endpoint) {
  const uint32_t number = pod_number(service, endpoint);
  workload.set_uid(fmt::format("pod-{}", number));
  workload.set_name(fmt::format("service-{}-{}", service, endpoint));
  workload.set_namespace_(fmt::format("ns-{}", service % 100));
  workload.set_service_account(fmt::format("service-{}", service));
  workload.set_identity(fmt::format("spiffe://cluster.local/ns/ns-{}/sa/service-{}", service % 100, service));
  workload.add_addresses(address(10, number));
  workload.set_node(fmt::format("node-{}", number % 1000));
  workload.set_mesh_peer(true);
}

// The slice of a service; `unready` of its endpoints is not ready.
void set_slice(v1::Endpoints& slice, uint32_t service, uint32_t unready) {
  slice.set_name(service_name(service) + "-1");
  slice.set_service(service_name(service));
  auto& port = *slice.add_ports();
  port.set_name("http");
  port.set_port(8080);
  for (uint32_t i = 0; i < kEndpointsEach; ++i) {
    auto& endpoint = *slice.add_endpoints();
    endpoint.set_address(address(10, pod_number(service, i)));
    endpoint.set_workload(fmt::format("pod-{}", pod_number(service, i)));
    endpoint.set_ready(i != unready);
    endpoint.set_serving(true);
    endpoint.set_weight(100);
  }
}

v1::Update whole_state() {
  v1::Update update;
  update.set_version(1);
  update.set_full_state(true);
  auto& mesh = *update.add_changed()->mutable_mesh();
  mesh.set_trust_domain("cluster.local");
  mesh.set_node("node-1");
  for (uint32_t service = 0; service < kServices; ++service) {
    auto& one = *update.add_changed()->mutable_service();
    one.set_name(service_name(service));
    one.add_addresses(address(172, service));
    auto& port = *one.add_ports();
    port.set_name("http");
    port.set_port(80);
    for (uint32_t i = 0; i < kEndpointsEach; ++i)
      set_workload(*update.add_changed()->mutable_workload(), service, i);
    set_slice(*update.add_changed()->mutable_endpoints(), service, kEndpointsEach);
  }
  return update;
}

std::shared_ptr<const config::Snapshot> apply(config::Builder& builder, const v1::Update& update) {
  auto snapshot = builder.apply(update);
  if (snapshot) return *snapshot;
  fmt::print(stderr, "refused: {}\n", config::describe(snapshot.error()));
  std::exit(1);
}

v1::Update endpoint_change(uint64_t version, std::mt19937& random) {
  v1::Update update;
  update.set_version(version);
  set_slice(*update.add_changed()->mutable_endpoints(), random() % kServices, random() % kEndpointsEach);
  return update;
}

// The same pod at the same address under another uid, as after a rescheduling: workload and slice.
v1::Update pod_change(uint64_t version, std::mt19937& random) {
  const uint32_t service = random() % kServices, endpoint = random() % kEndpointsEach;
  v1::Update update;
  update.set_version(version);
  auto& workload = *update.add_changed()->mutable_workload();
  set_workload(workload, service, endpoint);
  workload.set_node(fmt::format("node-{}", random() % 1000));
  set_slice(*update.add_changed()->mutable_endpoints(), service, kEndpointsEach);
  return update;
}

void run() {
  config::Builder builder;
  std::mt19937 random(1);
  uint64_t version = 1;
  const v1::Update whole = whole_state();
  const size_t empty_bytes = allocated_bytes();
  print_us("the whole state is taken", timed_us(1, [&](size_t) { apply(builder, whole); }));
  print_bytes("snapshot and the builder's own state", static_cast<double>(allocated_bytes() - empty_bytes));

  const auto changes = [&](auto make) {
    std::vector<v1::Update> updates;
    for (size_t i = 0; i < kChanges; ++i) updates.push_back(make(++version, random));
    return updates;
  };
  for (const auto& [what, make] : {std::pair{"one endpoint becomes unready", &endpoint_change},
                                   std::pair{"one pod is another now", &pod_change}}) {
    const std::vector<v1::Update> updates = changes(make);
    // The snapshot before is freed meanwhile, as when every worker has taken the newest.
    print_us(what, timed_us(kChanges, [&](size_t i) { apply(builder, updates[i]); }));
  }

  const std::vector<v1::Update> updates = changes(&endpoint_change);
  std::vector<std::shared_ptr<const config::Snapshot>> held;
  held.reserve(kChanges);
  const size_t before_bytes = allocated_bytes();
  for (const v1::Update& update : updates) held.push_back(apply(builder, update));
  print_bytes("kept for each older snapshot that is still read",
              static_cast<double>(allocated_bytes() - before_bytes) / kChanges);
  print_us("an older snapshot is given up", timed_us(kChanges, [&](size_t i) { held[i].reset(); }));
}

const Registered registered("endpoints", "one endpoint changed among 100,000 of 10,000 services", &run);

}  // namespace
}  // namespace weir::bench
