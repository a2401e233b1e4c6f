// See history.h.
#include "tests/sim/history.h"

#include <catch2/catch.hpp>
#include <cstdlib>

#include "nodeproxy/io/frame_pool.h"

namespace weir::test {
namespace {

constexpr int kServerWorkload = 3;  // in the mesh's update

uint64_t fresh_seed() {
  if (const char* fixed = std::getenv("WEIR_SIM_SEED")) return std::strtoull(fixed, nullptr, 10);
  return std::random_device{}();
}

// Of one weather.
uint64_t histories_wanted() {
  const char* wanted = std::getenv("WEIR_SIM_STEPS");
  return wanted ? 1 + std::strtoull(wanted, nullptr, 10) / kStepsOfOne / 3 : 6;
}

}  // namespace

io::SimFaults faults(Weather weather) {
  switch (weather) {
    case Weather::calm: break;
    case Weather::fair: return {.error = 50, .reset = 50, .open_error = 1'000, .accept_ends = 10'000};
    case Weather::storm: return {.error = 2'000, .reset = 2'000, .open_error = 10'000, .accept_ends = 10'000};
  }
  return {};
}

void run_histories(uint64_t first, Weather weather, const std::function<void(uint64_t seed)>& one) {
  static constexpr const char* kNames[] = {"calm", "fair", "storm"};
  const auto run = [&](uint64_t seed) {
    INFO("seed " << seed << ", " << kNames[static_cast<size_t>(weather)]);
    const size_t frames_before = io::frame_bytes_alive();
    one(seed);
    CHECK(io::frame_bytes_alive() == frames_before);
  };
  const uint64_t fresh = fresh_seed();
  WARN("fresh seed " << fresh << " (repeat with WEIR_SIM_SEED)");
  run(fresh);
  for (uint64_t i = 1; i < histories_wanted(); ++i) run(first + i);
}

void add_path_policy(Mesh& mesh) {
  mesh.configure([](mesh::v1::Update& update) {
    auto* policy = update.add_changed()->mutable_policy();
    policy->set_name("shop/paths");
    policy->set_action(mesh::v1::Policy::DENY);
    auto* rule = policy->add_rules();
    rule->set_name("denied");
    auto* to = rule->add_to();
    to->set_l7(true);
    to->add_paths("/denied/*");
  });
}

void give_path_policy(Mesh& mesh, bool on) {
  mesh.configure([on](mesh::v1::Update& update) {
    auto* workload = update.mutable_changed(kServerWorkload)->mutable_workload();
    workload->clear_policies();
    if (on) workload->add_policies()->set_policy("shop/paths");
  });
}

mesh::v1::RouteTable& clear_routes(mesh::v1::Update& update, int& at) {
  if (at == 0) {
    at = update.changed_size();
    update.add_changed();
  }
  auto* table = update.mutable_changed(at)->mutable_routes();
  table->Clear();
  table->set_name("shop/routes");
  table->set_service("shop/server");
  table->add_ports(kHttpService.port);
  return *table;
}

void decorate(Dice& dice, Weather weather, mesh::v1::RouteRule& rule) {
  auto* edit = rule.mutable_filters()->mutable_request_headers()->add_set();
  edit->set_name("x-edited");
  edit->set_value("yes");
  auto* back = rule.mutable_filters()->mutable_response_headers()->add_add();
  back->set_name("x-back");
  back->set_value("yes");
  if (weather != Weather::calm && dice.one_in(2)) rule.mutable_timeouts()->set_request_ms(1'500);
  if (weather != Weather::calm && dice.one_in(3)) rule.mutable_timeouts()->set_backend_request_ms(700);
  if (weather != Weather::calm && dice.one_in(3)) rule.mutable_timeouts()->set_idle_ms(900);
  if (dice.one_in(2)) {
    rule.mutable_retry()->set_attempts(2);
    rule.mutable_retry()->add_statuses(503);
    rule.mutable_retry()->add_statuses(504);
  }
}

std::string pattern(size_t bytes, uint64_t salt) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>((i * 131 + salt * 7 + i / 251) & 0xff);
  return text;
}

void hold_for_a_while(Dice& dice, io::SimWorld& world, io::SimApp& app) {
  app.hold(true);
  world.network().at(std::chrono::microseconds(dice.below(1'000'000)), [&app] {
    if (!app.closed()) app.hold(false);
  });
}

bool last_chapter(Dice& dice, Mesh& mesh) {
  Node& node = dice.one_in(2) ? mesh.client : mesh.server;
  flow::LocalPod* pod = &node == &mesh.client ? mesh.client_pod : mesh.server_pod;
  const uint64_t what = dice.below(4);
  switch (what) {
    case 0: break;
    case 1: pod->remove(Reason::pod_removed); break;
    case 2: pod->retire(); break;
    default:
      node.context.draining = true;
      pod->drain();
      node.http.drain();
      node.lanes.drain();
  }
  return what == 0 || pod != mesh.client_pod;
}

uint64_t recorded(const Node& node) {
  uint64_t total = 0;
  for (const auto& row : node.context.request_series.copy()) total += row.requests();
  return total;
}

uint64_t under_way(const Node& node) {
  uint64_t total = 0;
  for (const auto& row : node.context.request_series.copy()) total += row.in_flight;
  return total;
}

void check_nothing_is_left(Mesh& mesh) {
  mesh.end_all();
  for (const Node* node : {&mesh.client, &mesh.server}) {
    CHECK(node->context.live_flows == 0);
    CHECK(node->http.empty());
    CHECK(node->lanes.empty());
    CHECK(under_way(*node) == 0);
    CHECK(node->driver.buffers_on_loan() == 0);
    CHECK(node->opened() == node->closed());
  }
}

}  // namespace weir::test
