// A node made by the test itself: a namespace with a bridge, pods on it, an outsider, cgroups and state directories.
//
// Concept: no namespace has a name. They are made by unshare() and named by /proc/PID/fd/N, so that nothing survives
// the test program, whatever kills it; directories and cgroups carry the prefix wbpf- and are removed by the
// destructor. The test plays all parts: applications, proxy, agent.
// Owner: each test case has a Rig. Thread: the test's only thread, which moves into the node's namespace.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/redirect/netns.h"
#include "agent/redirect/redirect.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/ip.h"

namespace weir::test {

struct TestPod {
  std::string uid;
  Fd netns;
  std::filesystem::path netns_path;
  std::string ip4;
  std::string ip6;

  agent::PodSpec spec() const { return {.uid = uid, .netns_path = netns_path, .addresses = {ip4, ip6}}; }
  // Runs a shell command in the pod; what it prints.
  std::string run(const std::string& command) const;
};

class Rig {
 public:
  Rig();
  ~Rig();
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  TestPod& add_pod(const std::string& uid);
  void remove_pod(const std::string& uid);  // closes the last reference to its namespace

  agent::RedirectOptions options(const std::string& agent_name = "agent") const;
  // Opens a Redirect that must open.
  std::unique_ptr<agent::Redirect> open(const std::string& agent_name = "agent") const;

  // A cgroup below the root, removed by the destructor; `name` may hold a slash.
  std::filesystem::path make_cgroup(const std::string& name);
  // Runs `work` with this process in that cgroup: sockets it makes belong there.
  void in_cgroup(const std::filesystem::path& cgroup, const std::function<void()>& work) const;

  std::filesystem::path directory() const { return directory_; }
  std::filesystem::path cgroup_root() const { return "/sys/fs/cgroup/unified"; }

 private:
  std::filesystem::path directory_;
  std::vector<std::unique_ptr<TestPod>> pods_;
  std::vector<std::filesystem::path> cgroups_;
  int next_host_ = 10;
};

// --- Sockets -----------------------------------------------------------------------------------------------------
using namespace std::chrono_literals;

// A TCP socket made in a pod (or, with none, in the node). `family`: AF_INET or AF_INET6.
Fd make_socket(const TestPod* pod, int family, int protocol = 0);

struct Attempt {
  Fd socket;
  int error = 0;  // errno of connect(), ETIMEDOUT after the limit
  std::chrono::milliseconds took{0};
};
// connect() with a limit. `as_v6`: an IPv4 address is dialled as v4-mapped, from an AF_INET6 socket.
Attempt dial(Fd socket, const std::string& ip, uint16_t port, bool as_v6 = false,
             std::chrono::milliseconds limit = 1500ms);
// The same from a new socket of the pod, of the family that fits.
Attempt dial_from(const TestPod* pod, const std::string& ip, uint16_t port, bool as_v6 = false);

struct ListenOptions {
  std::string ip = "::";
  uint16_t port = 0;  // 0: any
  bool v6only = false;
  bool reuseport = false;
};
Fd listen_in(const TestPod& pod, const ListenOptions& options);
uint16_t port_of(int fd);

// The next connection of a listener, or nothing after the limit.
std::optional<Fd> accept_within(int listener, std::chrono::milliseconds limit = 1000ms);
SocketAddress local_of(int fd);
SocketAddress remote_of(int fd);
uint32_t mark_of(int fd);

// Sends a word one way and receives it, or false.
bool carries(int from, int to);

// Polls until `condition` holds.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = 3000ms);

// The pod is prepared and armed, or the test fails.
void capture(agent::Redirect& redirect, const TestPod& pod);

// How a proxy dials an application: in its namespace, from the client's address and a port of Weir's, marked.
struct AppDial {
  std::string client_ip;
  uint16_t client_port = 0;
  bool exempt_mark = true;
};
Attempt dial_application(const TestPod& pod, const std::string& ip, uint16_t port, const AppDial& how);

}  // namespace weir::test
