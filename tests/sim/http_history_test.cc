// Random histories of HTTP through the corridor of two nodes, with faults at every step: clients that pipeline, multiplex
// and leave, an application that answers in every manner there is (http_ledger.h), policy and routes that change under
// way, pods that go, proxies that drain. Whatever happens: an answer that ended in order is the one that the application
// gave to exactly that request; a part is never passed off as the whole, either way; nothing that is not idempotent
// reaches an application twice; every request is recorded once; nothing is left over.
// WEIR_SIM_SEED repeats a run, WEIR_SIM_STEPS makes it longer (all histories together; `./dev test long` gives 10^8).
#include <catch2/catch.hpp>

#include "tests/sim/history.h"
#include "tests/sim/http_application.h"
#include "tests/sim/http_clients.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class History {
 public:
  History(uint64_t seed, Weather weather)
      : ledger(seed), application(ledger), weather(weather), mesh(std::make_unique<Mesh>(seed)) {
    application.serve(mesh->world, kServer);
    add_path_policy(*mesh);
  }

  void run(uint64_t steps) {
    if (weather != Weather::calm || ledger.one_in(2)) change_policy();
    mesh->world.set_faults(faults(weather));
    while (mesh->world.network().steps() < steps) {
      for (uint64_t i = 0, n = 1 + ledger.below(4); i < n; ++i) add_client();
      mesh->world.run_for(std::chrono::microseconds(ledger.below(200'000)));
      if (weather != Weather::calm && ledger.one_in(20)) change_policy();  // it may end a connection
      if (ledger.one_in(20)) change_routes();
      mesh->client.http.sweep();
    }
    if (weather != Weather::calm) accepting_ = last_chapter(ledger, *mesh);
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
    check_nothing_is_left(*mesh);
  }

  Ledger ledger;
  Application application;
  std::vector<std::unique_ptr<TestClient>> clients;
  Weather weather;
  std::unique_ptr<Mesh> mesh;  // goes first: its last events reach the edges

 private:
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
    if (ledger.one_in(6)) hold_for_a_while(ledger, world, app);
  }

  void change_policy() { give_path_policy(*mesh, ++ledger.policy % 2 == 1); }

  // Header edits, time-outs, retry by status; no routes at all before the first.
  void change_routes() {
    mesh->configure([this](mesh::v1::Update& update) {
      mesh::v1::RouteTable& table = clear_routes(update, routes_at_);
      auto* rule = table.add_rules();
      rule->set_name("shop/route/0");
      auto* backend = rule->add_backends();
      backend->set_service("shop/server");
      backend->set_port(81);
      backend->set_weight(1);
      decorate(ledger, weather, *rule);
      table.add_matches()->set_rule(0);
    });
  }

  uint16_t port_ = 10'000;
  std::vector<io::SimApp*> apps_;  // the clients' connections
  bool accepting_ = true;          // the client's pod
  int routes_at_ = 0;
};

}  // namespace

TEST_CASE("HTTP histories in calm: every request that an application got is answered") {
  histories<History>(1'000, Weather::calm);
}

TEST_CASE("HTTP histories with rare faults: what ended in order is whole and was asked for") {
  histories<History>(2'000'000, Weather::fair);
}

TEST_CASE("HTTP histories in a storm: what ended in order is whole and was asked for") {
  histories<History>(4'000'000, Weather::storm);
}

}  // namespace weir::test
