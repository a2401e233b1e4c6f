// What happens to a connection that an application of a captured pod opens.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>

#include "bpf/abi.h"
#include "tests/bpf/rig.h"

using namespace weir;
using namespace weir::test;

namespace {

// Whichever member of the pod's outbound group has the connection.
std::optional<Fd> accept_outbound(agent::Redirect& redirect, const TestPod& pod) {
  auto listeners = redirect.listeners(pod.uid);
  REQUIRE(listeners);
  for (int fd : listeners->outbound)
    if (auto accepted = accept_within(fd, 100ms)) return accepted;
  return std::nullopt;
}

// The accepted socket must have exactly what the application dialled, and bytes must pass.
void require_captured(agent::Redirect& redirect, const TestPod& pod, const Attempt& attempt,
                      const std::string& ip, uint16_t port) {
  REQUIRE(attempt.error == 0);
  auto accepted = accept_outbound(redirect, pod);
  REQUIRE(accepted);
  CHECK(local_of(accepted->get()).to_string() == SocketAddress{*Ip::parse(ip), port}.to_string());
  CHECK(remote_of(accepted->get()) == local_of(attempt.socket.get()));
  CHECK(carries(attempt.socket.get(), accepted->get()));
  CHECK(carries(accepted->get(), attempt.socket.get()));
}

}  // namespace

TEST_CASE("an application's connection reaches the outbound listener with the address it dialled",
          "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  auto redirect = rig.open();
  capture(*redirect, pod);
  SECTION("IPv4") { require_captured(*redirect, pod, dial_from(&pod, "203.0.113.7", 81), "203.0.113.7", 81); }
  SECTION("IPv6") { require_captured(*redirect, pod, dial_from(&pod, "2001:db8::7", 82), "2001:db8::7", 82); }
  SECTION("v4-mapped") {
    require_captured(*redirect, pod, dial_from(&pod, "203.0.113.8", 83, true), "203.0.113.8", 83);
  }
  SECTION("MPTCP") {
    require_captured(*redirect, pod, dial(make_socket(&pod, AF_INET, IPPROTO_MPTCP), "203.0.113.9", 84),
                     "203.0.113.9", 84);
  }
  SECTION("a node's address") {
    require_captured(*redirect, pod, dial_from(&pod, "10.91.0.1", 85), "10.91.0.1", 85);
  }
  SECTION("bound to the pod's address first") {
    Fd socket = make_socket(&pod, AF_INET);
    sockaddr_storage address{};
    socklen_t length = SocketAddress{.ip = *Ip::parse(pod.ip4), .port = 40001}.to_sockaddr(address);
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    require_captured(*redirect, pod, dial(std::move(socket), "203.0.113.7", 86), "203.0.113.7", 86);
  }
  CHECK(redirect->counters().connects_captured >= 1);
}

TEST_CASE("TCP Fast Open does not pass by", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  auto redirect = rig.open();
  capture(*redirect, pod);
  sockaddr_storage address{};
  socklen_t length = SocketAddress{.ip = *Ip::parse("203.0.113.7"), .port = 81}.to_sockaddr(address);
  Fd socket = make_socket(&pod, AF_INET);
  ssize_t sent = -1;
  SECTION("sendto with MSG_FASTOPEN") {
    sent = ::sendto(socket.get(), "weir", 4, MSG_FASTOPEN, reinterpret_cast<sockaddr*>(&address), length);
  }
  SECTION("TCP_FASTOPEN_CONNECT") {
    int on = 1;
    REQUIRE(::setsockopt(socket.get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)) == 0);
    REQUIRE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    sent = ::send(socket.get(), "weir", 4, 0);
  }
  CHECK(sent == 4);
  auto accepted = accept_outbound(*redirect, pod);
  REQUIRE(accepted);
  CHECK(local_of(accepted->get()).to_string() == "203.0.113.7:81");
}

TEST_CASE("an application's own mark stays beside Weir's", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  auto redirect = rig.open();
  capture(*redirect, pod);
  Fd socket = make_socket(&pod, AF_INET);
  uint32_t own = 0x1234;
  REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &own, sizeof(own)) == 0);
  Attempt attempt = dial(std::move(socket), "203.0.113.7", 81);
  CHECK(attempt.error == 0);
  CHECK(mark_of(attempt.socket.get()) == (0x1234 | WEIR_MARK_CAPTURED));
}

