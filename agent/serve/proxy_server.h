#pragma once
// The Unix socket that proxies connect to. A connection is admitted by who it is (SO_PEERCRED: root or our own user,
// and the app's own check of its cgroup) before anything is said to it.
//
// Several proxies may be connected: while one replaces another, and as long as its predecessors drain. All are told all; the
// newest that said Hello is the active one, of which status and metrics speak. Owner: the app. Thread: the loop's.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/serve/proxy_link.h"

namespace weir::agent {

class ProxyServer {
 public:
  struct Options {
    std::string socket_path;
    std::string node;
    // The cgroup v2 id of a process that may be the proxy, already made known to capture; an error refuses it.
    std::function<Result<uint64_t>(pid_t)> admit;
  };

  ProxyServer(Loop& loop, Options options, ProxyEvents events);
  ~ProxyServer();
  ProxyServer(const ProxyServer&) = delete;
  ProxyServer& operator=(const ProxyServer&) = delete;

  Status listen();
  // A connection made by other means than listen(): tests.
  void add(Fd socket, pid_t pid, uint64_t cgroup_id);

  void publish(std::shared_ptr<const Resources> wanted);
  ProxyLink* active() const { return active_; }  // null: none that said Hello
  ProxyLink* link(uint64_t id) const;            // null: it is gone
  std::vector<ProxyLink*> links() const;         // that said Hello, oldest first
  bool has_link_of_cgroup(uint64_t cgroup_id) const;
  // Full state and quarantine start from here with a new proxy.
  uint64_t last_version() const { return last_version_; }

 private:
  void accept_all();
  void hello(ProxyLink& link);
  void gone(ProxyLink& link, const std::string& why);
  void log_refusal(const std::string& why);

  Loop& loop_;
  Options options_;
  ProxyEvents outer_, events_;
  Fd listener_;
  uint64_t listener_inode_ = 0;
  std::vector<std::unique_ptr<ProxyLink>> links_;
  ProxyLink* active_ = nullptr;
  std::shared_ptr<const Resources> wanted_, last_good_;
  uint64_t last_version_ = 0;
  uint64_t next_link_ = 1;
  std::string last_refusal_;  // the same one is logged once a minute
  Loop::Clock::time_point last_refusal_at_{};
};

}  // namespace weir::agent
