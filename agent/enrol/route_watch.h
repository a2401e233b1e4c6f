#pragma once
// Hears at once when somebody changes rules or routes in a captured pod's namespace (rtnetlink), instead of at the next
// round of checks: what the change let out is then a matter of milliseconds.
//
// Concept: one netlink socket per pod, opened in its namespace, readable when anything of interest changed; what
// changed is not read, as the check that follows looks at everything. Owner: the app. Thread: the loop's.
// Source: rtnetlink(7), groups RTNLGRP_*_RULE, RTNLGRP_*_ROUTE. A socket pins its namespace: follow() closes the
// sockets of pods that left.
#include <functional>
#include <map>
#include <string>

#include "agent/loop/loop.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent {

class RouteWatch {
 public:
  RouteWatch(Loop& loop, std::function<void(const std::string& uid)> changed);
  ~RouteWatch();
  RouteWatch(const RouteWatch&) = delete;
  RouteWatch& operator=(const RouteWatch&) = delete;

  // Watches these pods (uid → cookie and descriptor of the namespace, borrowed) and no others. Errors of one pod do
  // not concern the rest; the first is returned.
  struct Namespace {
    uint64_t cookie = 0;
    int fd = -1;
  };
  Status follow(const std::map<std::string, Namespace>& pods);

 private:
  struct Watched {
    uint64_t cookie = 0;
    Fd socket;
  };

  Loop& loop_;
  std::function<void(const std::string&)> changed_;
  std::map<std::string, Watched> watched_;
};

}  // namespace weir::agent
