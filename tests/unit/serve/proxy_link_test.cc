// The agent's side of the conversation, with a fake proxy at the other end of a socket pair.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "agent/serve/pod_fanout.h"
#include "nodeproxy/config/mesh.pb.h"

using namespace weir;
using namespace weir::agent;
namespace pb = weir::mesh::v1;

namespace {

std::shared_ptr<const Resources> world(const std::string& name) {
  pb::Resource resource;
  resource.mutable_service()->set_name(name);
  return std::make_shared<const Resources>(Resources{{{pb::SERVICE, name}, serialize(resource)}});
}

// A server without a listening socket, and what it reported.
struct Agent {
  Loop loop;
  std::vector<std::string> said;
  std::vector<GivenBack> given;
  ProxyServer server;

  Agent() : server(loop, {"/nonexistent/agent.sock", "n1", nullptr}, events()) {}

  ProxyEvents events() {
    ProxyEvents events;
    events.on_hello = [this](ProxyLink& link) { said.push_back("hello " + link.version()); };
    events.on_synced = [this](ProxyLink&) { said.push_back("synced"); };
    events.on_old_listeners = [this](ProxyLink&, GivenBack back) {
      said.push_back("old " + back.uid);
      given.push_back(std::move(back));
    };
    events.on_pod_accepting = [this](ProxyLink&, const std::string& uid) {
      said.push_back("accepting " + uid);
    };
    events.on_pod_released = [this](ProxyLink&, const std::string& uid) {
      said.push_back("released " + uid);
    };
    events.on_certificate_request = [this](ProxyLink&, const std::string& identity, const std::string& csr) {
      said.push_back("csr " + identity + " " + csr);
    };
    events.on_ack = [this](ProxyLink&, const Sync::Outcome& outcome) {
      said.push_back(outcome.applied ? "ack" : "nack");
    };
    events.on_gone = [this](ProxyLink&, const std::string&) { said.push_back("gone"); };
    return events;
  }
  void turn() {
    for (int i = 0; i < 4; ++i) loop.run_once(std::chrono::milliseconds(2));
  }
  std::string heard() {
    turn();
    std::string out;
    for (const auto& one : said) out += (out.empty() ? "" : ", ") + one;
    said.clear();
    return out;
  }
};

struct Proxy {
  MessageSocket socket;
  std::vector<Fd> descriptors;  // of the last message

  explicit Proxy(Agent& agent) {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    socket = MessageSocket(Fd(pair[0]));
    agent.server.add(Fd(pair[1]), 1, 7);
  }
  void say(const pb::FromProxy& message, const std::vector<int>& with = {}) {
    REQUIRE(socket.queue(message.SerializeAsString(), with));
    REQUIRE(socket.flush());
  }
  void hello(uint64_t applied_version = 0) {
    pb::FromProxy message;
    message.mutable_hello()->set_schema_level(1);
    message.mutable_hello()->set_version("fake");
    message.mutable_hello()->set_applied_version(applied_version);
    say(message);
  }
  void ack(uint64_t version) {
    pb::FromProxy message;
    message.mutable_ack()->set_version(version);
    say(message);
  }
  pb::FromAgent hear(Agent& agent) {
    agent.turn();
    auto message = socket.receive();
    REQUIRE(message);
    REQUIRE(*message);
    descriptors = std::move((*message)->descriptors);
    pb::FromAgent parsed;
    REQUIRE(parsed.ParseFromString((*message)->bytes));
    return parsed;
  }
  bool ended(Agent& agent) {
    agent.turn();
    for (;;) {
      const auto message = socket.receive();
      if (!message) return true;
      if (!*message) return false;
    }
  }
};

}  // namespace

