// Making the node and its pods with ip(8), and plain sockets to play applications and proxies with.
#include "tests/bpf/rig.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <thread>

#include "bpf/abi.h"

namespace weir::test {
namespace {

namespace fs = std::filesystem;
using agent::redirect::in_netns;

std::string shell(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe);
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;) output.append(buffer, n);
  INFO(command << "\n" << output);
  REQUIRE(::pclose(pipe) == 0);
  return output;
}

std::string inside(int netns, const std::string& command) {
  Result<std::string> output = in_netns(netns, [&]() -> Result<std::string> { return shell(command); });
  REQUIRE(output);
  return *output;
}

// A new namespace that lives as long as descriptors and sockets of it.
Fd new_netns() {
  int fd = -1;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) == 0) fd = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  }).join();
  REQUIRE(fd >= 0);
  return Fd(fd);
}

fs::path path_of(int fd) { return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd); }

int family_of(const std::string& ip) { return ip.find(':') == std::string::npos ? AF_INET : AF_INET6; }

}  // namespace

std::string TestPod::run(const std::string& command) const { return inside(netns.get(), command); }

Rig::Rig() {
  if (::geteuid() != 0)
    FAIL("the bpf tier needs root: namespaces, cgroups and BPF programs are made for real");
  ::signal(SIGPIPE, SIG_IGN);
  char pattern[] = "/tmp/wbpf-XXXXXX";
  REQUIRE(::mkdtemp(pattern));
  directory_ = pattern;
  Fd node = new_netns();
  REQUIRE(::setns(node.get(), CLONE_NEWNET) == 0);
  shell(
      "ip link set lo up && ip link add br0 type bridge && ip addr add 10.91.0.1/24 dev br0 && "
      "ip -6 addr add fd91::1/64 dev br0 nodad && ip link set br0 up");
}

Rig::~Rig() {
  pods_.clear();
  std::ofstream(cgroup_root() / "cgroup.procs") << ::getpid();
  for (auto path = cgroups_.rbegin(); path != cgroups_.rend(); ++path) ::rmdir(path->c_str());
  for (const auto& entry : fs::directory_iterator(directory_)) {
    agent::RedirectOptions left;
    left.cgroup_root = cgroup_root();
    left.state_dir = entry.path() / "state";
    left.bpffs_dir = entry.path() / "pins";
    (void)agent::Redirect::uninstall(left);
  }
  std::error_code error;
  fs::remove_all(directory_, error);
}

TestPod& Rig::add_pod(const std::string& uid) {
  auto pod = std::make_unique<TestPod>();
  std::string host = std::to_string(next_host_++);
  pod->uid = uid;
  pod->netns = new_netns();
  pod->netns_path = path_of(pod->netns.get());
  pod->ip4 = "10.91.0." + host;
  pod->ip6 = "fd91::" + host;
  shell("ip link add veth" + host + " type veth peer name eth0 netns " + pod->netns_path.string() +
        " && ip link set veth" + host + " master br0 up");
  // Without duplicate address detection, whose end adds routes some time later: traces are compared.
  pod->run("sysctl -qw net.ipv6.conf.eth0.accept_dad=0");
  pod->run("ip link set lo up && ip addr add " + pod->ip4 + "/24 dev eth0 && ip -6 addr add " + pod->ip6 +
           "/64 dev eth0 nodad && ip link set eth0 up && ip route add default via 10.91.0.1 && "
           "ip -6 route add default via fd91::1");
  return *pods_.emplace_back(std::move(pod));
}

void Rig::remove_pod(const std::string& uid) {
  std::erase_if(pods_, [&](const auto& pod) { return pod->uid == uid; });
}

agent::RedirectOptions Rig::options(const std::string& agent_name) const {
  agent::RedirectOptions options;
  options.cgroup_root = cgroup_root();
  options.state_dir = directory_ / agent_name / "state";
  options.bpffs_dir = directory_ / agent_name / "pins";
  options.node_name = agent_name;
  options.listeners_per_direction = 2;
  return options;
}

std::unique_ptr<agent::Redirect> Rig::open(const std::string& agent_name) const {
  auto redirect = agent::Redirect::open(options(agent_name));
  if (!redirect) FAIL(redirect.error().describe());
  return std::move(*redirect);
}

fs::path Rig::make_cgroup(const std::string& name) {
  fs::path path = cgroup_root() / (directory_.filename().string() + "-" + name);
  for (fs::path part = cgroup_root(); const fs::path& step : fs::relative(path, cgroup_root())) {
    part /= step;
    if (fs::create_directory(part)) cgroups_.push_back(part);
  }
  return path;
}

