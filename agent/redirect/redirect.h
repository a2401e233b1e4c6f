// Capture, as the rest of the agent sees it: one Redirect per agent, one entry per pod.
//
// Concept: capture.md. A pod goes prepare → arm → disarm → remove; only between arm and disarm are its
// connections redirected. What prepare changes in a pod is written to the state directory before it is
// changed, so that any later process (a restarted agent, `weir-agent uninstall`) can put it back.
// Owner: the agent's main object. Thread: every method from one thread; each blocks for milliseconds and
// enters pods' namespaces only on short-lived threads of its own. Destroying a Redirect leaves programs,
// pins and captured pods in place: fail closed. Only remove() and uninstall() take capture away.
// Errors: Error values whose text names the pod and the step.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent {

struct PodSpec {
  std::string uid;
  // E.g. /run/netns/NAME. Where it may come to mean another namespace (/proc/PID/ns/net), netns_fd says which is meant
  // now and the path is only remembered.
  std::filesystem::path netns_path;
  std::vector<std::string> addresses;  // all of the pod's addresses, textual, IPv4 and IPv6
  int netns_fd = -1;                   // borrowed for the call
};

struct RedirectOptions {
  std::filesystem::path cgroup_root = "/sys/fs/cgroup/unified";
  // A directory of this agent on a bpffs; if it is not on one, a bpffs is mounted there (and unmounted by
  // uninstall). Its last component must not hold a dot: bpffs reserves them.
  std::filesystem::path bpffs_dir;
  std::filesystem::path state_dir;  // what was saved, and the lock that makes one agent active
  // Of bpf/abi.h; another one only where the change from one to another is tested. 0: this program's.
  unsigned schema = 0;
  std::string node_name;
  unsigned listeners_per_direction = 1;  // members of each SO_REUSEPORT group: one per proxy worker
  // cgroup v2 id of the agent itself (see cgroup_of_pid); its sockets may bind the listener port.
  uint64_t agent_cgroup_id = 0;
  // Below this cgroup run pods: connections of hostNetwork pods are not the node's own. Empty: kubepods.slice
  // or kubepods under cgroup_root, whichever exists.
  std::filesystem::path kubepods_cgroup;
  // The node's network namespace, whose own connections (probes) are exempt. Empty: the caller's.
  std::filesystem::path node_netns;
  // Finds the namespace of a pod of an earlier agent when the remembered path does not lead to it any more. May be
  // empty. Whether it is the same namespace is checked here, by its cookie.
  std::function<Result<Fd>(const PodSpec&)> find_netns;
};

// Descriptors of one pod, borrowed from the Redirect: valid until the pod is removed or its listeners are
// replaced. Blocking sockets (io_uring wants them so), close-on-exec, listening.
struct PodListeners {
  int netns_fd = -1;
  uint64_t netns_cookie = 0;
  uint16_t port = 0;
  std::vector<int> outbound;
  std::vector<int> inbound;
};

// A pod found in the state directory and the pins when the Redirect was opened.
struct KnownPod {
  PodSpec spec;
  bool armed = false;          // still captured: its connections are redirected now
  bool has_listeners = false;  // this process holds descriptors of its listeners
  // Captured by programs of another schema: they stay until prepare() and arm() are done.
  bool by_other = false;
};

struct CheckResult {
  std::string name;  // stable snake_case name, for metrics and weirctl
  bool ok = false;
  std::string detail;  // one sentence
};

struct RedirectCounters {
  uint64_t connects_captured = 0;
  uint64_t connects_refused = 0;
  uint64_t connects_device_cleared = 0;
  uint64_t connects_device_refused = 0;
  uint64_t connects_own_address = 0;
  uint64_t binds_refused = 0;
  uint64_t steered_outbound = 0;
  uint64_t steered_inbound = 0;
  uint64_t steered_exempt = 0;
  uint64_t dropped_no_listener = 0;
  uint64_t dropped_closed_port = 0;
  uint64_t dropped_listener_port = 0;
  uint64_t exempt_added = 0;
  uint64_t exempt_removed = 0;
  uint64_t exempt_failed = 0;
  uint64_t listen_up = 0;
  uint64_t listen_down = 0;
  uint64_t listen_failed = 0;
  uint64_t exempt_entries = 0;   // gauge
  uint64_t listening_ports = 0;  // gauge: (pod, port, family class) with at least one listener
  uint64_t pods_armed = 0;       // gauge
};