TEST_CASE("Hello is answered by Welcome and the full state, and the first Ack makes it synced") {
  Agent agent;
  agent.server.publish(world("a"));
  Proxy proxy(agent);
  CHECK(agent.server.active() == nullptr);
  proxy.hello(100);
  CHECK(proxy.hear(agent).welcome().node() == "n1");
  const auto update = proxy.hear(agent).update();
  CHECK(update.full_state());
  CHECK(update.version() == 101);
  CHECK(agent.heard() == "hello fake");
  proxy.ack(update.version());
  CHECK(agent.heard() == "ack, synced");
  agent.server.publish(world("b"));
  const auto delta = proxy.hear(agent).update();
  CHECK_FALSE(delta.full_state());
  CHECK(delta.changed_size() == 1);
  CHECK(delta.removed_size() == 1);
  proxy.ack(delta.version());
  CHECK(agent.heard() == "ack");
}

TEST_CASE("what does not begin with Hello, or is no message, ends the link") {
  Agent agent;
  {
    Proxy proxy(agent);
    proxy.ack(1);
    CHECK(proxy.ended(agent));
  }
  {
    Proxy proxy(agent);
    REQUIRE(proxy.socket.queue("\xff\xff\xff"));
    REQUIRE(proxy.socket.flush());
    CHECK(proxy.ended(agent));
  }
  {
    Proxy proxy(agent);
    pb::FromProxy old;
    old.mutable_hello()->set_schema_level(0);
    proxy.say(old);
    CHECK(proxy.ended(agent));
  }
  {
    Proxy proxy(agent);
    proxy.hello();
    proxy.hello();
    CHECK(proxy.ended(agent));
  }
  CHECK(agent.server.active() == nullptr);
}

TEST_CASE("a pod travels with its namespace and its listeners, in that order") {
  Agent agent;
  agent.server.publish(world("a"));
  Proxy proxy(agent);
  proxy.hello();
  proxy.hear(agent);
  proxy.hear(agent);
  const Fd netns(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)),
      null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const PodDescriptors pod{"u1",         "spiffe://x", netns.get(), {null.get(), null.get()},
                           {null.get()}, 15001,        32768,       60999};
  REQUIRE(agent.server.active()->send_pod(pod));
  const auto heard = proxy.hear(agent).local_pod();
  CHECK(heard.uid() == "u1");
  CHECK(heard.identity() == "spiffe://x");
  CHECK(heard.outbound_listeners() == 2);
  CHECK(heard.inbound_listeners() == 1);
  CHECK(heard.listener_port() == 15001);
  CHECK(heard.local_port_last() == 60999);
  CHECK(proxy.descriptors.size() == 4);
  REQUIRE(agent.server.active()->send_pod_gone("u1", true));
  CHECK(proxy.hear(agent).local_pod_gone().removed());
}

TEST_CASE("listeners come back split as they are counted, and counts that lie end the link") {
  Agent agent;
  Proxy proxy(agent);
  proxy.hello();
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  pb::FromProxy message;
  message.mutable_old_listeners()->set_uid("u1");
  message.mutable_old_listeners()->set_outbound_listeners(2);
  message.mutable_old_listeners()->set_inbound_listeners(1);
  message.mutable_old_listeners()->set_listener_port(15001);
  proxy.say(message, {null.get(), null.get(), null.get(), null.get()});
  CHECK(agent.heard() == "hello fake, old u1");
  REQUIRE(agent.given.size() == 1);
  CHECK(agent.given[0].outbound.size() == 2);
  CHECK(agent.given[0].inbound.size() == 1);
  proxy.say(message, {null.get(), null.get()});
  CHECK(proxy.ended(agent));
  CHECK(agent.given.size() == 1);
}

TEST_CASE("certificates, acceptances and releases go both ways") {
  Agent agent;
  agent.server.publish(world("a"));
  Proxy proxy(agent);
  proxy.hello();
  proxy.hear(agent);
  proxy.hear(agent);
  pb::FromProxy request;
  request.mutable_certificate_request()->set_identity("id");
  request.mutable_certificate_request()->set_csr("der");
  proxy.say(request);
  pb::FromProxy accepting;
  accepting.mutable_pod_accepting()->set_uid("u1");
  proxy.say(accepting);
  pb::FromProxy released;
  released.mutable_pod_released()->set_uid("u2");
  proxy.say(released);
  CHECK(agent.heard() == "hello fake, csr id der, accepting u1, released u2");
  agent.server.active()->send_certificate("id", {"leaf", "issuer"});
  CHECK(proxy.hear(agent).certificate().chain(1) == "issuer");
  agent.server.active()->send_certificate_refused("id", "no", true);
  CHECK(proxy.hear(agent).certificate_refused().retry());
}

