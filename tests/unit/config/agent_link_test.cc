// The proxy's end of the agent's socket against an agent played by the test: order of messages, acknowledgements,
// descriptors, reconnects, and what is said again after one. Run under ThreadSanitizer too.
#include "nodeproxy/config/agent_link.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

#include "nodeproxy/base/message_socket.h"
#include "tests/unit/config/updates.h"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;
using namespace std::chrono_literals;

namespace {

// Everything the link reported, as lines; waits for one.
class Recorder : public AgentEvents {
 public:
  void on_snapshot(std::shared_ptr<const Snapshot> snapshot) override {
    note("snapshot " + std::to_string(snapshot->version));
  }
  void on_local_pod(LocalPod pod) override {
    std::string text = "pod " + pod.uid + " ns " + mark(pod.network_namespace) + " out";
    for (const Fd& fd : pod.outbound) text += " " + mark(fd);
    text += " in";
    for (const Fd& fd : pod.inbound) text += " " + mark(fd);
    note(text + " port " + std::to_string(pod.listener_port));
  }
  void on_local_pod_gone(const std::string& uid, bool removed) override {
    note("gone " + uid + (removed ? " removed" : ""));
  }
  void on_certificate(const std::string& identity, std::vector<std::string> chain) override {
    note("certificate " + identity + " " + std::to_string(chain.size()));
  }
  void on_certificate_refused(const std::string& identity, const std::string& error, bool retry) override {
    note("no certificate " + identity + " " + error + (retry ? " retry" : ""));
  }
  void on_connected(bool connected) override { note(connected ? "connected" : "disconnected"); }
  std::vector<HeldPod> held_pods() override {
    std::vector<HeldPod> pods;
    if (holding) {
      HeldPod pod;
      pod.uid = "held";
      pod.network_namespace = marked('n');
      pod.outbound.push_back(marked('o'));
      pod.inbound.push_back(marked('i'));
      pod.listener_port = 15001;
      pods.push_back(std::move(pod));
    }
    return pods;
  }
  void on_tick() override { ++ticks; }

  bool waited_for(const std::string& line) {
    std::unique_lock lock(mutex_);
    return arrived_.wait_for(lock, 10s,
                             [&] { return std::find(lines_.begin(), lines_.end(), line) != lines_.end(); });
  }
  size_t count(const std::string& line) {
    const std::lock_guard lock(mutex_);
    return static_cast<size_t>(std::count(lines_.begin(), lines_.end(), line));
  }

  // No REQUIRE: also called on the link's thread, and Catch2's assertions are for one thread.
  static Fd marked(char letter) {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) std::abort();
    const Fd write_end(fds[1]);
    if (::write(write_end.get(), &letter, 1) != 1) std::abort();
    return Fd(fds[0]);
  }
  static std::string mark(const Fd& fd) {
    char letter = '?';
    return ::read(fd.get(), &letter, 1) == 1 ? std::string(1, letter) : "?";
  }

  std::atomic<bool> holding{false};
  std::atomic<int> ticks{0};

