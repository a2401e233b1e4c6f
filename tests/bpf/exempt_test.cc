// Flows that must not be steered, how exactly they are known, and that the exemption ends with its socket.
#include <bpf/bpf.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "agent/redirect/maps.h"
#include "agent/redirect/pins.h"
#include "bpf/abi.h"
#include "tests/bpf/rig.h"

using namespace weir;
using namespace weir::test;

namespace {

bool is_steered_inbound(agent::Redirect& redirect, const TestPod& pod) {
  auto listeners = redirect.listeners(pod.uid);
  REQUIRE(listeners);
  for (int fd : listeners->inbound)
    if (accept_within(fd, 100ms)) return true;
  return false;
}

struct Scene {
  Rig rig;
  TestPod& pod = rig.add_pod("server");
  TestPod& client = rig.add_pod("client");
  std::filesystem::path proxy = rig.make_cgroup("proxy");
  std::unique_ptr<agent::Redirect> redirect = rig.open();
  Fd application = listen_in(pod, {.port = 8080});

  Scene() {
    capture(*redirect, pod);
    as_proxy([&] {
      auto own = agent::cgroup_of_pid(::getpid(), rig.cgroup_root());
      REQUIRE(own);
      REQUIRE(redirect->add_proxy_cgroup(own->id));
    });
  }
  void as_proxy(const std::function<void()>& work) { rig.in_cgroup(proxy, work); }
  uint64_t entries() const { return redirect->counters().exempt_entries; }
  bool steered_inbound() { return is_steered_inbound(*redirect, pod); }
};

// An outsider's connection from a port of its choice.
Attempt dial_from_port(const TestPod& from, uint16_t source_port, const std::string& ip, uint16_t port) {
  Fd socket = make_socket(&from, AF_INET);
  int on = 1;
  REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
  sockaddr_storage address{};
  socklen_t length = SocketAddress{.ip = *Ip::parse(from.ip4), .port = source_port}.to_sockaddr(address);
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  return dial(std::move(socket), ip, port);
}

// Writes an entry for a socket that does not exist into the pinned map.
void plant_exemption(const Rig& rig, const TestPod& pod) {
  Fd map(::bpf_obj_get(agent::redirect::Pins(rig.options().bpffs_dir).map("exempt").c_str()));
  REQUIRE(map);
  weir_tuple tuple{};
  tuple.netns_cookie = *agent::redirect::netns_cookie(pod.netns.get());
  tuple.source = agent::redirect::to_abi(*Ip::parse("198.51.100.9"));
  tuple.destination = agent::redirect::to_abi(*Ip::parse(pod.ip4));
  tuple.source_port = 20006;
  tuple.destination_port = 8080;
  weir_exemption exemption{.owner_netns_cookie = tuple.netns_cookie, .socket_cookie = ~0ull, .born_ns = 1};
  REQUIRE(::bpf_map_update_elem(map.get(), &tuple, &exemption, BPF_ANY) == 0);
}

void reset(Fd& socket) {
  linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  socket.reset();
}

}  // namespace

TEST_CASE("the application sees the client's true address on the proxy's connection", "[exempt]") {
  Scene scene;
  struct {
    std::string own, client;
  } families[] = {{scene.pod.ip4, "198.51.100.9"}, {scene.pod.ip6, "2001:db8::9"}};
  for (const auto& [own, client] : families) {
    INFO(own);
    Attempt attempt;
    scene.as_proxy([&] {
      attempt = dial_application(scene.pod, own, 8080, {.client_ip = client, .client_port = 20000});
    });
    REQUIRE(attempt.error == 0);
    auto accepted = accept_within(scene.application.get());
    REQUIRE(accepted);
    CHECK(remote_of(accepted->get()) == SocketAddress{*Ip::parse(client), 20000});
    CHECK(local_of(accepted->get()) == SocketAddress{*Ip::parse(own), 8080});
    CHECK(carries(attempt.socket.get(), accepted->get()));
    CHECK(carries(accepted->get(), attempt.socket.get()));
    CHECK(scene.entries() == 1);
    accepted.reset();
    attempt.socket.reset();
    CHECK(eventually([&] { return scene.entries() == 0; }));
  }
}

TEST_CASE("an application that refuses is refused to the proxy", "[exempt]") {
  Scene scene;
  scene.application.reset();
  scene.as_proxy([&] {
    Attempt four =
        dial_application(scene.pod, scene.pod.ip4, 8080, {.client_ip = "198.51.100.9", .client_port = 20001});
    CHECK(four.error == ECONNREFUSED);
    CHECK(four.took < 100ms);
    Attempt six =
        dial_application(scene.pod, scene.pod.ip6, 8080, {.client_ip = "2001:db8::9", .client_port = 20001});
    CHECK(six.error == ECONNREFUSED);
    CHECK(six.took < 100ms);
  });
  CHECK(eventually([&] { return scene.entries() == 0; }));
}

