// Agents that come, crash, come back, meet one another and are uninstalled.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cerrno>
#include <thread>

#include "bpf/abi.h"
#include "tests/bpf/rig.h"
#include "tests/bpf/trace.h"

using namespace weir;
using namespace weir::test;

namespace {

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

TEST_CASE("uninstall leaves no trace", "[agents]") {
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

TEST_CASE("a new agent adopts what a killed one captured, and nothing leaks meanwhile", "[agents]") {
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

TEST_CASE("a running proxy's listeners are adopted, and no connection is lost", "[agents]") {
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

TEST_CASE("one agent is active in a state directory", "[agents]") {
  Rig rig;
  auto first = rig.open();
  auto second = agent::Redirect::open(rig.options());
  REQUIRE_FALSE(second);
  CHECK(second.error().describe().find("still running") != std::string::npos);
  first.reset();
  CHECK(agent::Redirect::open(rig.options()));
}

TEST_CASE("two agents on one kernel act on their own pods only", "[agents]") {
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

TEST_CASE("another product's exclusive attachment is named in the error", "[agents]") {
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

TEST_CASE("a pod whose namespace is gone is forgotten by the next agent", "[agents]") {
  Rig rig;
  kill_9(agent_process(rig, {rig.add_pod("gone").spec(), rig.add_pod("stays").spec()}));
  rig.remove_pod("gone");
  auto redirect = rig.open();
  auto known = redirect->known_pods();
  REQUIRE(known.size() == 1);
  CHECK(known[0].spec.uid == "stays");
  CHECK(redirect->counters().pods_armed == 1);
}
