// The resumption matrix: who dials again, under which policy, which trust bundle and at what time, through the whole
// corridor of two nodes. Exactly what mesh-protocol.md allows is resumed; everything else shakes hands in full, or is
// refused for the right reason. Then: what ends tickets, and what the end of a root does to lanes that are there.
#include <catch2/catch.hpp>

#include "tests/sim/mesh.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
constexpr const char* kOtherId = "spiffe://cluster.local/ns/shop/sa/other";

std::chrono::seconds ahead{0};  // of the wall clock of both nodes
tls::WallTime clock_ahead() { return std::chrono::system_clock::now() + ahead; }

enum class Dialler { same_pod, same_account, other_account };
enum class Bundle { same, overlap, old_root_gone, old_root_gone_all_renewed };
enum class Time { soon, ticket_over, leaf_over };

// Two nodes whose certificates live two hours, one lane for each session, and two roots.
struct Twice {
  tls::test::Authority next{"next"};
  Mesh mesh;
  uint16_t port = 40'000;
  std::map<std::string, tls::test::Certified> certified;

  explicit Twice(uint64_t seed) : mesh(seed) {
    ahead = 0s;
    for (Node* node : {&mesh.client, &mesh.server})
      node->context.chains = tls::VerifiedChains(64, clock_ahead);
    mesh.client.lanes.configure(1);
    mesh.world.listen_app(kServer, 1).on_accept = [](io::SimApp& app) {
      app.on_change = [](io::SimApp& echo) {
        echo.send(echo.take_received());
        if (echo.saw_fin()) echo.finish();
      };
    };
    for (const char* identity : {kClientId, kServerId, kOtherId}) issue(identity, mesh.authority, 7200);
    trust(Bundle::same);
  }
  ~Twice() { ahead = 0s; }

  void issue(const std::string& identity, const tls::test::Authority& by, long to_seconds) {
    certified[identity] = by.issue({.uris = {identity}, .to_seconds = to_seconds});
  }
  // Contexts of the certificates that there are, under this bundle, on both nodes.
  std::shared_ptr<const tls::Bundle> trust(Bundle which) {
    tls::Trust trust{"cluster.local", 1, {}};
    if (which <= Bundle::overlap) trust.roots.push_back(mesh.authority.der());
    if (which >= Bundle::overlap) trust.roots.push_back(next.der());
    const auto bundle = *tls::Bundle::make(trust);
    for (const char* identity : {kClientId, kServerId, kOtherId}) {
      const tls::test::Certified& made = certified.at(identity);
      Node& node = identity == kServerId ? mesh.server : mesh.client;
      node.context.certificates[identity] =
          *tls::Context::make(tls::test::id(identity), made.key, {made.der}, bundle);
    }
    return bundle;
  }
  void deny_client() {
    mesh.configure([](mesh::v1::Update& update) {
      auto* policy = update.add_changed()->mutable_policy();
      policy->set_name("shop/deny");
      policy->set_action(mesh::v1::Policy::DENY);
      policy->add_rules()->add_from()->add_principals("cluster.local/ns/shop/sa/client");
      update.mutable_changed(3)->mutable_workload()->add_policies()->set_policy("shop/deny");
    });
  }
  bool answers(io::SimApp& app) {
    app.send("hello");
    mesh.world.run_until([&] { return app.received() == "hello" || app.saw_reset(); });
    return app.received() == "hello";
  }
  io::SimApp& dial() { return mesh.dial(kServer, port++); }
  // The lane of a session ends with it, in order.
  void hang_up(io::SimApp& app) {
    app.finish();
    mesh.world.run_for(70s);
    mesh.client.lanes.sweep();
    REQUIRE(mesh.world.run_until([&] { return mesh.client.lanes.empty(); }));
  }
  uint64_t resumed() const {
    CHECK(mesh.client.resumed_handshakes == mesh.server.context.counters.handshakes_resumed_server);
    return mesh.client.resumed_handshakes;
  }
};

}  // namespace

