// Pods that are enrolled, changed and removed, and what is left in them.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "agent/redirect/maps.h"
#include "agent/redirect/pins.h"
#include "tests/bpf/rig.h"
#include "tests/bpf/trace.h"

using namespace weir;
using namespace weir::test;

TEST_CASE("removing a pod leaves it as it was", "[pods]") {
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

TEST_CASE("pods that come and go leave nothing, and an address is free for another pod", "[pods]") {
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

TEST_CASE("preparing again follows a pod's addresses and its namespace", "[pods]") {
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

TEST_CASE("connections older than the capture are destroyed, all others live", "[pods]") {
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