TEST_CASE("bit E exempts nothing outside a proxy's cgroup, nor a proxy's socket without it", "[exempt]") {
  Scene scene;
  Fd socket = make_socket(&scene.client, AF_INET);
  uint32_t mark = WEIR_MARK_EXEMPT;
  REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0);
  CHECK(dial(std::move(socket), scene.pod.ip4, 8080).error == 0);
  CHECK(scene.steered_inbound());

  Attempt lane;
  scene.as_proxy([&] { lane = dial_from(&scene.client, scene.pod.ip4, 8080); });
  CHECK(lane.error == 0);
  CHECK(scene.steered_inbound());
  CHECK_FALSE(accept_within(scene.application.get(), 50ms));
}

TEST_CASE("a proxy reaches another pod of its node from the client's namespace", "[exempt]") {
  Scene scene;
  Attempt direct;
  scene.as_proxy([&] {
    Fd socket = make_socket(&scene.client, AF_INET);
    uint32_t mark = WEIR_MARK_EXEMPT;
    REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0);
    direct = dial(std::move(socket), scene.pod.ip4, 8080);
  });
  REQUIRE(direct.error == 0);
  auto accepted = accept_within(scene.application.get());
  REQUIRE(accepted);
  CHECK(remote_of(accepted->get()).ip.to_string() == scene.client.ip4);
  CHECK_FALSE(scene.steered_inbound());
}

TEST_CASE("a left-over exemption does not exist: an outsider who reuses the port is steered", "[exempt]") {
  Scene scene;
  Attempt first;
  scene.as_proxy([&] {
    first = dial_application(scene.pod, scene.pod.ip4, 8080,
                             {.client_ip = scene.client.ip4, .client_port = 20003});
  });
  REQUIRE(first.error == 0);
  auto accepted = accept_within(scene.application.get());
  REQUIRE(accepted);
  reset(first.socket);
  accepted.reset();
  CHECK(eventually([&] { return scene.entries() == 0; }));
  CHECK(dial_from_port(scene.client, 20003, scene.pod.ip4, 8080).error == 0);
  CHECK(scene.steered_inbound());
  CHECK_FALSE(accept_within(scene.application.get(), 50ms));
}

