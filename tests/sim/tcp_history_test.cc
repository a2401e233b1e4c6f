// Random histories of plain TCP through the corridor of two nodes, with faults at every step: connections through a
// Service, to a pod and from outside the mesh, that end in every order or are reset at any time, applications that read
// slowly, a policy that comes and goes, pods that go, proxies that drain. Whatever happens: what arrives is what was said,
// to whom it was said; what ended in order is whole; every flow is recorded once; nothing is left over.
// WEIR_SIM_SEED repeats a run, WEIR_SIM_STEPS makes it longer (all histories together; `./dev test long` gives 10^8).
#include <catch2/catch.hpp>
#include <map>

#include "tests/sim/history.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// How a side ends what it says: at once, when the other has, or by a reset some time.
enum class Ends : uint8_t { at_once, second, reset };

// One connection: what is said on it, how it ends, and what must then be true of it.
struct Story {
  io::SimApp* client = nullptr;
  io::SimApp* server = nullptr;
  std::string question, answer;  // the question's first two bytes are the client's port
  Ends client_ends = Ends::at_once, server_ends = Ends::second;

  bool resets() const { return client_ends == Ends::reset || server_ends == Ends::reset; }
};

class History {
 public:
  History(uint64_t seed, Weather weather) : dice_(seed), weather_(weather), mesh_(seed) {
    mesh_.add_replica();
    for (const SocketAddress& endpoint : {kServer, kReplica}) {
      mesh_.world.listen_app(endpoint, 1).on_accept = [this](io::SimApp& app) {
        app.on_change = [this](io::SimApp& server) { serve(server); };
        if (dice_.one_in(6)) hold_for_a_while(dice_, mesh_.world, app);
      };
    }
    mesh_.configure([](mesh::v1::Update& update) {
      auto* policy = update.add_changed()->mutable_policy();
      policy->set_name("shop/deny");
      policy->set_action(mesh::v1::Policy::DENY);
      auto* rule = policy->add_rules();
      rule->set_name("no-client");
      rule->add_from()->add_principals("cluster.local/ns/shop/sa/client");
    });
  }