TEST_CASE(
    "what is resumed is the same pod's session, under the same bundle, in time; policy is judged anew") {
  const auto who = GENERATE(Dialler::same_pod, Dialler::same_account, Dialler::other_account);
  const bool denied = GENERATE(false, true);
  const auto bundle =
      GENERATE(Bundle::same, Bundle::overlap, Bundle::old_root_gone, Bundle::old_root_gone_all_renewed);
  const auto time = GENERATE(Time::soon, Time::ticket_over, Time::leaf_over);
  CAPTURE(static_cast<int>(who), denied, static_cast<int>(bundle), static_cast<int>(time));
  Twice twice(601);
  Mesh& mesh = twice.mesh;
  if (who != Dialler::same_pod) mesh.add_neighbour(who == Dialler::same_account ? kClientId : kOtherId);
  io::SimApp& first = twice.dial();
  REQUIRE(twice.answers(first));
  REQUIRE(mesh.client.full_handshakes == 1);
  twice.hang_up(first);

  if (denied) twice.deny_client();
  if (bundle == Bundle::old_root_gone_all_renewed) {
    for (const char* identity : {kClientId, kServerId, kOtherId}) twice.issue(identity, twice.next, 7200);
  }
  if (bundle != Bundle::same) twice.trust(bundle);
  ahead = time == Time::soon ? 0s : time == Time::ticket_over ? 1h + 1s : 2h + 90s;
  io::SimApp& second =
      who == Dialler::same_pod ? twice.dial() : mesh.dial_from_neighbour(kServer, twice.port++);
  const bool answered = twice.answers(second);

  if (time == Time::leaf_over || bundle == Bundle::old_root_gone) {
    const Reason why = time == Time::leaf_over ? Reason::certificate_expired : Reason::certificate_untrusted;
    CHECK_FALSE(answered);
    CHECK(label(mesh.client.last_handshake.error().reason) == label(why));
    CHECK(mesh.client.failed(why) == 1);
    CHECK(twice.resumed() == 0);
    return;
  }
  const bool resumes = who == Dialler::same_pod && bundle == Bundle::same && time == Time::soon;
  CHECK(twice.resumed() == (resumes ? 1 : 0));
  CHECK(mesh.client.full_handshakes == (resumes ? 1 : 2));
  const bool refused = denied && who != Dialler::other_account;
  CHECK(answered == !refused);
  CHECK(mesh.server.failed(Reason::denied) == (refused ? 1 : 0));
  CHECK(mesh.server.failed() == (refused ? 1 : 0));
}

TEST_CASE("a ticket is used once, and lanes that are dialled at the same time each have their own or none") {
  Twice twice(602);
  Mesh& mesh = twice.mesh;
  std::vector<io::SimApp*> held;
  for (int i = 0; i < 3; ++i) held.push_back(&twice.dial());  // at once: there is no ticket yet
  for (io::SimApp* app : held) REQUIRE(twice.answers(*app));
  CHECK(mesh.client.full_handshakes == 3);
  for (int i = 0; i < 4; ++i) held.push_back(&twice.dial());  // three tickets for four
  for (io::SimApp* app : std::span(held).subspan(3)) REQUIRE(twice.answers(*app));
  CHECK(twice.resumed() == 3);
  CHECK(mesh.client.full_handshakes == 4);
}

TEST_CASE("a removed pod's tickets are gone, also those that were still on their way") {
  Twice twice(603);
  Mesh& mesh = twice.mesh;
  flow::LocalPod* pod = mesh.add_neighbour(kClientId);
  const auto again = [&] { return twice.answers(mesh.dial_from_neighbour(kServer, twice.port++)); };
  REQUIRE(again());
  REQUIRE(again());
  REQUIRE(twice.resumed() == 1);
  REQUIRE(mesh.client.lanes.tickets() == 1);
  // While two more are dialled, one with that ticket: at whatever moment the pod goes, none is left of any.
  std::vector<io::SimApp*> apps;
  for (int i = 0; i < 2; ++i) apps.push_back(&mesh.dial_from_neighbour(kServer, twice.port++));
  for (io::SimApp* app : apps) app->send("hello");
  const int moment = GENERATE(range(0, 100));
  CAPTURE(moment);
  mesh.world.run_for(moment * 20us);
  pod->remove(Reason::pod_removed);
  mesh.world.run_for(1s);
  for (io::SimApp* app : apps) app->reset();  // as their sockets do when the pod is gone
  for (int sweeps = 0; sweeps < 10; ++sweeps) {
    mesh.sweep();
    mesh.world.run_for(500ms);
  }
  CHECK_FALSE(mesh.client.context.pods.contains("neighbour"));
  CHECK(mesh.client.lanes.tickets() == 0);
}

