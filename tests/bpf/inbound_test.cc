// What happens to a connection that arrives at a captured pod, and which ports count as open.
#include <netinet/in.h>
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

std::optional<Fd> accept_inbound(agent::Redirect& redirect, const TestPod& pod) {
  auto listeners = redirect.listeners(pod.uid);
  REQUIRE(listeners);
  for (int fd : listeners->inbound)
    if (auto accepted = accept_within(fd, 100ms)) return accepted;
  return std::nullopt;
}

// A port is open when an outsider's connection reaches the inbound listener, closed when it is refused at once.
bool is_open(agent::Redirect& redirect, const TestPod& from, const TestPod& pod, uint16_t port,
             bool v6 = false) {
  Attempt attempt = dial_from(&from, v6 ? pod.ip6 : pod.ip4, port);
  if (attempt.error == 0) {
    CHECK(accept_inbound(redirect, pod));
    return true;
  }
  CHECK(attempt.error == ECONNREFUSED);
  CHECK(attempt.took < 100ms);
  return false;
}

struct Scene {
  Rig rig;
  TestPod& pod = rig.add_pod("server");
  TestPod& outsider = rig.add_pod("outsider");
  std::unique_ptr<agent::Redirect> redirect = rig.open();

  bool open(uint16_t port, bool v6 = false) { return is_open(*redirect, outsider, pod, port, v6); }
};

}  // namespace

TEST_CASE("an outsider's connection reaches the inbound listener with the client's true address",
          "[inbound]") {
  Scene scene;
  Fd application = listen_in(scene.pod, {.port = 8080});
  capture(*scene.redirect, scene.pod);
  for (const std::string& ip : {scene.pod.ip4, scene.pod.ip6}) {
    INFO(ip);
    Attempt attempt = dial_from(&scene.outsider, ip, 8080);
    REQUIRE(attempt.error == 0);
    auto accepted = accept_inbound(*scene.redirect, scene.pod);
    REQUIRE(accepted);
    CHECK(local_of(accepted->get()) == SocketAddress{*Ip::parse(ip), 8080});
    CHECK(remote_of(accepted->get()) == local_of(attempt.socket.get()));
    CHECK(carries(attempt.socket.get(), accepted->get()));
    CHECK(carries(accepted->get(), attempt.socket.get()));
  }
  CHECK_FALSE(accept_within(application.get(), 50ms));
}

TEST_CASE("a second address of the pod is inbound too, whatever the agent knows of it", "[inbound]") {
  Scene scene;
  scene.pod.run("ip addr add 10.91.0.200/24 dev eth0");
  Fd application = listen_in(scene.pod, {.port = 8080});
  capture(*scene.redirect, scene.pod);
  CHECK(dial_from(&scene.outsider, "10.91.0.200", 8080).error == 0);
  CHECK(accept_inbound(*scene.redirect, scene.pod));
  CHECK_FALSE(accept_within(application.get(), 50ms));
}

TEST_CASE("an inbound listener that is gone refuses instead of letting it pass", "[inbound]") {
  Scene scene;
  Fd application = listen_in(scene.pod, {.port = 8080});
  capture(*scene.redirect, scene.pod);
  scene.redirect.reset();
  CHECK(dial_from(&scene.outsider, scene.pod.ip4, 8080).error == ECONNREFUSED);
  CHECK(dial_from(&scene.outsider, scene.pod.ip6, 8080).error == ECONNREFUSED);
  CHECK_FALSE(accept_within(application.get(), 50ms));
}

TEST_CASE("a closed port answers RST within 100 ms", "[inbound]") {
  Scene scene;
  capture(*scene.redirect, scene.pod);
  CHECK_FALSE(scene.open(8080));
  CHECK_FALSE(scene.open(8080, true));
  CHECK(scene.redirect->counters().dropped_closed_port == 2);
}

