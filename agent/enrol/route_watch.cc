// Netlink sockets in pods' namespaces. See route_watch.h.
#include "agent/enrol/route_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>

namespace weir::agent {
namespace {

Result<Fd> open_socket(int netns_fd) {
  Result<Fd> out = fail(Source::agent, Reason::internal);
  std::thread([&] {
    if (::setns(netns_fd, CLONE_NEWNET) != 0) {
      out = fail_errno(Source::kernel, "entering a pod's network namespace", errno);
      return;
    }
    Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      out = fail_errno(Source::kernel, "rtnetlink", errno);
      return;
    }
    for (const int group : {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE}) {
      if (::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0) {
        out = fail_errno(Source::kernel, "rtnetlink group", errno);
        return;
      }
    }
    out = std::move(fd);
  }).join();
  return out;
}

// Everything that has come, ENOBUFS (something was lost) included.
void drain(int fd) {
  char buffer[8192];
  for (int rounds = 0; rounds < 1000; ++rounds) {
    if (::recv(fd, buffer, sizeof(buffer), 0) < 0 && errno != ENOBUFS && errno != EINTR) return;
  }
}

}  // namespace

RouteWatch::RouteWatch(Loop& loop, std::function<void(const std::string&)> changed)
    : loop_(loop), changed_(std::move(changed)) {}

RouteWatch::~RouteWatch() {
  for (const auto& [uid, watched] : watched_) loop_.unwatch(watched.socket.get());
}

Status RouteWatch::follow(const std::map<std::string, Namespace>& pods) {
  std::erase_if(watched_, [&](const auto& entry) {
    const auto wanted = pods.find(entry.first);
    if (wanted != pods.end() && wanted->second.cookie == entry.second.cookie) return false;
    loop_.unwatch(entry.second.socket.get());
    return true;
  });
  Status first;
  for (const auto& [uid, ns] : pods) {
    if (watched_.contains(uid)) continue;
    auto socket = open_socket(ns.fd);
    if (!socket) {
      if (first) first = std::unexpected(socket.error());
      continue;
    }
    const int fd = socket->get();
    watched_[uid] = {ns.cookie, std::move(*socket)};
    loop_.watch(fd, POLLIN, [this, fd, uid = uid](short) {
      drain(fd);
      changed_(uid);
    });
  }
  return first;
}

}  // namespace weir::agent