  void run(uint64_t steps) {
    mesh_.world.set_faults(faults(weather_));
    while (mesh_.world.network().steps() < steps) {
      for (uint64_t i = 0, n = 1 + dice_.below(8); i < n; ++i) add_client();
      mesh_.world.run_for(std::chrono::microseconds(dice_.below(200'000)));
      if (weather_ != Weather::calm && dice_.one_in(20)) deny(!denied_);
      if (denied_ && dice_.one_in(3)) deny(false);
      mesh_.sweep();
    }
    if (weather_ != Weather::calm) accepting_ = last_chapter(dice_, mesh_);
    mesh_.world.set_faults({});
    mesh_.world.run_for(600s);  // a connection whose pipe holds a few bytes takes minutes for the longest
  }

  void check() {
    size_t whole = 0;
    for (const auto& story : stories_) {
      check_story(*story);
      whole += story->client->saw_fin() && !story->client->saw_reset();
    }
    CHECK(whole > 0);
    check_nothing_is_left(mesh_);
  }

 private:
  void check_story(const Story& story) const {
    const io::SimApp& client = *story.client;
    INFO("client at port " << client.local().port << " got " << client.received().size() << " of "
                           << story.answer.size());
    CHECK(story.answer.starts_with(client.received()));
    if (client.saw_fin() && !client.saw_reset()) CHECK((client.received() == story.answer));
    if (story.server) {
      const std::string& got = story.server->received();
      CHECK(story.question.starts_with(got));
      if (story.server->saw_fin() && !story.server->saw_reset()) CHECK((got == story.question));
    }
    if (weather_ == Weather::calm && !story.resets()) {
      CHECK((client.received() == story.answer));
      CHECK(client.saw_fin());
      CHECK((story.server && story.server->received() == story.question && story.server->saw_fin()));
    }
    // Whom nobody has accepted when a proxy stops accepting is its successor's, who gets the same listener.
    if (accepting_ || !mesh_.world.waits_in_queue(client)) CHECK((client.saw_fin() || over(client)));
    // Of an application that a question never reached, nothing was to be heard.
    if (story.server) CHECK((story.server->saw_fin() || over(*story.server)));
  }
  static bool over(const io::SimApp& app) { return app.saw_reset() || app.closed() || app.error() != 0; }

  void add_client() {
    auto story = std::make_unique<Story>();
    const uint16_t port = port_++;
    story->question = std::string{static_cast<char>(port >> 8), static_cast<char>(port & 0xff)} +
                      pattern(size_of_one(), port);
    story->answer = pattern(size_of_one(), port + 1U);
    story->client_ends = ends(Ends::at_once);
    story->server_ends = ends(Ends::second);
    if (story->client_ends == Ends::second) story->server_ends = Ends::at_once;  // else both would wait
    io::SimApp& client = *(story->client = &dial(port));
    client.send(story->question);
    end_some_day(client, story->client_ends);
    client.on_change = [one = story.get()](io::SimApp& app) {
      if (one->client_ends == Ends::second && app.saw_fin()) app.finish();
    };
    if (dice_.one_in(6)) hold_for_a_while(dice_, mesh_.world, client);
    by_port_[port] = story.get();
    stories_.push_back(std::move(story));
  }

  void serve(io::SimApp& server) {
    if (server.received().size() < 2 || server.closed()) return;
    const auto port = static_cast<uint16_t>(static_cast<uint8_t>(server.received()[0]) << 8 |
                                            static_cast<uint8_t>(server.received()[1]));
    const auto found = by_port_.find(port);
    if (found == by_port_.end()) {
      FAIL_CHECK("the application got bytes that no client sent");
      return server.reset();
    }
    Story& story = *found->second;
    if (!story.server) {
      story.server = &server;
      server.send(story.answer);
      end_some_day(server, story.server_ends);
    } else if (story.server != &server) {
      FAIL_CHECK("a connection's bytes were given to two applications");
      return server.reset();
    }
    if (story.server_ends == Ends::second && server.saw_fin()) server.finish();
  }

  io::SimApp& dial(uint16_t port) {
    if (dice_.one_in(8)) return mesh_.dial_from_outside(port);
    return mesh_.dial(dice_.one_in(4) ? kServer : kService, port);
  }
  size_t size_of_one() { return dice_.below(dice_.one_in(8) ? 300'000 : 2'000); }
  Ends ends(Ends usual) {
    if (dice_.one_in(10)) return Ends::reset;
    return dice_.one_in(3) ? static_cast<Ends>(dice_.below(2)) : usual;
  }
  void end_some_day(io::SimApp& app, Ends how) {
    if (how == Ends::at_once) return app.finish();
    if (how != Ends::reset) return;
    if (dice_.one_in(2)) return app.reset();
    mesh_.world.network().at(std::chrono::microseconds(dice_.below(300'000)), [&app] {
      if (!app.closed()) app.reset();
    });
  }

  void deny(bool on) {
    denied_ = on;
    mesh_.configure([on](mesh::v1::Update& update) {
      auto* workload = update.mutable_changed(kServerAt)->mutable_workload();
      workload->clear_policies();
      if (on) workload->add_policies()->set_policy("shop/deny");
    });
  }

  static constexpr int kServerAt = 3;  // in the mesh's update

  Dice dice_;
  const Weather weather_;
  std::vector<std::unique_ptr<Story>> stories_;
  std::map<uint16_t, Story*> by_port_;
  uint16_t port_ = 10'000;
  bool accepting_ = true;  // the client's pod
  bool denied_ = false;
  Mesh mesh_;  // goes first: its last events reach the stories
};

}  // namespace

TEST_CASE("TCP histories in calm: every stream arrives whole") {
  histories<History>(6'000'000, Weather::calm);
}

TEST_CASE("TCP histories with rare faults: what ended in order is whole, and nothing is left") {
  histories<History>(8'000'000, Weather::fair);
}

TEST_CASE("TCP histories in a storm: what ended in order is whole, and nothing is left") {
  histories<History>(10'000'000, Weather::storm);
}

}  // namespace weir::test