TEST_CASE("a listener that is gone refuses instead of letting it pass", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  TestPod& server = rig.add_pod("server");
  Fd application = listen_in(server, {.port = 8080});
  {
    auto redirect = rig.open();
    capture(*redirect, pod);
  }  // the agent dies, and with it the only descriptors of the listeners
  for (const std::string& ip : {server.ip4, server.ip6}) {
    Attempt attempt = dial_from(&pod, ip, 8080);
    CHECK(attempt.error == ECONNREFUSED);
    CHECK(attempt.took < 100ms);
  }
  CHECK(dial_from(&pod, server.ip4, 8080, true).error == ECONNREFUSED);
  CHECK_FALSE(accept_within(application.get(), 50ms));
}

TEST_CASE("loopback and the pod's own addresses are left alone", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  Fd application = listen_in(pod, {.port = 8080});
  auto redirect = rig.open();
  capture(*redirect, pod);
  for (const std::string& ip : {std::string("127.0.0.1"), std::string("::1"), pod.ip4, pod.ip6,
                                std::string("0.0.0.0"), std::string("127.9.9.9")}) {
    INFO(ip);
    Attempt attempt = dial_from(&pod, ip, 8080);
    REQUIRE(attempt.error == 0);
    CHECK((mark_of(attempt.socket.get()) & WEIR_MARK_CAPTURED) == 0);
    CHECK(accept_within(application.get()));
  }
  CHECK(dial_from(&pod, pod.ip4, 8080, true).error == 0);
  CHECK(accept_within(application.get()));
  CHECK(redirect->counters().steered_inbound == 0);
  CHECK(redirect->counters().steered_outbound == 0);
}

TEST_CASE("a socket connected again elsewhere is judged again", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  Fd application = listen_in(pod, {.port = 8080});
  auto redirect = rig.open();
  capture(*redirect, pod);
  Attempt first = dial_from(&pod, "203.0.113.7", 81);
  REQUIRE(first.error == 0);
  CHECK(accept_outbound(*redirect, pod));
  sockaddr nowhere{.sa_family = AF_UNSPEC, .sa_data = {}};
  REQUIRE(::connect(first.socket.get(), &nowhere, sizeof(nowhere)) == 0);
  Attempt second = dial(std::move(first.socket), pod.ip4, 8080);
  REQUIRE(second.error == 0);
  CHECK((mark_of(second.socket.get()) & WEIR_MARK_CAPTURED) == 0);
  CHECK(accept_within(application.get()));
  REQUIRE(::connect(second.socket.get(), &nowhere, sizeof(nowhere)) == 0);
  Attempt third = dial(std::move(second.socket), "203.0.113.7", 82);
  REQUIRE(third.error == 0);
  CHECK(accept_outbound(*redirect, pod));
}

TEST_CASE("a socket bound to a device does not escape", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  TestPod& server = rig.add_pod("server");
  Fd application = listen_in(server, {.port = 8080});
  auto redirect = rig.open();
  capture(*redirect, pod);
  for (const std::string& ip : {server.ip4, server.ip6}) {
    INFO(ip);
    int family = ip == server.ip4 ? AF_INET : AF_INET6;
    Fd socket = make_socket(&pod, family);
    REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5) == 0);
    require_captured(*redirect, pod, dial(std::move(socket), ip, 8080), ip, 8080);

    // A process without CAP_NET_RAW cannot have the device taken off: it is refused.
    Fd bound = make_socket(&pod, family);
    REQUIRE(::setsockopt(bound.get(), SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5) == 0);
    pid_t child = ::fork();
    if (child == 0) {
      sockaddr_storage address{};
      socklen_t length = SocketAddress{.ip = *Ip::parse(ip), .port = 8080}.to_sockaddr(address);
      if (::setresuid(65534, 65534, 65534) != 0) ::_exit(1);
      ::_exit(::connect(bound.get(), reinterpret_cast<sockaddr*>(&address), length) < 0 ? errno : 0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == EPERM);
  }
  CHECK_FALSE(accept_within(application.get(), 50ms));
  auto counters = redirect->counters();
  CHECK(counters.connects_device_cleared == 2);
  CHECK(counters.connects_device_refused == 2);
}