TEST_CASE("the listeners' own port refuses from outside", "[inbound]") {
  Scene scene;
  capture(*scene.redirect, scene.pod);
  CHECK_FALSE(scene.open(scene.redirect->listeners("server")->port));
  CHECK(scene.redirect->counters().dropped_listener_port == 1);
}

TEST_CASE("a port is open from listen() to the last close()", "[inbound]") {
  Scene scene;
  capture(*scene.redirect, scene.pod);
  {
    Fd application = listen_in(scene.pod, {.port = 8080});
    CHECK(scene.open(8080));
    CHECK(scene.open(8080, true));
    REQUIRE(::listen(application.get(), 128) == 0);  // again: counts once
  }
  CHECK_FALSE(scene.open(8080));
  CHECK_FALSE(scene.open(8080, true));
  auto counters = scene.redirect->counters();
  CHECK(counters.listen_up == counters.listen_down);
  CHECK(counters.listening_ports == 0);
}

TEST_CASE("a REUSEPORT group is open as long as one of it listens", "[inbound]") {
  Scene scene;
  Fd before = listen_in(scene.pod, {.ip = "0.0.0.0", .port = 8080, .reuseport = true});
  capture(*scene.redirect, scene.pod);
  Fd after = listen_in(scene.pod, {.ip = "0.0.0.0", .port = 8080, .reuseport = true});
  CHECK(scene.open(8080));
  before.reset();
  CHECK(scene.open(8080));
  after.reset();
  CHECK_FALSE(scene.open(8080));
}

