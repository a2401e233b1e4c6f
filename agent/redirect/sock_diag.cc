// Parsing inet_diag messages into values, both families in one list.
#include "agent/redirect/sock_diag.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>

#include "agent/redirect/netlink.h"

namespace weir::agent::redirect {
namespace {

Ip ip_of(uint8_t family, const __be32* words) {
  if (family == AF_INET) {
    in_addr address{};
    std::memcpy(&address, words, sizeof(address));
    return Ip::from_v4(address);
  }
  in6_addr address{};
  std::memcpy(&address, words, sizeof(address));
  return Ip::from_v6(address);
}

DiagSocket parse(const nlmsghdr& answer) {
  const auto& message = *static_cast<const inet_diag_msg*>(NLMSG_DATA(&answer));
  DiagSocket socket;
  socket.family = message.idiag_family;
  socket.state = message.idiag_state;
  socket.id = message.id;
  socket.local = {ip_of(message.idiag_family, message.id.idiag_src), ntohs(message.id.idiag_sport)};
  socket.remote = {ip_of(message.idiag_family, message.id.idiag_dst), ntohs(message.id.idiag_dport)};
  std::memcpy(&socket.cookie, message.id.idiag_cookie, sizeof(socket.cookie));
  for_each_attribute(answer, sizeof(inet_diag_msg), [&](uint16_t type, std::span<const uint8_t> data) {
    if (type == INET_DIAG_MARK) socket.mark = attribute_u32(data);
    if (type == INET_DIAG_SKV6ONLY && !data.empty()) socket.v6only = data[0] != 0;
    if (type == INET_DIAG_CGROUP_ID && data.size() == sizeof(uint64_t))
      std::memcpy(&socket.cgroup_id, data.data(), sizeof(uint64_t));
  });
  return socket;
}

}  // namespace

Result<std::vector<DiagSocket>> tcp_sockets(uint32_t states) {
  auto netlink = Netlink::open(NETLINK_SOCK_DIAG);
  if (!netlink) return std::unexpected(netlink.error());
  std::vector<DiagSocket> found;
  for (uint8_t family : {AF_INET, AF_INET6}) {
    inet_diag_req_v2 request{};
    request.sdiag_family = family;
    request.sdiag_protocol = IPPROTO_TCP;
    request.idiag_states = states;
    Status status =
        netlink->query(NetlinkMessage(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request), [&](const nlmsghdr& answer) {
          if (answer.nlmsg_type == SOCK_DIAG_BY_FAMILY) found.push_back(parse(answer));
        });
    if (!status) return std::unexpected(status.error());
  }
  return found;
}

Status destroy_socket(const DiagSocket& socket) {
  auto netlink = Netlink::open(NETLINK_SOCK_DIAG);
  if (!netlink) return std::unexpected(netlink.error());
  inet_diag_req_v2 request{};
  request.sdiag_family = socket.family;
  request.sdiag_protocol = IPPROTO_TCP;
  request.idiag_states = 1u << socket.state;
  request.id = socket.id;
  Status status = netlink->request(NetlinkMessage(SOCK_DESTROY, 0, request));
  if (!status && status.error().os_code == ENOENT) return {};
  return status;
}

}  // namespace weir::agent::redirect