TEST_CASE("UDP is untouched", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  auto redirect = rig.open();
  capture(*redirect, pod);
  Result<int> made = agent::redirect::in_netns(
      pod.netns.get(), []() -> Result<int> { return ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
  Fd socket(*made);
  Attempt attempt = dial(std::move(socket), "10.91.0.1", 53);
  CHECK(attempt.error == 0);
  CHECK(mark_of(attempt.socket.get()) == 0);
}

TEST_CASE("a proxy's sockets are never captured, another cgroup's always", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  TestPod& server = rig.add_pod("server");
  Fd application = listen_in(server, {.port = 8080});
  auto proxy = rig.make_cgroup("proxy");
  auto redirect = rig.open();
  capture(*redirect, pod);
  auto id = std::filesystem::exists(proxy) ? agent::cgroup_of_pid(::getpid(), rig.cgroup_root())
                                           : std::unexpected(Error{});
  REQUIRE(id);
  CHECK_FALSE(redirect->add_proxy_cgroup(id->id));  // this process is in the root
  Fd socket;
  rig.in_cgroup(proxy, [&] {
    auto own = agent::cgroup_of_pid(::getpid(), rig.cgroup_root());
    REQUIRE(own);
    CHECK(own->other_pids.empty());
    REQUIRE(redirect->add_proxy_cgroup(own->id));
    socket = make_socket(&pod, AF_INET);
  });
  Attempt own = dial(std::move(socket), server.ip4, 8080);  // who made it counts, not who connects
  CHECK(own.error == 0);
  CHECK(mark_of(own.socket.get()) == 0);
  auto accepted = accept_within(application.get());
  REQUIRE(accepted);
  CHECK(remote_of(accepted->get()).ip.to_string() == pod.ip4);

  Fd inherited = make_socket(&pod, AF_INET);
  Attempt other;
  rig.in_cgroup(proxy, [&] { other = dial(std::move(inherited), server.ip4, 8080); });
  CHECK(other.error == 0);
  CHECK((mark_of(other.socket.get()) & WEIR_MARK_CAPTURED) != 0);
  CHECK_FALSE(accept_within(application.get(), 50ms));
}

TEST_CASE("a pod that is not armed is not captured", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  TestPod& server = rig.add_pod("server");
  Fd application = listen_in(server, {.port = 8080}), own = listen_in(pod, {.port = 8080});
  auto redirect = rig.open();
  auto require_untouched = [&] {
    Attempt out = dial_from(&pod, server.ip4, 8080);
    CHECK(out.error == 0);
    CHECK(mark_of(out.socket.get()) == 0);
    CHECK(accept_within(application.get()));
    CHECK(dial_from(&server, pod.ip4, 8080).error == 0);
    CHECK(accept_within(own.get()));
  };
  REQUIRE(redirect->prepare(pod.spec()));
  require_untouched();
  REQUIRE(redirect->arm(pod.uid));
  CHECK(dial_from(&pod, server.ip4, 8080).error == 0);
  CHECK_FALSE(accept_within(application.get(), 50ms));
  REQUIRE(redirect->disarm(pod.uid));
  require_untouched();
}

TEST_CASE("the listeners' port is refused to applications", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  auto own_cgroup = rig.make_cgroup("agent");
  auto options = rig.options();
  rig.in_cgroup(own_cgroup,
                [&] { options.agent_cgroup_id = agent::cgroup_of_pid(::getpid(), rig.cgroup_root())->id; });
  auto opened = agent::Redirect::open(options);
  REQUIRE(opened);
  agent::Redirect& redirect = **opened;
  capture(redirect, pod);
  uint16_t port = redirect.listeners(pod.uid)->port;
  CHECK(port == WEIR_LISTENER_PORT);
  for (int family : {AF_INET, AF_INET6}) {
    Fd socket = make_socket(&pod, family);
    int on = 1;
    REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0);
    sockaddr_storage address{};
    Ip any = *Ip::parse(family == AF_INET ? "0.0.0.0" : "::ffff:127.0.0.1");
    socklen_t length = SocketAddress{.ip = any, .port = port}.to_sockaddr(address, family == AF_INET6);
    CHECK(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) < 0);
    CHECK(errno == EADDRINUSE);
  }
  CHECK(redirect.counters().binds_refused == 2);
  CHECK_FALSE(redirect.reopen_listeners(pod.uid));  // this process is in the root cgroup, not the agent's
  rig.in_cgroup(own_cgroup, [&] { CHECK(redirect.reopen_listeners(pod.uid)); });
}

TEST_CASE("an application that already has the usual port keeps it", "[outbound]") {
  Rig rig;
  TestPod& pod = rig.add_pod("client");
  Fd application = listen_in(pod, {.ip = "0.0.0.0", .port = WEIR_LISTENER_PORT, .reuseport = true});
  auto redirect = rig.open();
  capture(*redirect, pod);
  CHECK(redirect->listeners(pod.uid)->port == WEIR_LISTENER_PORT + 1);
  CHECK(dial_from(&pod, "203.0.113.7", 81).error == 0);
  CHECK(accept_outbound(*redirect, pod));
  CHECK_FALSE(accept_within(application.get(), 50ms));
}
