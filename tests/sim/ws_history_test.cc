// Random histories of WebSockets through the corridor of two nodes, with faults at every step and in all four crossings of
// HTTP/1.1 and HTTP/2: clients that speak before they are answered and leave, an application that answers in every
// manner there is (ws_ledger.h), policy and routes that change under way, pods that go, proxies that drain. Whatever
// happens: what comes out of a tunnel is what was said into it at its other side, in order and once; its end in order
// means that all of it has come; no client is told of a tunnel that nobody agreed to; no application hears a word of a
// client before it has agreed; whose client is in a tunnel is not asked again; every request is recorded once; nothing
// is left over.
// The seeds and steps are those of the HTTP histories: see history.h.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/sim/history.h"
#include "tests/sim/ws_application.h"
#include "tests/sim/ws_clients.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// Ports of the service that the routes lead to: what a pod is asked in goes by their names.
constexpr uint32_t kPortH1 = 82, kPortH2 = 83;

class History {
 public:
  History(uint64_t seed, Weather weather)
      : ledger(seed, weather == Weather::calm),
        application(ledger),
        weather(weather),
        mesh(std::make_unique<Mesh>(seed)) {
    application.serve(mesh->world, kServer);
    add_path_policy(*mesh);
    mesh->configure([](mesh::v1::Update& update) {
      for (const auto& [name, number] : {std::pair("web", kPortH1), std::pair("h2c", kPortH2)}) {
        auto* port = update.mutable_changed(kServiceAt)->mutable_service()->add_ports();
        port->set_name(name);
        port->set_port(number);
        auto* pod = update.mutable_changed(kEndpointsAt)->mutable_endpoints()->add_ports();
        pod->set_name(name);
        pod->set_port(kServer.port);
      }
    });
    change_routes();
  }

