// stat and setns. See netns.h.
#include "agent/enrol/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

#include "agent/loop/files.h"
#include "agent/redirect/netlink.h"
#include "agent/redirect/netns.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent {

std::optional<NamespaceId> namespace_id(const std::filesystem::path& path) {
  struct statfs filesystem{};
  struct stat file{};
  if (::statfs(path.c_str(), &filesystem) != 0 || filesystem.f_type != NSFS_MAGIC) return std::nullopt;
  if (::stat(path.c_str(), &file) != 0) return std::nullopt;
  return NamespaceId{file.st_dev, file.st_ino};
}

Result<std::pair<uint16_t, uint16_t>> local_port_range(int netns_fd) {
  Result<std::string> text = fail(Source::agent, Reason::internal);
  // /proc/sys/net shows the namespace of the thread that opens it (net/sysctl_net.c).
  std::thread([&] {
    if (::setns(netns_fd, CLONE_NEWNET) != 0) {
      text = fail_errno(Source::agent, "entering a pod's network namespace", errno);
      return;
    }
    text = read_small_file("/proc/sys/net/ipv4/ip_local_port_range");
  }).join();
  if (!text) return std::unexpected(text.error());
  unsigned first = 0, last = 0;
  if (std::sscanf(text->c_str(), "%u %u", &first, &last) != 2 || first > 65535 || last > 65535) {
    return fail(Source::agent, Reason::io, "net.ipv4.ip_local_port_range reads: " + *text);
  }
  return std::pair{static_cast<uint16_t>(first), static_cast<uint16_t>(last)};
}

Result<NamespaceView> look_inside(int netns_fd) {
  return redirect::in_netns(netns_fd, []() -> Result<NamespaceView> {
    auto netlink = redirect::Netlink::open(NETLINK_ROUTE);
    if (!netlink) return std::unexpected(netlink.error());
    NamespaceView view;
    const auto add_address = [&](const nlmsghdr& header) {
      redirect::for_each_attribute(
          header, sizeof(ifaddrmsg), [&](uint16_t type, std::span<const uint8_t> data) {
            // IFA_LOCAL is the own end of a point-to-point link, where IFA_ADDRESS is the other.
            const bool v4 = data.size() == 4;
            if (type != IFA_LOCAL && !(type == IFA_ADDRESS && !v4)) return;
            const auto ip = Ip::from_bytes({reinterpret_cast<const char*>(data.data()), data.size()});
            if (ip) view.addresses.insert(*ip);
          });
    };
    const ifaddrmsg all_addresses{};
    auto asked = netlink->query({RTM_GETADDR, NLM_F_DUMP, all_addresses}, add_address);
    if (!asked) return std::unexpected(asked.error());
    const ifinfomsg all_links{};
    asked = netlink->query({RTM_GETLINK, NLM_F_DUMP, all_links}, [&](const nlmsghdr& header) {
      redirect::for_each_attribute(
          header, sizeof(ifinfomsg), [&](uint16_t type, std::span<const uint8_t> data) {
            if (type != IFLA_IFNAME || data.empty()) return;
            view.links.emplace_back(reinterpret_cast<const char*>(data.data()),
                                    ::strnlen(reinterpret_cast<const char*>(data.data()), data.size()));
          });
    });
    if (!asked) return std::unexpected(asked.error());
    return view;
  });
}

bool owns_addresses(int netns_fd, const std::vector<std::string>& addresses) {
  const auto inside = look_inside(netns_fd);
  return inside && std::ranges::all_of(addresses, [&](const std::string& text) {
           const auto address = Ip::parse(text);
           return address && inside->addresses.contains(*address);
         });
}

}  // namespace weir::agent