TEST_CASE("a listener shared by fork() counts once and lives until both processes have closed it",
          "[inbound]") {
  Scene scene;
  capture(*scene.redirect, scene.pod);
  Fd application = listen_in(scene.pod, {.port = 8080});
  pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  application.reset();
  CHECK(scene.open(8080));
  REQUIRE(::kill(child, SIGKILL) == 0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(eventually([&] { return !scene.open(8080); }));
}

TEST_CASE("kill -9 of a listening process closes its ports, autobound ones too", "[inbound]") {
  Scene scene;
  capture(*scene.redirect, scene.pod);
  int ports[2];
  REQUIRE(::pipe(ports) == 0);
  pid_t child = ::fork();
  if (child == 0) {
    Fd bound = listen_in(scene.pod, {.port = 8080});
    Fd unbound = make_socket(&scene.pod, AF_INET);
    bool listens = ::listen(unbound.get(), 16) == 0;  // without bind(): the kernel chooses the port
    uint16_t port = listens ? port_of(unbound.get()) : 0;
    if (::write(ports[1], &port, sizeof(port)) != sizeof(port)) ::_exit(1);
    ::pause();
  }
  uint16_t autobound = 0;
  REQUIRE(::read(ports[0], &autobound, sizeof(autobound)) == sizeof(autobound));
  ::close(ports[0]);
  ::close(ports[1]);
  REQUIRE(autobound != 0);
  CHECK(scene.open(8080));
  CHECK(scene.open(autobound));
  REQUIRE(::kill(child, SIGKILL) == 0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(eventually([&] { return scene.redirect->counters().listening_ports == 0; }));
  CHECK_FALSE(scene.open(8080));
  CHECK_FALSE(scene.open(autobound));
}

TEST_CASE("loopback-only listeners do not open a port", "[inbound]") {
  Scene scene;
  capture(*scene.redirect, scene.pod);
  Fd four = listen_in(scene.pod, {.ip = "127.0.0.1", .port = 8080});
  Fd six = listen_in(scene.pod, {.ip = "::1", .port = 8080});
  CHECK_FALSE(scene.open(8080));
  CHECK_FALSE(scene.open(8080, true));
}

TEST_CASE("a port is open for the families its listener serves", "[inbound]") {
  Scene scene;
  capture(*scene.redirect, scene.pod);
  Fd four = listen_in(scene.pod, {.ip = "0.0.0.0", .port = 8084});
  CHECK(scene.open(8084));
  CHECK_FALSE(scene.open(8084, true));
  Fd six = listen_in(scene.pod, {.port = 8086, .v6only = true});
  CHECK_FALSE(scene.open(8086));
  CHECK(scene.open(8086, true));
  Fd own = listen_in(scene.pod, {.ip = scene.pod.ip4, .port = 8088});
  CHECK(scene.open(8088));
  CHECK_FALSE(scene.open(8088, true));
}

TEST_CASE("MPTCP listeners open their port", "[inbound]") {
  Scene scene;
  capture(*scene.redirect, scene.pod);
  Fd application = make_socket(&scene.pod, AF_INET, IPPROTO_MPTCP);
  sockaddr_storage address{};
  socklen_t length = SocketAddress{.ip = *Ip::parse("0.0.0.0"), .port = 8080}.to_sockaddr(address);
  REQUIRE(::bind(application.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  REQUIRE(::listen(application.get(), 16) == 0);
  CHECK(scene.open(8080));
  application.reset();
  CHECK(eventually([&] { return !scene.open(8080); }));
}

TEST_CASE("listeners from before the enrolment are counted, at every enrolment anew", "[inbound]") {
  Scene scene;
  Fd application = listen_in(scene.pod, {.port = 8080});
  for (int round = 0; round < 3; ++round) {
    INFO(round);
    capture(*scene.redirect, scene.pod);
    CHECK(scene.open(8080));
    CHECK(scene.open(8080, true));
    CHECK_FALSE(scene.open(8081));
    REQUIRE(scene.redirect->remove(scene.pod.uid));
    CHECK(scene.redirect->counters().listening_ports == 0);
  }
  capture(*scene.redirect, scene.pod);
  application.reset();
  CHECK_FALSE(scene.open(8080));
}

TEST_CASE("reconciliation finds nothing to correct while listeners come and go", "[inbound]") {
  Scene scene;
  Fd before = listen_in(scene.pod, {.port = 8080});
  capture(*scene.redirect, scene.pod);
  for (int round = 0; round < 20; ++round) {
    Fd one = listen_in(scene.pod, {.port = 8081}),
       two = listen_in(scene.pod, {.ip = "127.0.0.1", .port = 8082});
    auto done = scene.redirect->reconcile();
    REQUIRE(done);
    CHECK(done->listen_counts_corrected == 0);
  }
  CHECK(scene.open(8080));
  CHECK_FALSE(scene.open(8081));
}

TEST_CASE("a wrong count is corrected by reconciliation, too high and too low", "[inbound]") {
  Scene scene;
  Fd application = listen_in(scene.pod, {.port = 8080});
  capture(*scene.redirect, scene.pod);
  auto maps = agent::redirect::Maps::open(agent::redirect::Pins(scene.rig.options().bpffs_dir));
  REQUIRE(maps);
  auto cookie = agent::redirect::netns_cookie(scene.pod.netns.get());
  REQUIRE(cookie);
  weir_listen_key right{.netns_cookie = *cookie, .port = 8080, .family_class = WEIR_CLASS_IPV4, .zero = 0};
  weir_listen_key nobody{.netns_cookie = *cookie, .port = 8081, .family_class = WEIR_CLASS_IPV4, .zero = 0};
  REQUIRE(maps->listening.set(right, 0));
  REQUIRE(maps->listening.set(nobody, 3));
  CHECK_FALSE(scene.open(8080));
  CHECK(scene.open(8081));
  auto done = scene.redirect->reconcile();
  REQUIRE(done);
  CHECK(done->listen_counts_corrected == 2);
  CHECK(scene.open(8080));
  CHECK_FALSE(scene.open(8081));
  REQUIRE(maps->listening.erase(right));
  done = scene.redirect->reconcile();
  REQUIRE(done);
  CHECK(done->listen_counts_corrected == 1);
  CHECK(scene.open(8080));
}
