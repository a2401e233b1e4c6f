// Random histories of HTTP through the corridor of two nodes, with faults at every step: clients that pipeline, multiplex
// and leave, an application that answers in every manner there is (http_ledger.h), policy and routes that change under
// way, pods that go, proxies that drain. Whatever happens: an answer that ended in order is the one that the application
// gave to exactly that request; a part is never passed off as the whole, either way; nothing that is not idempotent
// reaches an application twice; every request is recorded once; nothing is left over.
// WEIR_SIM_SEED repeats a run, WEIR_SIM_HTTP_STEPS makes it longer (all histories together; `./dev test long` gives 10^8).
#include <catch2/catch.hpp>
#include <cstdlib>

#include "nodeproxy/io/frame_pool.h"
#include "tests/sim/http_application.h"
#include "tests/sim/http_clients.h"
#include "tests/sim/mesh.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kStepsOfOne = 60'000;
constexpr int kServerWorkload = 3;  // in the mesh's update

// What goes wrong beside the application's and the clients' own doing.
enum class Weather : uint8_t { calm, fair, storm };

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

class History {
 public:
  History(uint64_t seed, Weather weather)
      : ledger(seed), application(ledger), weather(weather), mesh(std::make_unique<Mesh>(seed)) {
    application.serve(mesh->world, kServer);
    mesh->configure([](mesh::v1::Update& update) {
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

  void run(uint64_t steps) {
    if (weather != Weather::calm || ledger.one_in(2)) change_policy();
    mesh->world.set_faults(faults());
    while (mesh->world.network().steps() < steps) {
      for (uint64_t i = 0, n = 1 + ledger.below(4); i < n; ++i) add_client();
      mesh->world.run_for(std::chrono::microseconds(ledger.below(200'000)));
      if (weather != Weather::calm && ledger.one_in(20)) change_policy();  // it may end a connection
      if (ledger.one_in(20)) change_routes();
      mesh->client.http.sweep();
    }
    if (weather != Weather::calm) last_chapter();
    mesh->world.set_faults({});
    mesh->world.run_for(
        600s);  // eight pipelined requests, three tries each, each to its connect and handshake time-out
  }

  void check() {
    uint64_t answered = 0, begun = 0;
    for (const auto& request : ledger.requests) {
      begun += request->begun;
      answered += request->status.has_value();
      if (weather != Weather::calm) continue;
      INFO("request " << request->id << " " << request->method << " manner "
                      << static_cast<int>(request->manner) << " given " << request->given);
      if (request->begun && request->given > 0) CHECK(request->status.has_value());
    }
    CHECK(answered > 0);
    const uint64_t records = recorded(mesh->client);
    INFO(under_way(mesh->client) << " and " << under_way(mesh->server) << " requests under way");
    CHECK(records >= answered);
    CHECK(records <= begun);
    for (size_t i = 0; i < clients.size(); ++i) {
      INFO("client " << i << ": " << clients[i]->describe());
      // Whom nobody has accepted when a proxy stops accepting is its successor's, who gets the same listener.
      if (!accepting_ && mesh->world.waits_in_queue(*apps_[i])) continue;
      if (!clients[i]->may_wait()) CHECK(clients[i]->over());
    }
    mesh->end_all();
    for (Node* node : {&mesh->client, &mesh->server}) {
      CHECK(node->context.live_flows == 0);
      CHECK(node->http.empty());
      CHECK(node->lanes.empty());
      CHECK(under_way(*node) == 0);
      CHECK(node->driver.buffers_on_loan() == 0);
    }
    CHECK(mesh->client.opened() == mesh->client.closed());
    CHECK(mesh->server.opened() == mesh->server.closed());
  }

  Ledger ledger;
  Application application;
  std::vector<std::unique_ptr<TestClient>> clients;
  Weather weather;
  std::unique_ptr<Mesh> mesh;  // goes first: its last events reach the edges

 private:
  io::SimFaults faults() const {
    switch (weather) {
      case Weather::calm: break;
      case Weather::fair: return {.error = 50, .reset = 50, .open_error = 1'000, .accept_ends = 10'000};
      case Weather::storm:
        return {.error = 2'000, .reset = 2'000, .open_error = 10'000, .accept_ends = 10'000};
    }
    return {};
  }

  void add_client() {
    std::vector<Request*> requests;
    for (uint64_t i = 0, n = 1 + ledger.below(8); i < n; ++i)
      requests.push_back(&ledger.add(weather == Weather::calm));
    io::SimApp& app = mesh->dial(kHttpService, port_++);
    apps_.push_back(&app);
    io::SimWorld& world = mesh->world;
    if (ledger.one_in(2)) {
      clients.push_back(client_h2(ledger, world, app, std::move(requests)));
    } else {
      const size_t depth = ledger.one_in(2) ? 1 : 1 + ledger.below(4);
      clients.push_back(client_h1(ledger, world, app, std::move(requests), depth));
    }
    if (!ledger.one_in(6)) return;
    app.hold(true);  // a slow reader
    world.network().at(std::chrono::microseconds(ledger.below(1'000'000)), [&app] {
      if (!app.closed()) app.hold(false);
    });
  }

  void change_policy() {
    ++ledger.policy;
    mesh->configure([this](mesh::v1::Update& update) {
      auto* workload = update.mutable_changed(kServerWorkload)->mutable_workload();
      workload->clear_policies();
      if (ledger.policy % 2 == 1) workload->add_policies()->set_policy("shop/paths");
    });
  }

  // Header edits, time-outs, retry by status; or no routes at all.
  void change_routes() {
    mesh->configure([this](mesh::v1::Update& update) {
      if (routes_at_ == 0) {
        routes_at_ = update.changed_size();
        update.add_changed();
      }
      auto* table = update.mutable_changed(routes_at_)->mutable_routes();
      table->Clear();
      table->set_name("shop/routes");
      table->set_service("shop/server");
      table->add_ports(81);
      auto* rule = table->add_rules();
      rule->set_name("shop/route/0");
      auto* backend = rule->add_backends();
      backend->set_service("shop/server");
      backend->set_port(81);
      backend->set_weight(1);
      auto* edit = rule->mutable_filters()->mutable_request_headers()->add_set();
      edit->set_name("x-edited");
      edit->set_value("yes");
      auto* back = rule->mutable_filters()->mutable_response_headers()->add_add();
      back->set_name("x-back");
      back->set_value("yes");
      if (weather != Weather::calm && ledger.one_in(2)) rule->mutable_timeouts()->set_request_ms(1'500);
      if (weather != Weather::calm && ledger.one_in(3)) rule->mutable_timeouts()->set_backend_request_ms(700);
      if (weather != Weather::calm && ledger.one_in(3)) rule->mutable_timeouts()->set_idle_ms(900);
      if (ledger.one_in(2)) {
        rule->mutable_retry()->set_attempts(2);
        rule->mutable_retry()->add_statuses(503);
        rule->mutable_retry()->add_statuses(504);
      }
      table->add_matches()->set_rule(0);
    });
  }

  void last_chapter() {
    Node& node = ledger.one_in(2) ? mesh->client : mesh->server;
    flow::LocalPod* pod = &node == &mesh->client ? mesh->client_pod : mesh->server_pod;
    const uint64_t what = ledger.below(4);
    if (what != 0 && pod == mesh->client_pod) accepting_ = false;
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
  }

  uint16_t port_ = 10'000;
  std::vector<io::SimApp*> apps_;  // the clients' connections
  bool accepting_ = true;          // the client's pod
  int routes_at_ = 0;
};

void history(uint64_t seed, Weather weather) {
  INFO("seed " << seed
               << (weather == Weather::calm   ? ", calm"
                   : weather == Weather::fair ? ", fair"
                                              : ", storm"));
  const size_t frames_before = io::frame_bytes_alive();
  {
    History one(seed, weather);
    one.run(kStepsOfOne);
    one.check();
  }
  CHECK(io::frame_bytes_alive() == frames_before);
}

uint64_t fresh_seed() {
  if (const char* fixed = std::getenv("WEIR_SIM_SEED")) return std::strtoull(fixed, nullptr, 10);
  return std::random_device{}();
}

// Of one weather.
uint64_t histories_wanted() {
  const char* wanted = std::getenv("WEIR_SIM_HTTP_STEPS");
  return wanted ? 1 + std::strtoull(wanted, nullptr, 10) / kStepsOfOne / 3 : 6;
}

void histories(uint64_t first, Weather weather) {
  const uint64_t fresh = fresh_seed();
  WARN("fresh seed " << fresh << " (repeat with WEIR_SIM_SEED)");
  history(fresh, weather);
  for (uint64_t i = 1; i < histories_wanted(); ++i) history(first + i, weather);
}

}  // namespace

TEST_CASE("HTTP histories in calm: every request that an application got is answered") {
  histories(1'000, Weather::calm);
}

TEST_CASE("HTTP histories with rare faults: what ended in order is whole and was asked for") {
  histories(2'000'000, Weather::fair);
}

TEST_CASE("HTTP histories in a storm: what ended in order is whole and was asked for") {
  histories(4'000'000, Weather::storm);
}

}  // namespace weir::test