TEST_CASE("a certificate that is renewed ends what was resumable, on either side") {
  const bool dialler = GENERATE(true, false);
  Twice twice(dialler ? 604 : 605);
  Mesh& mesh = twice.mesh;
  REQUIRE(twice.answers(twice.dial()));
  REQUIRE(twice.answers(twice.dial()));
  REQUIRE(twice.resumed() == 1);
  Node& node = dialler ? mesh.client : mesh.server;
  const char* identity = dialler ? kClientId : kServerId;
  node.context.certificates[identity] = tls::test::good_context(mesh.authority, identity, 7200);
  REQUIRE(twice.answers(twice.dial()));
  CHECK(twice.resumed() == 1);
  REQUIRE(twice.answers(twice.dial()));
  CHECK(twice.resumed() == 2);
}

TEST_CASE("an acceptor that has lost its keys, as a successor has, is shaken hands with in full") {
  Twice twice(606);
  REQUIRE(twice.answers(twice.dial()));
  auto& dialler = twice.mesh.client.context.certificates[kClientId];
  const auto kept = dialler;
  twice.trust(Bundle::same);  // the same certificates, other ticket keys
  dialler = kept;
  REQUIRE(twice.answers(twice.dial()));
  CHECK(twice.resumed() == 0);
}

TEST_CASE("a root that is gone ends the live lanes under it, on whichever side learns it first") {
  const bool dialler_learns = GENERATE(true, false);
  Twice twice(dialler_learns ? 607 : 608);
  Mesh& mesh = twice.mesh;
  io::SimApp& live = twice.dial();
  REQUIRE(twice.answers(live));
  const auto learn = [&](const tls::Bundle& bundle) {
    size_t judged = 0;
    if (dialler_learns) {
      judged = mesh.client.lanes.judge_peers(bundle, 100);
    } else {
      for (flow::Link<flow::Flow>* link = mesh.server_pod->flows; link; link = link->next)
        judged += link->owner->judge_peer(bundle) ? 1 : 0;
    }
    mesh.world.run_for(1s);
    return judged;
  };
  const auto overlap = twice.trust(Bundle::overlap);
  CHECK(learn(*overlap) == 1);
  CHECK(learn(*overlap) == 0);  // once for each bundle
  live.take_received();
  CHECK(twice.answers(live));

  const auto gone = twice.trust(Bundle::old_root_gone);
  CHECK(learn(*gone) == 1);
  CHECK(live.saw_reset());
  CHECK_FALSE(live.saw_fin());
  CHECK(mesh.client.lanes.empty());
  CHECK(mesh.client.failed(Reason::certificate_untrusted) + mesh.client.closed() == 1);
  CHECK(mesh.server.context.counters.lanes_closed[static_cast<size_t>(Reason::certificate_untrusted)] == 1);
  CHECK_FALSE(twice.answers(twice.dial()));
  CHECK(label(mesh.client.last_handshake.error().reason) == label(Reason::certificate_untrusted));
  for (const char* identity : {kClientId, kServerId}) twice.issue(identity, twice.next, 7200);
  twice.trust(Bundle::old_root_gone);
  CHECK(twice.answers(twice.dial()));
}

TEST_CASE("lanes are judged a few at a time, and each once") {
  Twice twice(609);
  for (int i = 0; i < 10; ++i) REQUIRE(twice.answers(twice.dial()));
  upstream::LanePool& lanes = twice.mesh.client.lanes;
  const auto overlap = twice.trust(Bundle::overlap);
  CHECK(lanes.judge_peers(*overlap, 4) == 4);
  CHECK(lanes.judge_peers(*overlap, 4) == 4);
  CHECK(lanes.judge_peers(*overlap, 4) == 2);
  CHECK(lanes.judge_peers(*overlap, 4) == 0);
  CHECK(lanes.lanes() == 10);
}

}  // namespace weir::test