TEST_CASE("a proxy killed with kill -9 leaves no exemption", "[exempt]") {
  Scene scene;
  pid_t child = -1;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  scene.as_proxy([&] {
    child = ::fork();
    if (child == 0) {
      std::vector<Attempt> flows;
      for (uint16_t i = 0; i < 32; ++i)
        flows.push_back(
            dial_application(scene.pod, scene.pod.ip4, 8080,
                             {.client_ip = "198.51.100.9", .client_port = static_cast<uint16_t>(21000 + i)}));
      if (::write(ready[1], "r", 1) != 1) ::_exit(1);
      ::pause();
    }
  });
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK(scene.entries() == 32);
  REQUIRE(::kill(child, SIGKILL) == 0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  ::close(ready[0]);
  ::close(ready[1]);
  for (int i = 0; i < 32; ++i)
    CHECK(accept_within(scene.application.get()));  // and closed at once: the flows end
  CHECK(eventually([&] { return scene.entries() == 0; }));
}

TEST_CASE("an application dials its own pod without the proxy", "[exempt]") {
  Scene scene;
  for (const std::string& ip : {scene.pod.ip4, scene.pod.ip6}) {
    INFO(ip);
    Attempt attempt = dial_from(&scene.pod, ip, 8080);
    REQUIRE(attempt.error == 0);
    auto accepted = accept_within(scene.application.get());
    REQUIRE(accepted);
    CHECK(carries(attempt.socket.get(), accepted->get()));
  }
  CHECK_FALSE(scene.steered_inbound());
  CHECK(eventually([&] { return scene.entries() == 0; }));
}

TEST_CASE("kubelet's probe reaches the application, a hostNetwork pod's connection the proxy", "[exempt]") {
  Rig rig;
  TestPod& pod = rig.add_pod("server");
  auto kubepods = rig.make_cgroup("kubepods"), workload = rig.make_cgroup("kubepods/pod1");
  auto options = rig.options();
  options.kubepods_cgroup = kubepods;
  auto opened = agent::Redirect::open(options);
  REQUIRE(opened);
  agent::Redirect& redirect = **opened;
  Fd application = listen_in(pod, {.port = 8080});
  capture(redirect, pod);
  auto steered = [&] { return is_steered_inbound(redirect, pod); };
  for (const std::string& ip : {pod.ip4, pod.ip6}) {
    INFO(ip);
    Attempt probe = dial_from(nullptr, ip, 8080);
    CHECK(probe.error == 0);
    CHECK(accept_within(application.get()));
    CHECK_FALSE(steered());
    Attempt pod_of_host;
    rig.in_cgroup(workload, [&] { pod_of_host = dial_from(nullptr, ip, 8080); });
    CHECK(pod_of_host.error == 0);
    CHECK(steered());
    CHECK_FALSE(accept_within(application.get(), 50ms));
  }
  application.reset();
  CHECK(dial_from(nullptr, pod.ip4, 8080).error == ECONNREFUSED);
  CHECK(eventually([&] { return redirect.counters().exempt_entries == 0; }));
}

TEST_CASE("the sweep takes away what no socket owns and nothing else", "[exempt]") {
  Scene scene;
  Attempt living;
  scene.as_proxy([&] {
    living =
        dial_application(scene.pod, scene.pod.ip4, 8080, {.client_ip = "198.51.100.9", .client_port = 20005});
  });
  REQUIRE(living.error == 0);
  // A left-over, entered as if its socket had died unseen.
  plant_exemption(scene.rig, scene.pod);
  CHECK(scene.entries() == 2);
  auto done = scene.redirect->reconcile();
  REQUIRE(done);
  CHECK(done->exempt_entries_swept == 1);
  CHECK(scene.entries() == 1);
  auto accepted = accept_within(scene.application.get());
  REQUIRE(accepted);
  CHECK(carries(living.socket.get(), accepted->get()));
}

TEST_CASE("hundreds of flows to applications leave nothing behind", "[exempt]") {
  Scene scene;
  for (int round = 0; round < 10; ++round) {
    std::vector<Attempt> flows;
    std::vector<Fd> accepted;
    scene.as_proxy([&] {
      for (int i = 0; i < 50; ++i)
        flows.push_back(dial_application(
            scene.pod, scene.pod.ip4, 8080,
            {.client_ip = "198.51.100.9", .client_port = static_cast<uint16_t>(22000 + round * 50 + i)}));
    });
    for (int i = 0; i < 50; ++i) {
      auto one = accept_within(scene.application.get());
      REQUIRE(one);
      accepted.push_back(std::move(*one));
    }
    CHECK(scene.entries() == 50);
    for (size_t i = 0; i < flows.size(); ++i) (i % 2 ? reset(flows[i].socket) : flows[i].socket.reset());
    accepted.clear();
    CHECK(eventually([&] { return scene.entries() == 0; }));
  }
}

TEST_CASE("a thousand live flows from one client slow none of its ten thousand new ones", "[exempt]") {
  Scene scene;
  std::vector<Attempt> flows;
  std::vector<Fd> ends;
  scene.as_proxy([&] {
    for (uint16_t i = 0; i < 1000; ++i) {
      flows.push_back(
          dial_application(scene.pod, scene.pod.ip4, 8080,
                           {.client_ip = scene.client.ip4, .client_port = static_cast<uint16_t>(20000 + i)}));
      REQUIRE(flows.back().error == 0);
      ends.push_back(std::move(*accept_within(scene.application.get())));
    }
  });
  CHECK(scene.entries() == 1000);
  // The client's own kernel chooses ports outside Weir's ranges, so no SYN of its meets a live flow.
  auto listeners = scene.redirect->listeners(scene.pod.uid);
  std::chrono::milliseconds slowest{0};
  int failed = 0;
  for (int i = 0; i < 10'000; ++i) {
    Attempt attempt = dial_from(&scene.client, scene.pod.ip4, 8080);
    slowest = std::max(slowest, attempt.took);
    failed += attempt.error != 0;
    reset(attempt.socket);
    if (i % 500 == 499)
      for (int fd : listeners->inbound)
        while (accept_within(fd, 0ms)) {
        }
  }
  CHECK(failed == 0);
  CHECK(slowest < 200ms);  // a SYN that met a live flow would wait a second
  for (size_t i = 0; i < flows.size(); i += 100) CHECK(carries(flows[i].socket.get(), ends[i].get()));
}

TEST_CASE("flows opened and reset on every core at once leave no exemption", "[exempt]") {
  Scene scene;
  scene.as_proxy([&] {
    std::vector<pid_t> children;
    for (int child = 0; child < 4; ++child) {
      pid_t pid = ::fork();
      if (pid == 0) {
        for (int i = 0; i < 1500; ++i) {
          uint16_t port = static_cast<uint16_t>(20000 + child * 2000 + i);
          Attempt attempt = dial_application(scene.pod, scene.pod.ip4, 8080,
                                             {.client_ip = "198.51.100.9", .client_port = port});
          reset(attempt.socket);
        }
        ::_exit(0);
      }
      children.push_back(pid);
    }
    for (pid_t pid : children) {
      int status = 0;
      while (::waitpid(pid, &status, WNOHANG) == 0) (void)accept_within(scene.application.get(), 5ms);
      CHECK(status == 0);
    }
  });
  CHECK(scene.redirect->counters().exempt_failed == 0);
  CHECK(scene.redirect->counters().exempt_added >= 6000);
  // A tracepoint program that interrupts itself is skipped: what that leaves, and no more, the sweep takes.
  auto done = scene.redirect->reconcile();
  REQUIRE(done);
  CHECK(done->exempt_entries_swept < 60);
  CHECK(scene.entries() == 0);
}