 private:
  void note(std::string line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
    arrived_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::string> lines_;
};

// The test's end of one connection.
class Agent {
 public:
  explicit Agent(int listener) {
    pollfd polled{listener, POLLIN, 0};
    REQUIRE(::poll(&polled, 1, 10'000) == 1);
    auto accepted = accept_unix(listener);
    REQUIRE(accepted.has_value());
    REQUIRE(accepted->has_value());
    socket_ = MessageSocket(std::move(**accepted));
  }
  v1::FromProxy next(std::vector<Fd>* descriptors = nullptr) {
    for (;;) {
      auto message = socket_.receive();
      REQUIRE(message.has_value());
      if (*message) {
        v1::FromProxy from;
        REQUIRE(from.ParseFromString((*message)->bytes));
        if (descriptors != nullptr) *descriptors = std::move((*message)->descriptors);
        return from;
      }
      pollfd polled{socket_.fd(), POLLIN, 0};
      REQUIRE(::poll(&polled, 1, 10'000) == 1);
    }
  }
  bool closed_by_proxy() {
    for (;;) {
      pollfd polled{socket_.fd(), POLLIN, 0};
      if (::poll(&polled, 1, 10'000) != 1) return false;
      if (!socket_.receive()) return true;
    }
  }
  void say(const std::string& textproto, const std::vector<int>& descriptors = {}) {
    v1::FromAgent message;
    REQUIRE(google::protobuf::TextFormat::ParseFromString(textproto, &message));
    raw(message.SerializeAsString(), descriptors);
  }
  void say(const v1::Update& update) {
    v1::FromAgent message;
    *message.mutable_update() = update;
    raw(message.SerializeAsString());
  }
  void raw(const std::string& bytes, const std::vector<int>& descriptors = {}) {
    REQUIRE(socket_.queue(bytes, descriptors));
    REQUIRE(socket_.flush().value());
  }
  void welcome() { say(R"(welcome { schema_level: 1 node: "n1" agent_version: "test" })"); }

 private:
  MessageSocket socket_;
};

struct Stage {
  Stage() {
    char made[] = "/tmp/weir-unit-XXXXXX";
    REQUIRE(::mkdtemp(made) != nullptr);
    directory = made;
    path = directory + "/agent.sock";
    link = std::make_unique<AgentLink>(path, 4, "test", events);
  }
  ~Stage() {
    link->stop();
    if (thread.joinable()) thread.join();
    ::unlink(path.c_str());
    ::rmdir(directory.c_str());
  }
  void listen() { listener = std::move(*listen_unix(path)); }
  void start() {
    thread = std::thread([this] { ran = link->run().has_value(); });
  }
  std::string directory, path;
  Fd listener;
  Recorder events;
  std::unique_ptr<AgentLink> link;
  std::thread thread;
  std::atomic<bool> ran{false};
};

}  // namespace

TEST_CASE(
    "the link says Hello, applies updates in order, and acknowledges or refuses each with the object's "
    "name") {
  Stage stage;
  stage.listen();
  stage.start();
  Agent agent(stage.listener.get());
  const auto hello = agent.next();
  REQUIRE(hello.has_hello());
  CHECK(hello.hello().schema_level() == 1);
  CHECK(hello.hello().workers() == 4);
  CHECK(hello.hello().applied_version() == 0);
  agent.welcome();
  agent.say(first_update(workload("u1", "10.0.0.1"), 5));
  auto ack = agent.next().ack();
  CHECK(ack.version() == 5);
  CHECK_FALSE(ack.refused());
  agent.say(update(6, bound_workload("u2", "shop/none")));
  ack = agent.next().ack();
  CHECK(ack.version() == 6);
  CHECK(ack.refused());
  CHECK(ack.object().kind() == v1::WORKLOAD);
  CHECK(ack.object().name() == "u2");
  CHECK(ack.error().find("shop/none") != std::string::npos);
  CHECK(stage.events.waited_for("snapshot 5"));
  CHECK(stage.events.count("snapshot 6") == 0);
  auto status = stage.link->status();
  CHECK(status.connected);
  CHECK(status.node == "n1");
  CHECK(status.version_applied == 5);
  CHECK(status.updates_refused == 1);
  CHECK(status.last_error.find("u2") != std::string::npos);
  agent.say(update(7, workload("u2", "10.0.0.2")));
  CHECK_FALSE(agent.next().ack().refused());
  CHECK(stage.link->status().last_error.empty());
  stage.link->stop();
  stage.thread.join();
  CHECK(stage.ran);
  CHECK(stage.events.ticks > 0);
}

TEST_CASE("a pod comes with its descriptors in their places, and one with too few is not taken") {
  Stage stage;
  stage.listen();
  stage.start();
  Agent agent(stage.listener.get());
  REQUIRE(agent.next().has_hello());
  agent.welcome();
  const Fd n = Recorder::marked('n'), a = Recorder::marked('a'), b = Recorder::marked('b'),
           c = Recorder::marked('c');
  agent.say(R"(local_pod { uid: "bad" outbound_listeners: 2 inbound_listeners: 1 listener_port: 15001 })",
            {n.get(), a.get()});
  agent.say(R"(local_pod { uid: "u1" outbound_listeners: 2 inbound_listeners: 1 listener_port: 15001 })",
            {n.get(), a.get(), b.get(), c.get()});
  CHECK(stage.events.waited_for("pod u1 ns n out a b in c port 15001"));
  CHECK(stage.link->status().last_error.find("'bad'") != std::string::npos);
  stage.link->pod_accepting("u1");
  CHECK(agent.next().pod_accepting().uid() == "u1");
  agent.say(R"(local_pod_gone { uid: "u1" removed: true })");
  CHECK(stage.events.waited_for("gone u1 removed"));
  stage.link->pod_released("u1");
  CHECK(agent.next().pod_released().uid() == "u1");
}

TEST_CASE(
    "an agent that goes and comes back hears what is applied and held, and unanswered requests once more") {
  Stage stage;
  stage.events.holding = true;
  stage.start();  // before there is an agent at all
  stage.link->request_certificate("spiffe://td/a", "csr a");
  stage.link->request_certificate("spiffe://td/b", "csr b");
  stage.link->pod_accepting("early");
  std::this_thread::sleep_for(100ms);
  CHECK_FALSE(stage.link->status().connected);
  CHECK_FALSE(stage.link->status().last_error.empty());
  stage.listen();
  {
    Agent agent(stage.listener.get());
    REQUIRE(agent.next().has_hello());
    agent.welcome();
    std::vector<Fd> descriptors;
    const auto old = agent.next(&descriptors);
    REQUIRE(old.has_old_listeners());
    CHECK(old.old_listeners().uid() == "held");
    REQUIRE(descriptors.size() == 3);
    CHECK(Recorder::mark(descriptors[0]) + Recorder::mark(descriptors[1]) + Recorder::mark(descriptors[2]) ==
          "noi");
    CHECK(agent.next().pod_accepting().uid() == "early");
    CHECK(agent.next().certificate_request().csr() == "csr a");
    CHECK(agent.next().certificate_request().csr() == "csr b");
    agent.say(R"(certificate { identity: "spiffe://td/a" chain: "leaf" chain: "issuer" })");
    agent.say(first_update("", 9));
    CHECK(agent.next().ack().version() == 9);
  }
  CHECK(stage.events.waited_for("certificate spiffe://td/a 2"));
  CHECK(stage.events.waited_for("disconnected"));
  stage.events.holding = false;
  Agent again(stage.listener.get());
  CHECK(again.next().hello().applied_version() == 9);
  again.welcome();
  // Not a again, and not the pod: those were delivered.
  CHECK(again.next().certificate_request().identity() == "spiffe://td/b");
  again.say(R"(certificate_refused { identity: "spiffe://td/b" error: "later" retry: true })");
  CHECK(stage.events.waited_for("no certificate spiffe://td/b later retry"));
  stage.link->request_certificate("spiffe://td/b", "csr b2");
  CHECK(again.next().certificate_request().csr() == "csr b2");
  CHECK(stage.events.count("connected") == 2);
  CHECK(stage.link->status().connects == 2);
}

TEST_CASE("an agent that breaks the protocol is left, and connected to again") {
  Stage stage;
  stage.listen();
  stage.start();
  {
    Agent agent(stage.listener.get());
    agent.say(first_update(""));  // before Welcome
    CHECK(agent.closed_by_proxy());
  }
  {
    Agent agent(stage.listener.get());
    agent.raw("\xff\xff\xff");
    CHECK(agent.closed_by_proxy());
  }
  Agent agent(stage.listener.get());
  REQUIRE(agent.next().has_hello());
  agent.welcome();
  CHECK(stage.events.waited_for("connected"));
}

TEST_CASE("many threads may ask at once, and every word arrives") {
  Stage stage;
  stage.listen();
  stage.start();
  Agent agent(stage.listener.get());
  REQUIRE(agent.next().has_hello());
  agent.welcome();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&stage, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string name = std::to_string(t) + "-" + std::to_string(i);
        stage.link->pod_released(name);
        stage.link->request_certificate("spiffe://td/" + name, "csr");
        (void)stage.link->status();
      }
    });
  }
  std::set<std::string> heard;
  for (int i = 0; i < 400; ++i) {
    const auto message = agent.next();
    heard.insert(message.has_pod_released() ? message.pod_released().uid()
                                            : message.certificate_request().identity());
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(heard.size() == 400);
}
