// Pods and agents that come, crash, come back and go, and what is left.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <set>
#include <thread>

#include "agent/redirect/maps.h"
#include "agent/redirect/pins.h"
#include "agent/redirect/programs.h"
#include "bpf/abi.h"
#include "tests/bpf/rig.h"

using namespace weir;
using namespace weir::test;

namespace {

// Everything a pod's namespace has that Weir touches.
std::string trace_of(const TestPod& pod) {
  return pod.run(
      "ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; cat "
      "/proc/sys/net/ipv4/tcp_fwmark_accept /proc/sys/net/ipv4/fwmark_reflect "
      "/proc/sys/net/ipv6/fwmark_reflect "
      "/proc/sys/net/ipv4/tcp_migrate_req; ss -Htlna");
}

struct KernelObjects {
  std::set<uint32_t> programs;
  std::set<uint32_t> maps;
};

KernelObjects objects_of(const Rig& rig) {
  agent::redirect::Pins pins(rig.options().bpffs_dir);
  KernelObjects objects;
  for (const auto& entry : std::filesystem::directory_iterator(pins.directory())) {
    if (entry.path().filename().string().starts_with("map_")) {
      auto map = agent::redirect::open_pin(entry.path());
      REQUIRE(map);
      bpf_map_info info{};
      uint32_t length = sizeof(info);
      REQUIRE(::bpf_obj_get_info_by_fd(map->get(), &info, &length) == 0);
      objects.maps.insert(info.id);
    } else {
      auto link = agent::redirect::link_state(entry.path());
      REQUIRE(link);
      objects.programs.insert(link->program_id);
    }
  }
  return objects;
}

bool all_gone(const KernelObjects& objects) {
  for (uint32_t id : objects.programs)
    if (Fd left(::bpf_prog_get_fd_by_id(id)); left) return false;
  for (uint32_t id : objects.maps)
    if (Fd left(::bpf_map_get_fd_by_id(id)); left) return false;
  return true;
}

std::string faults(agent::Redirect& redirect, const TestPod& pod) {
  std::string all;
  for (const agent::CheckResult& one : redirect.check(pod.uid))
    if (!one.ok) all += one.name + " (" + one.detail + ") ";
  return all;
}

std::optional<Fd> accept_any(const std::vector<int>& group) {
  for (int fd : group)
    if (auto accepted = accept_within(fd, 100ms)) return accepted;
  return std::nullopt;
}

// A child process that plays an agent until it is killed: it captures the pod and says so.
pid_t agent_process(const Rig& rig, const std::vector<agent::PodSpec>& pods) {
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  pid_t child = ::fork();
  if (child == 0) {
    auto redirect = agent::Redirect::open(rig.options());
    bool ok = redirect.has_value();
    for (const auto& pod : pods) ok = ok && (*redirect)->prepare(pod) && (*redirect)->arm(pod.uid);
    if (::write(ready[1], ok ? "y" : "n", 1) == 1) ::pause();
    ::_exit(1);
  }
  char answer = 0;
  REQUIRE(::read(ready[0], &answer, 1) == 1);
  REQUIRE(answer == 'y');
  ::close(ready[0]);
  ::close(ready[1]);
  return child;
}

void kill_9(pid_t child) {
  REQUIRE(::kill(child, SIGKILL) == 0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
}

}  // namespace

TEST_CASE("removing a pod leaves it as it was", "[lifecycle]") {
  Rig rig;
  TestPod& pod = rig.add_pod("pod");
  pod.run("sysctl -qw net.ipv4.fwmark_reflect=1");  // somebody's own setting stays
  std::string before = trace_of(pod);
  auto redirect = rig.open();
  for (int round = 0; round < 3; ++round) {
    capture(*redirect, pod);
    CHECK(trace_of(pod) != before);
    REQUIRE(redirect->remove(pod.uid));
    CHECK(trace_of(pod) == before);
    CHECK(redirect->counters().pods_armed == 0);
  }
  CHECK(redirect->remove("nobody"));
}

TEST_CASE("uninstall leaves no trace", "[lifecycle]") {
  Rig rig;
  TestPod& one = rig.add_pod("one");
  TestPod& two = rig.add_pod("two");
  Fd application = listen_in(two, {.port = 8080});
  std::string before_one = trace_of(one), before_two = trace_of(two);
  auto require_nothing_left = [&](const KernelObjects& objects) {
    CHECK(trace_of(one) == before_one);
    CHECK(trace_of(two) == before_two);
    CHECK(eventually([&] { return all_gone(objects); }));
    CHECK_FALSE(std::filesystem::exists(rig.options().bpffs_dir));
    CHECK_FALSE(std::filesystem::exists(rig.options().state_dir / "redirect"));
    CHECK(dial_from(&one, two.ip4, 8080).error == 0);
    CHECK(accept_within(application.get()));
  };
  SECTION("after an agent that ended in order") {
    auto redirect = rig.open();
    capture(*redirect, one);
    capture(*redirect, two);
    KernelObjects objects = objects_of(rig);
    CHECK_FALSE(agent::Redirect::uninstall(rig.options()));  // it is still running
    redirect.reset();
    REQUIRE(agent::Redirect::uninstall(rig.options()));
    require_nothing_left(objects);
  }
  SECTION("after an agent killed with kill -9") {
    pid_t child = agent_process(rig, {one.spec(), two.spec()});
    KernelObjects objects = objects_of(rig);
    kill_9(child);
    CHECK(dial_from(&one, two.ip4, 8080).error == ECONNREFUSED);
    REQUIRE(agent::Redirect::uninstall(rig.options()));
    require_nothing_left(objects);
  }
  CHECK(agent::Redirect::uninstall(rig.options()));  // again: nothing to do
}

TEST_CASE("a new agent adopts what a killed one captured, and nothing leaks meanwhile", "[lifecycle]") {
  Rig rig;
  TestPod& client = rig.add_pod("client");
  TestPod& server = rig.add_pod("server");
  Fd application = listen_in(server, {.port = 8080});
  kill_9(agent_process(rig, {client.spec()}));

  std::atomic<bool> stop = false;
  std::atomic<int> refused = 0, captured = 0, leaked = 0;
  std::thread traffic([&] {
    while (!stop) {
      Attempt attempt = dial_from(&client, server.ip4, 8080);
      if (attempt.error == ECONNREFUSED)
        ++refused;
      else if (mark_of(attempt.socket.get()) & WEIR_MARK_CAPTURED)
        ++captured;
      else
        ++leaked;
    }
  });
  for (int round = 0; round < 3; ++round) {
    auto redirect = rig.open();
    auto known = redirect->known_pods();
    REQUIRE(known.size() == 1);
    CHECK(known[0].spec.uid == "client");
    CHECK(known[0].armed);
    CHECK_FALSE(known[0].has_listeners);
    CHECK(known[0].spec.addresses == client.spec().addresses);
    CHECK_FALSE(redirect->listeners("client"));
    REQUIRE(redirect->prepare(client.spec()));  // nobody is in the slots: opens new ones
    CHECK(redirect->listeners("client"));
    CHECK(faults(*redirect, client) == "");
    CHECK(eventually([&, have = captured.load()] { return captured > have; }));
  }
  stop = true;
  traffic.join();
  CHECK(leaked == 0);
  CHECK(captured > 0);
  CHECK(refused > 0);
  CHECK_FALSE(accept_within(application.get(), 50ms));
}

TEST_CASE("a running proxy's listeners are adopted, and no connection is lost", "[lifecycle]") {
  Rig rig;
  TestPod& client = rig.add_pod("client");
  auto redirect = rig.open();
  capture(*redirect, client);
  std::vector<int> outbound, inbound;  // the proxy's duplicates
  auto held = redirect->listeners("client");
  for (int fd : held->outbound) outbound.push_back(::dup(fd));
  for (int fd : held->inbound) inbound.push_back(::dup(fd));
  redirect.reset();
  CHECK(dial_from(&client, "203.0.113.7", 81).error == 0);  // waits in the proxy's queue
  auto mine = outbound;
  for (int& fd : mine) fd = ::dup(fd);

  redirect = rig.open();
  REQUIRE(redirect->prepare(client.spec()));
  CHECK_FALSE(redirect->listeners("client"));  // the slots are served: prepare leaves them alone
  CHECK_FALSE(redirect->adopt_listeners("client", {::dup(inbound[0])}, {::dup(outbound[0])}));  // crossed
  REQUIRE(redirect->adopt_listeners("client", outbound, inbound));
  CHECK(dial_from(&client, "203.0.113.8", 82).error == 0);
  CHECK(accept_any(mine));
  CHECK(accept_any(mine));
  CHECK(faults(*redirect, client) == "");

  REQUIRE(redirect->reopen_listeners("client"));
  for (int fd : mine) ::close(fd);
  auto reopened = redirect->listeners("client");
  REQUIRE(reopened);
  CHECK(dial_from(&client, "203.0.113.9", 83).error == 0);
  CHECK(accept_any(reopened->outbound));
  CHECK(faults(*redirect, client) == "");
}

TEST_CASE("one agent is active in a state directory", "[lifecycle]") {
  Rig rig;
  auto first = rig.open();
  auto second = agent::Redirect::open(rig.options());
  REQUIRE_FALSE(second);
  CHECK(second.error().describe().find("still running") != std::string::npos);
  first.reset();
  CHECK(agent::Redirect::open(rig.options()));
}

TEST_CASE("two agents on one kernel act on their own pods only", "[lifecycle]") {
  Rig rig;
  TestPod& one = rig.add_pod("one");
  TestPod& two = rig.add_pod("two");
  auto first = rig.open("first"), second = rig.open("second");
  capture(*first, one);
  capture(*second, two);
  CHECK(dial_from(&one, "203.0.113.7", 81).error == 0);
  CHECK(first->counters().connects_captured == 1);
  CHECK(second->counters().connects_captured == 0);
  CHECK(dial_from(&two, "203.0.113.7", 81).error == 0);
  CHECK(dial_from(&two, "203.0.113.7", 82).error == 0);
  CHECK(first->counters().connects_captured == 1);
  CHECK(second->counters().connects_captured == 2);
  auto listeners = second->listeners("two");
  CHECK(accept_any(listeners->outbound));
}

TEST_CASE("another product's exclusive attachment is named in the error", "[lifecycle]") {
  Rig rig;
  auto cgroup = rig.make_cgroup("exclusive");
  bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
                     {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  LIBBPF_OPTS(bpf_prog_load_opts, load, .expected_attach_type = BPF_CGROUP_INET4_CONNECT);
  Fd program(::bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "foreign", "GPL", pass, 2, &load));
  REQUIRE(program);
  Fd directory(::open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(::bpf_prog_attach(program.get(), directory.get(), BPF_CGROUP_INET4_CONNECT, 0) == 0);
  auto options = rig.options();
  options.cgroup_root = cgroup;
  options.agent_cgroup_id = 1;
  auto opened = agent::Redirect::open(options);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().os_code == EPERM);
  CHECK(opened.error().describe().find("exclusive") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(options.bpffs_dir));  // nothing was captured, nothing stays
  REQUIRE(::bpf_prog_detach2(program.get(), directory.get(), BPF_CGROUP_INET4_CONNECT) == 0);
}

TEST_CASE("a pod whose namespace is gone is forgotten by the next agent", "[lifecycle]") {
  Rig rig;
  kill_9(agent_process(rig, {rig.add_pod("gone").spec(), rig.add_pod("stays").spec()}));
  rig.remove_pod("gone");
  auto redirect = rig.open();
  auto known = redirect->known_pods();
  REQUIRE(known.size() == 1);
  CHECK(known[0].spec.uid == "stays");
  CHECK(redirect->counters().pods_armed == 1);
}

TEST_CASE("pods that come and go leave nothing, and an address is free for another pod", "[lifecycle]") {
  Rig rig;
  TestPod& observer = rig.add_pod("observer");
  auto redirect = rig.open();
  capture(*redirect, observer);
  KernelObjects before = objects_of(rig);
  for (int round = 0; round < 20; ++round) {
    TestPod& pod = rig.add_pod("pod" + std::to_string(round));
    pod.run("ip addr add 10.91.0.99/24 dev eth0");
    auto spec = pod.spec();
    spec.addresses.push_back("10.91.0.99");
    REQUIRE(redirect->prepare(spec));
    REQUIRE(redirect->arm(spec.uid));
    Fd application = listen_in(pod, {.port = 8080});
    Attempt attempt = dial_from(&pod, "10.91.0.99", 8080);  // its own, this time
    CHECK(attempt.error == 0);
    CHECK(accept_within(application.get()));
    CHECK(dial_from(&pod, "203.0.113.7", 80).error == 0);
    REQUIRE(redirect->remove(spec.uid));
    rig.remove_pod(spec.uid);
  }
  KernelObjects after = objects_of(rig);
  CHECK(after.programs == before.programs);
  CHECK(eventually([&] { return redirect->counters().exempt_entries == 0; }));
  auto counters = redirect->counters();
  CHECK(counters.pods_armed == 1);
  CHECK(counters.listening_ports == 0);
  auto maps = agent::redirect::Maps::open(agent::redirect::Pins(rig.options().bpffs_dir));
  REQUIRE(maps);
  CHECK(maps->addresses.keys().size() == 2);
  CHECK(maps->namespaces.keys().size() == 1);
  CHECK(redirect->known_pods().size() == 1);
}

TEST_CASE("preparing again follows a pod's addresses and its namespace", "[lifecycle]") {
  Rig rig;
  TestPod& pod = rig.add_pod("pod");
  TestPod& successor = rig.add_pod("successor");
  std::string before = trace_of(pod);
  auto redirect = rig.open();
  auto spec = pod.spec();
  spec.addresses = {pod.ip4};  // IPv6 is not known yet
  REQUIRE(redirect->prepare(spec));
  REQUIRE(redirect->arm(pod.uid));
  Attempt early = dial_from(&pod, "2001:db8::7", 80);
  CHECK(early.error == EHOSTUNREACH);  // as in a pod without IPv6, and nothing leaks
  REQUIRE(redirect->prepare(pod.spec()));
  CHECK(dial_from(&pod, "2001:db8::7", 80).error == 0);
  CHECK(faults(*redirect, pod) == "");

  auto moved = successor.spec();
  moved.uid = pod.uid;
  REQUIRE(redirect->prepare(moved));
  REQUIRE(redirect->arm(pod.uid));
  CHECK(trace_of(pod) == before);
  CHECK(dial_from(&successor, "203.0.113.7", 80).error == 0);
  CHECK(redirect->counters().pods_armed == 1);
  CHECK_FALSE(redirect->prepare(successor.spec()));  // one namespace, two uids
  auto host = successor.spec();
  host.uid = "host";
  host.netns_path = "/proc/thread-self/ns/net";  // this thread is the node
  CHECK_FALSE(redirect->prepare(host));
  auto nowhere = pod.spec();
  nowhere.netns_path = "/etc/hostname";
  CHECK_FALSE(redirect->prepare(nowhere));
}

TEST_CASE("connections older than the capture are destroyed, all others live", "[lifecycle]") {
  Rig rig;
  TestPod& pod = rig.add_pod("pod");
  TestPod& peer = rig.add_pod("peer");
  auto own_cgroup = rig.make_cgroup("agent");
  auto options = rig.options();
  rig.in_cgroup(own_cgroup,
                [&] { options.agent_cgroup_id = agent::cgroup_of_pid(::getpid(), rig.cgroup_root())->id; });
  Fd application = listen_in(pod, {.port = 8080}), remote = listen_in(peer, {.port = 8080});
  Attempt out = dial_from(&pod, peer.ip4, 8080), in = dial_from(&peer, pod.ip4, 8080),
          out6 = dial_from(&pod, peer.ip6, 8080), loop = dial_from(&pod, "127.0.0.1", 8080),
          own = dial_from(&pod, pod.ip4, 8080);
  auto out_end = accept_within(remote.get()), out6_end = accept_within(remote.get());
  std::vector<Fd> ends;
  for (int i = 0; i < 3; ++i) ends.push_back(std::move(*accept_within(application.get())));

  auto opened = agent::Redirect::open(options);
  REQUIRE(opened);
  agent::Redirect& redirect = **opened;
  rig.in_cgroup(own_cgroup, [&] { capture(redirect, pod); });
  Attempt captured = dial_from(&pod, "203.0.113.7", 80), probe = dial_from(nullptr, pod.ip4, 8080),
          inbound = dial_from(&peer, pod.ip4, 8080);
  auto probe_end = accept_within(application.get());
  REQUIRE(probe_end);
  auto listeners = redirect.listeners(pod.uid);
  auto captured_end = accept_any(listeners->outbound), inbound_end = accept_any(listeners->inbound);
  REQUIRE(captured_end);
  REQUIRE(inbound_end);

  auto destroyed = redirect.destroy_old_connections(pod.uid);
  REQUIRE(destroyed);
  CHECK(*destroyed == 3);  // out, in, out6
  CHECK_FALSE(carries(out.socket.get(), out_end->get()));
  CHECK_FALSE(carries(out6.socket.get(), out6_end->get()));
  CHECK_FALSE(carries(in.socket.get(), ends[0].get()));
  CHECK(carries(loop.socket.get(), ends[1].get()));
  CHECK(carries(own.socket.get(), ends[2].get()));
  CHECK(carries(captured.socket.get(), captured_end->get()));
  CHECK(carries(inbound.socket.get(), inbound_end->get()));
  CHECK(carries(probe.socket.get(), probe_end->get()));
}
