// `check` tells the truth: fine when capture is in place, and naming what is not.
#include <bpf/bpf.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>
#include <set>

#include "agent/redirect/maps.h"
#include "agent/redirect/pins.h"
#include "tests/bpf/rig.h"

using namespace weir;
using namespace weir::test;

namespace {

struct Scene {
  Rig rig;
  TestPod& pod = rig.add_pod("pod");
  Fd application = listen_in(pod, {.port = 8080});
  std::unique_ptr<agent::Redirect> redirect = rig.open();

  Scene() { capture(*redirect, pod); }
  std::set<std::string> failing() {
    std::set<std::string> names;
    for (const agent::CheckResult& one : redirect->check(pod.uid)) {
      if (one.ok) continue;
      names.insert(one.name);
      UNSCOPED_INFO(one.name << ": " << one.detail);  // shown with the next failure
    }
    return names;
  }
};

using Names = std::set<std::string>;

}  // namespace

TEST_CASE("a captured pod passes every check, without a packet to anybody", "[check]") {
  Scene scene;
  CHECK(scene.failing() == Names{});
  CHECK(scene.redirect->check("pod").size() == 11);
  auto listeners = scene.redirect->listeners("pod");
  for (int fd : listeners->outbound) CHECK_FALSE(accept_within(fd, 20ms));
  CHECK(scene.redirect->check("nobody").size() == 1);
  CHECK_FALSE(scene.redirect->check("nobody")[0].ok);
}

TEST_CASE("a pod that is not armed fails the checks that need it", "[check]") {
  Scene scene;
  REQUIRE(scene.redirect->disarm("pod"));
  CHECK(scene.failing() == Names{"map_entry", "sk_lookup", "connect4", "connect6"});
}

TEST_CASE("a missing rule, route or sysctl is found", "[check]") {
  Scene scene;
  SECTION("rule") {
    scene.pod.run("ip rule del priority 77");
    CHECK(scene.failing() == Names{"routes", "loop4"});
  }
  SECTION("IPv6 rule") {
    scene.pod.run("ip -6 rule del priority 77");
    CHECK(scene.failing() == Names{"routes", "loop6"});
  }
  SECTION("route") {
    scene.pod.run("ip route flush table 30689");
    CHECK(scene.failing() == Names{"routes", "loop4"});
  }
  SECTION("sysctl") {
    scene.pod.run("sysctl -qw net.ipv4.tcp_fwmark_accept=0");
    CHECK(scene.failing() == Names{"sysctls"});
  }
  REQUIRE(scene.redirect->prepare(scene.pod.spec()));  // mends it
  CHECK(scene.failing() == Names{});
}

TEST_CASE("listeners that are gone are found", "[check]") {
  Scene scene;
  scene.redirect = nullptr;
  scene.redirect = scene.rig.open();
  CHECK(scene.failing() == Names{"listeners", "connect4", "connect6"});
}

TEST_CASE("a foreign sk_lookup program in the pod is found", "[check]") {
  Scene scene;
  bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 1},
                     {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  LIBBPF_OPTS(bpf_prog_load_opts, load, .expected_attach_type = BPF_SK_LOOKUP);
  Fd program(::bpf_prog_load(BPF_PROG_TYPE_SK_LOOKUP, "foreign", "GPL", pass, 2, &load));
  REQUIRE(program);
  Fd link(::bpf_link_create(program.get(), scene.pod.netns.get(), BPF_SK_LOOKUP, nullptr));
  REQUIRE(link);
  CHECK(scene.failing() == Names{"sk_lookup"});
}

TEST_CASE("a hook that was detached by somebody is found", "[check]") {
  Scene scene;
  auto pinned =
      agent::redirect::open_pin(agent::redirect::Pins(scene.rig.options().bpffs_dir).link("connect4"));
  REQUIRE(pinned);
  REQUIRE(::bpf_link_detach(pinned->get()) == 0);
  CHECK(scene.failing() == Names{"programs", "connect4"});
  scene.redirect = nullptr;
  scene.redirect = scene.rig.open();  // the next agent attaches anew
  REQUIRE(scene.redirect->prepare(scene.pod.spec()));
  CHECK(scene.failing() == Names{});
}