void Rig::in_cgroup(const fs::path& cgroup, const std::function<void()>& work) const {
  std::ofstream(cgroup / "cgroup.procs") << ::getpid() << std::flush;
  work();
  std::ofstream(cgroup_root() / "cgroup.procs") << ::getpid() << std::flush;
}

Fd make_socket(const TestPod* pod, int family, int protocol) {
  auto make = [&]() -> Result<int> { return ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol); };
  Result<int> fd = pod ? in_netns(pod->netns.get(), make) : make();
  REQUIRE(fd);
  REQUIRE(*fd >= 0);
  return Fd(*fd);
}

Attempt dial(Fd socket, const std::string& ip, uint16_t port, bool as_v6, std::chrono::milliseconds limit) {
  SocketAddress to{.ip = *Ip::parse(ip), .port = port};
  sockaddr_storage address{};
  socklen_t length = to.to_sockaddr(address, as_v6);
  auto start = std::chrono::steady_clock::now();
  Attempt attempt{.socket = std::move(socket)};
  ::fcntl(attempt.socket.get(), F_SETFL, O_NONBLOCK);
  attempt.error =
      ::connect(attempt.socket.get(), reinterpret_cast<sockaddr*>(&address), length) < 0 ? errno : 0;
  if (attempt.error == EINPROGRESS) {
    pollfd wait{.fd = attempt.socket.get(), .events = POLLOUT, .revents = 0};
    attempt.error = ETIMEDOUT;
    socklen_t error_length = sizeof(attempt.error);
    if (::poll(&wait, 1, static_cast<int>(limit.count())) == 1)
      ::getsockopt(attempt.socket.get(), SOL_SOCKET, SO_ERROR, &attempt.error, &error_length);
  }
  ::fcntl(attempt.socket.get(), F_SETFL, 0);
  attempt.took =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  return attempt;
}

Attempt dial_from(const TestPod* pod, const std::string& ip, uint16_t port, bool as_v6) {
  return dial(make_socket(pod, as_v6 ? AF_INET6 : family_of(ip)), ip, port, as_v6);
}

Fd listen_in(const TestPod& pod, const ListenOptions& options) {
  Fd fd = make_socket(&pod, family_of(options.ip));
  int on = 1, v6only = options.v6only;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (options.reuseport) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  if (family_of(options.ip) == AF_INET6)
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
  sockaddr_storage address{};
  socklen_t length = SocketAddress{.ip = *Ip::parse(options.ip), .port = options.port}.to_sockaddr(address);
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  REQUIRE(::listen(fd.get(), 64) == 0);
  return fd;
}

uint16_t port_of(int fd) { return local_of(fd).port; }

std::optional<Fd> accept_within(int listener, std::chrono::milliseconds limit) {
  pollfd wait{.fd = listener, .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, static_cast<int>(limit.count())) != 1) return std::nullopt;
  Fd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(fd);
  return fd;
}

SocketAddress local_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  return *SocketAddress::from_sockaddr(reinterpret_cast<sockaddr*>(&address), length);
}

SocketAddress remote_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  REQUIRE(::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  return *SocketAddress::from_sockaddr(reinterpret_cast<sockaddr*>(&address), length);
}

uint32_t mark_of(int fd) {
  uint32_t mark = 0;
  socklen_t length = sizeof(mark);
  REQUIRE(::getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &length) == 0);
  return mark;
}

bool carries(int from, int to) {
  char word[4] = {};
  pollfd wait{.fd = to, .events = POLLIN, .revents = 0};
  return ::send(from, "weir", 4, MSG_NOSIGNAL) == 4 && ::poll(&wait, 1, 1000) == 1 &&
         ::recv(to, word, sizeof(word), 0) == 4 && std::string(word, 4) == "weir";
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

void capture(agent::Redirect& redirect, const TestPod& pod) {
  if (Status prepared = redirect.prepare(pod.spec()); !prepared) FAIL(prepared.error().describe());
  if (Status armed = redirect.arm(pod.uid); !armed) FAIL(armed.error().describe());
}

Attempt dial_application(const TestPod& pod, const std::string& ip, uint16_t port, const AppDial& how) {
  Fd socket = make_socket(&pod, family_of(ip));
  int on = 1;
  uint32_t mark = WEIR_MARK_CAPTURED | (how.exempt_mark ? WEIR_MARK_EXEMPT : 0);
  bool v4 = family_of(ip) == AF_INET;
  REQUIRE(::setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0);
  REQUIRE(::setsockopt(socket.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT,
                       &on, sizeof(on)) == 0);
  sockaddr_storage address{};
  socklen_t length =
      SocketAddress{.ip = *Ip::parse(how.client_ip), .port = how.client_port}.to_sockaddr(address);
  REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  return dial(std::move(socket), ip, port);
}

}  // namespace weir::test
