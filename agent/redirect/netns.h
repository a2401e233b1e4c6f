// Work inside a pod's network namespace.
//
// setns() moves one thread, and a thread that cannot come back is lost; so every visit is a thread of its own that
// enters, works and ends (20 µs). /proc/sys/net, netlink sockets, new sockets and bpf iterators all follow the
// thread. Thread: any; the caller blocks until the visit is over.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent::redirect {

// Fails when the path is not a network namespace.
Result<Fd> open_netns(const std::filesystem::path& path);

// Another descriptor of the same one.
Result<Fd> duplicate_netns(int netns_fd);

// setns of the calling thread; for in_netns only.
Status enter_netns(int netns_fd);

// Runs `work` (returning a std::expected with Error) inside the namespace.
template <typename Work>
std::invoke_result_t<Work> in_netns(int netns_fd, Work&& work) {
  std::optional<std::invoke_result_t<Work>> result;
  std::thread visit([&] {
    if (Status entered = enter_netns(netns_fd); !entered)
      result.emplace(std::unexpected(entered.error()));
    else
      result.emplace(work());
  });
  visit.join();
  return std::move(*result);
}

// SO_NETNS_COOKIE: not reused during a boot. Of the calling thread's namespace, or of another.
Result<uint64_t> own_netns_cookie();
Result<uint64_t> netns_cookie(int netns_fd);

// The inode by which links name a namespace.
Result<uint32_t> netns_inode(int netns_fd);

}  // namespace weir::agent::redirect