struct Reconciliation {
  uint64_t listen_counts_corrected = 0;
  uint64_t exempt_entries_swept = 0;
};

struct CgroupInfo {
  uint64_t id = 0;
  std::string path;             // below the cgroup root, "/" for the root itself
  std::vector<int> other_pids;  // other processes in the same cgroup
};

// The v2 cgroup of a process. Fails when the process is gone or cgroup_root is not a cgroup v2 mount.
std::expected<CgroupInfo, Error> cgroup_of_pid(int pid, const std::filesystem::path& cgroup_root);

class Redirect {
 public:
  // Loads the programs, or adopts those pinned by an earlier agent: links are updated in place and never
  // detached. Takes the lock of the state directory; fails when another agent holds it. Pods of an earlier
  // agent are in known_pods() and still captured.
  static std::expected<std::unique_ptr<Redirect>, Error> open(RedirectOptions options);
  ~Redirect();
  Redirect(const Redirect&) = delete;
  Redirect& operator=(const Redirect&) = delete;

  std::vector<KnownPod> known_pods() const;

  // Everything but the capture itself: sysctls, rule and routes, listeners, the sk_lookup instance, the seeded
  // LISTEN counts. Idempotent: for a known pod it brings addresses and missing parts up to date and leaves
  // listeners alone that it holds or that a proxy still serves; opens new ones when nobody does. If the namespace
  // at netns_path is another than before, the old one is removed first. The node's own namespace is refused. On
  // error a new pod is put back; a known one stays as far as it got, captured if it was.
  std::expected<void, Error> prepare(const PodSpec& pod);

  // Removes programs and maps of other schemas, which an agent of another version left, once every pod that was found
  // captured is captured by ours: until then both are attached, and none is without.
  std::expected<void, Error> retire_other_schemas();

  // The last step of enrolment: one map entry. The pod must be prepared and hold listeners.
  std::expected<void, Error> arm(std::string_view uid);
  // The first step of unenrolment: new connections, both directions, pass Weir by. Flows that live go on.
  std::expected<void, Error> disarm(std::string_view uid);
  // Disarms, then restores the pod exactly: flows through the proxy that still live break. Works when the
  // namespace is gone. Not knowing the pod is success.
  std::expected<void, Error> remove(std::string_view uid);

  std::expected<PodListeners, Error> listeners(std::string_view uid) const;
  // Takes ownership of descriptors that a running proxy gave back and makes member 0 of each group the one in
  // the SOCKMAP. Fails, closing them, when one is no listener of this pod.
  std::expected<void, Error> adopt_listeners(std::string_view uid, const std::vector<int>& outbound,
                                             const std::vector<int>& inbound);
  // Whether both groups live, here or in a proxy that has them.
  bool served(std::string_view uid) const;
  // Opens new groups and swaps them into the SOCKMAP; the descriptors held before are closed.
  std::expected<void, Error> reopen_listeners(std::string_view uid);

  // Sockets made in this cgroup are a proxy's: never captured. Refuses the cgroup v2 root.
  std::expected<void, Error> add_proxy_cgroup(uint64_t cgroup_id);
  std::expected<void, Error> remove_proxy_cgroup(uint64_t cgroup_id);

  // Whether capture really is in place: each part is read back from the kernel or tried; no packet leaves.
  std::vector<CheckResult> check(std::string_view uid);

  RedirectCounters counters() const;
  // Corrects LISTEN counts against sock_diag and removes exemptions whose socket is gone. At adoption and
  // every minute.
  std::expected<Reconciliation, Error> reconcile();

  // SOCK_DESTROY of the application's connections that bypass the proxy because they are older than arm().
  // Returns how many.
  std::expected<uint64_t, Error> destroy_old_connections(std::string_view uid);
  // How many there are, ending none.
  std::expected<uint64_t, Error> old_connections(std::string_view uid);

  // Gone without a trace: every pod in the state directory restored, links and maps unpinned, the directory and
  // what open() created removed. No Redirect may be open on the same state directory. Carries on after a
  // failure and returns the first error.
  static std::expected<void, Error> uninstall(const RedirectOptions& options);

 private:
  struct Impl;
  explicit Redirect(std::unique_ptr<Impl> impl);
  std::expected<uint64_t, Error> visit_old_connections(std::string_view uid, bool destroy);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::agent
