// Request and answer over one netlink socket. Answers of an earlier, timed-out request are told by sequence number.
#include "agent/redirect/netlink.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>

namespace weir::agent::redirect {

NetlinkMessage::NetlinkMessage(uint16_t type, uint16_t flags, const void* header, size_t header_bytes)
    : bytes_(NLMSG_SPACE(header_bytes)) {
  nlmsghdr& h = this->header();
  h.nlmsg_len = static_cast<uint32_t>(bytes_.size());
  h.nlmsg_type = type;
  h.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  std::memcpy(bytes_.data() + NLMSG_HDRLEN, header, header_bytes);
}

void NetlinkMessage::add(uint16_t attribute, const void* data, size_t bytes) {
  size_t offset = bytes_.size();
  bytes_.resize(offset + RTA_SPACE(bytes));
  rtattr head{.rta_len = static_cast<uint16_t>(RTA_LENGTH(bytes)), .rta_type = attribute};
  std::memcpy(bytes_.data() + offset, &head, sizeof(head));
  std::memcpy(bytes_.data() + offset + RTA_LENGTH(0), data, bytes);
  header().nlmsg_len = static_cast<uint32_t>(bytes_.size());
}

Result<Netlink> Netlink::open(int protocol) {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd) return fail_errno(Source::kernel, "cannot open a netlink socket", errno);
  timeval patience{.tv_sec = 2, .tv_usec = 0};
  int receive_bytes = 4 * 1024 * 1024;
  int strict = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
      ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes)) < 0)
    return fail_errno(Source::kernel, "cannot set up a netlink socket", errno);
  // Dumps filtered by table where the kernel can; the callers filter again.
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict));
  return Netlink(std::move(fd));
}

Status Netlink::send(NetlinkMessage& message) {
  message.header().nlmsg_seq = ++sequence_;
  auto bytes = message.bytes();
  if (::send(fd_.get(), bytes.data(), bytes.size(), 0) < 0)
    return fail_errno(Source::kernel, "netlink send", errno);
  return {};
}

Status Netlink::request(NetlinkMessage message) {
  message.header().nlmsg_flags |= NLM_F_ACK;
  return query(std::move(message), [](const nlmsghdr&) {});
}

Status Netlink::query(NetlinkMessage message, const std::function<void(const nlmsghdr&)>& visit) {
  bool single = (message.header().nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP)) == 0;
  if (Status sent = send(message); !sent) return sent;
  alignas(nlmsghdr) std::array<uint8_t, 64 * 1024> buffer;
  for (;;) {
    ssize_t received = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return fail_errno(Source::kernel, "netlink receive", errno);
    auto left = static_cast<uint32_t>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_seq != sequence_) continue;  // the rest of an earlier answer
      if (header->nlmsg_type == NLMSG_DONE) return {};
      if (header->nlmsg_type == NLMSG_ERROR) {
        int code = -static_cast<nlmsgerr*>(NLMSG_DATA(header))->error;
        if (code == 0) return {};
        return fail(Source::kernel, Reason::io, "netlink request refused", code);
      }
      visit(*header);
      if (single) return {};
    }
  }
}

}  // namespace weir::agent::redirect