  void run(uint64_t steps) {
    if (weather != Weather::calm || ledger.one_in(2)) change_policy();
    mesh->world.set_faults(faults(weather));
    while (mesh->world.network().steps() < steps) {
      for (uint64_t i = 0, n = 1 + ledger.below(4); i < n; ++i) add_client();
      mesh->world.run_for(std::chrono::microseconds(ledger.below(200'000)));
      if (weather != Weather::calm && ledger.one_in(20)) change_policy();  // it may end a tunnel
      if (ledger.one_in(20)) change_routes();
      mesh->client.http.sweep();
    }
    if (weather != Weather::calm) accepting_ = last_chapter(ledger, *mesh);
    mesh->world.set_faults({});
    mesh->world.run_for(600s);
  }

  void check() {
    uint64_t answered = 0, begun = 0, told = 0;
    for (const auto& tunnel : ledger.tunnels) {
      // What a client of HTTP/1.1 says into a tunnel that is refused is a request, and a bad one.
      begun += tunnel->begun + (!tunnel->client_h2 && !tunnel->told && tunnel->client.said > 0);
      answered += tunnel->status.has_value();
      told += tunnel->told != nullptr;
      check_tunnel(*tunnel);
    }
    CHECK(answered > 0);
    CHECK(told > 0);
    const uint64_t records = recorded(mesh->client);
    INFO(under_way(mesh->client) << " and " << under_way(mesh->server) << " requests under way");
    CHECK(records >= answered);
    CHECK(records <= begun);
    for (size_t i = 0; i < clients.size(); ++i) {
      INFO("client " << i << ": " << clients[i]->describe());
      // Whom nobody has accepted when a proxy stops accepting is its successor's, who gets the same listener.
      if (!accepting_ && mesh->world.waits_in_queue(*apps_[i])) continue;
      if (std::none_of(asked_[i].begin(), asked_[i].end(), may_stay)) CHECK(clients[i]->over());
    }
    check_nothing_is_left(*mesh);
  }

  Tunnels ledger;
  WebsocketApplication application;
  std::vector<std::unique_ptr<TestClient>> clients;
  Weather weather;
  std::unique_ptr<Mesh> mesh;  // goes first: its last events reach the edges

 private:
  static constexpr int kServiceAt = 4, kEndpointsAt = 5;  // in the mesh's update

  // Whether somebody may wait in it for ever.
  static bool may_stay(const Tunnel* tunnel) {
    return tunnel->answer == Answer::never || tunnel->leaves || tunnel->client.ends == Ends::stays ||
           std::any_of(tunnel->copies.begin(), tunnel->copies.end(),
                       [](const Copy& copy) { return copy.side.ends == Ends::stays; });
  }

  // A side that has ended is heard of at the other, whatever the weather. In calm weather all have ended in order.
  void check_tunnel(const Tunnel& tunnel) const {
    INFO(tunnel.describe());
    if (weather == Weather::calm && tunnel.begun) CHECK(tunnel.status);
    for (const Copy& copy : tunnel.copies) {
      if (!copy.agreed) continue;
      const Side &client = tunnel.client, &application = copy.side;
      if (weather == Weather::calm) {
        CHECK(tunnel.told == &copy);
        CHECK((client.finished && client.heard_end && application.finished && application.heard_end));
      }
      if (tunnel.told != &copy) {
        CHECK(application.over());
        continue;
      }
      if (client.finished) CHECK((application.heard_end || application.lost || application.broke));
      if (application.finished) CHECK((client.heard_end || client.lost || client.broke));
      // TCP, and so HTTP/1.1, shows the reset of a direction that has ended only to who writes into the other one.
      const bool h2 = tunnel.client_h2 && tunnel.application_h2;
      const bool client_shows = h2 || !client.finished || application.ends != Ends::stays;
      const bool application_shows = h2 || !application.finished || client.ends != Ends::stays;
      if ((client.broke || client.lost) && client_shows) CHECK(application.over());
      if ((application.broke || application.lost) && application_shows) CHECK(client.over());
    }
  }

  void add_client() {
    const bool h2 = ledger.one_in(2);
    std::vector<Tunnel*> tunnels;
    for (uint64_t i = 0, n = 1 + ledger.below(h2 ? 6 : 3); i < n; ++i) tunnels.push_back(&ledger.add(h2));
    io::SimApp& app = mesh->dial(kHttpService, port_++);
    apps_.push_back(&app);
    asked_.push_back(tunnels);
    const auto client = h2 ? websocket_client_h2 : websocket_client_h1;
    clients.push_back(client(ledger, mesh->world, app, std::move(tunnels)));
    if (ledger.one_in(6)) hold_for_a_while(ledger, mesh->world, app);
  }

  void change_policy() { give_path_policy(*mesh, ++ledger.policy % 2 == 1); }

  // By their paths, to a port that speaks HTTP/1.1 or to one that speaks HTTP/2.
  void change_routes() {
    mesh->configure([this](mesh::v1::Update& update) {
      mesh::v1::RouteTable& table = clear_routes(update, routes_at_);
      for (const auto& [name, number] : {std::pair("h1", kPortH1), std::pair("h2", kPortH2)}) {
        auto* rule = table.add_rules();
        rule->set_name("shop/route/" + std::string(name));
        auto* backend = rule->add_backends();
        backend->set_service("shop/server");
        backend->set_port(number);
        backend->set_weight(1);
        if (ledger.one_in(2)) decorate(ledger, weather, *rule);
        for (const char* below : {"/", "/denied/"}) {
          auto* match = table.add_matches();
          match->set_rule(static_cast<uint32_t>(table.rules_size()) - 1);
          match->set_path_prefix(below + std::string(name));
        }
      }
    });
  }

  uint16_t port_ = 10'000;
  std::vector<io::SimApp*> apps_;            // the clients' connections
  std::vector<std::vector<Tunnel*>> asked_;  // by the clients
  bool accepting_ = true;                    // the client's pod
  int routes_at_ = 0;
};

}  // namespace

TEST_CASE("WebSocket histories in calm: what either side said arrives whole and in order") {
  histories<History>(11'000, Weather::calm);
}

TEST_CASE(
    "WebSocket histories with rare faults: what came is what was said, and what ended in order is whole") {
  histories<History>(12'000'000, Weather::fair);
}

TEST_CASE("WebSocket histories in a storm: what came is what was said, and what ended in order is whole") {
  histories<History>(14'000'000, Weather::storm);
}

}  // namespace weir::test