TEST_CASE("a second proxy is told everything beside the first, and is the active one until it goes") {
  Agent agent;
  agent.server.publish(world("a"));
  Proxy old(agent);
  old.hello();
  old.hear(agent);
  const auto first = old.hear(agent).update();
  old.ack(first.version());
  agent.heard();
  const ProxyLink* before = agent.server.active();
  {
    Proxy young(agent);
    CHECK(agent.server.active() == before);  // one that is silent is not the active one
    young.hello();
    CHECK(agent.heard() == "hello fake");
    CHECK(young.hear(agent).has_welcome());
    const auto full = young.hear(agent).update();
    CHECK(full.full_state());
    CHECK(full.version() > first.version());
    young.ack(full.version());
    CHECK(agent.heard() == "ack, synced");
    CHECK(agent.server.active() != before);
    CHECK(agent.server.links().size() == 2);
    agent.server.publish(world("b"));
    CHECK(young.hear(agent).update().changed_size() == 1);
    CHECK(old.hear(agent).update().changed_size() == 1);
    CHECK_FALSE(old.ended(agent));
  }
  CHECK(agent.heard() == "gone");
  CHECK(agent.server.active() == before);
  CHECK(agent.server.has_link_of_cgroup(7));
}

TEST_CASE("pods are told to every proxy, and released when the last of them has let go or is gone") {
  Agent agent;
  agent.server.publish(world("a"));
  PodFanout fanout(agent.server);
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const PodDescriptors pod{"u1", "spiffe://x", null.get(), {null.get()}, {null.get()}, 15001, 32768, 60999};
  CHECK_FALSE(fanout.connected());
  CHECK_FALSE(fanout.offer(pod));
  CHECK_FALSE(fanout.gone("u1", true));
  const auto join = [&](Proxy& proxy) {
    proxy.hello();
    proxy.hear(agent);
    proxy.ack(proxy.hear(agent).update().version());
    agent.heard();
  };
  Proxy old(agent);
  join(old);
  CHECK(fanout.connected());
  std::optional<Proxy> young(std::in_place, agent);
  join(*young);
  CHECK(fanout.offer(pod));
  CHECK(old.hear(agent).local_pod().uid() == "u1");
  CHECK(young->hear(agent).local_pod().uid() == "u1");

  CHECK(fanout.gone("u1", true));
  CHECK(old.hear(agent).local_pod_gone().uid() == "u1");
  CHECK(young->hear(agent).local_pod_gone().removed());
  CHECK_FALSE(fanout.released(*agent.server.links()[0], "u1"));
  CHECK_FALSE(fanout.released(*agent.server.links()[0], "u1"));  // said twice counts once
  CHECK(fanout.released(*agent.server.links()[1], "u1"));
  CHECK(fanout.released(*agent.server.links()[1], "of an earlier agent"));

  CHECK(fanout.gone("u2", false));
  CHECK_FALSE(fanout.released(*agent.server.links()[0], "u2"));
  CHECK(fanout.left(*agent.server.links()[1]) == std::vector<std::string>{"u2"});
  CHECK(fanout.left(*agent.server.links()[1]).empty());
}

TEST_CASE("a proxy that goes is reported once") {
  Agent agent;
  {
    Proxy proxy(agent);
    proxy.hello();
    agent.turn();
  }
  CHECK(agent.heard() == "hello fake, gone");
  CHECK(agent.heard().empty());
  CHECK(agent.server.active() == nullptr);
  CHECK_FALSE(agent.server.has_link_of_cgroup(7));
}
