// As much netlink as Weir needs: one request, one answer, in the calling thread's network namespace.
//
// A Netlink is a socket used by one thread, for one conversation after another; it lives for the few requests of one
// visit to a pod. Requests time out after 2 s, so that a bug never hangs the agent.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent::redirect {

// A request under construction: header, family header, attributes.
class NetlinkMessage {
 public:
  template <typename Header>
  NetlinkMessage(uint16_t type, uint16_t flags, const Header& header)
      : NetlinkMessage(type, flags, &header, sizeof(header)) {}
  NetlinkMessage(uint16_t type, uint16_t flags, const void* header, size_t header_bytes);

  void add(uint16_t attribute, const void* data, size_t bytes);
  void add_u32(uint16_t attribute, uint32_t value) { add(attribute, &value, sizeof(value)); }
  std::span<uint8_t> bytes() { return bytes_; }
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }

 private:
  std::vector<uint8_t> bytes_;
};

class Netlink {
 public:
  // `protocol`: NETLINK_ROUTE or NETLINK_SOCK_DIAG.
  static Result<Netlink> open(int protocol);

  // Sends and waits for the acknowledgement; the error carries the kernel's errno.
  Status request(NetlinkMessage message);
  // Sends and hands each answer to `visit`, until the dump or the single answer ends.
  Status query(NetlinkMessage message, const std::function<void(const nlmsghdr&)>& visit);

 private:
  explicit Netlink(Fd fd) : fd_(std::move(fd)) {}
  Status send(NetlinkMessage& message);

  Fd fd_;
  uint32_t sequence_ = 0;
};

// Visits the attributes between `first` and the end of the message.
template <typename Visit>
void for_each_attribute(const nlmsghdr& header, size_t family_header_bytes, Visit&& visit) {
  const auto* at = reinterpret_cast<const uint8_t*>(&header) + NLMSG_LENGTH(family_header_bytes);
  const auto* end = reinterpret_cast<const uint8_t*>(&header) + header.nlmsg_len;
  while (at + sizeof(rtattr) <= end) {
    rtattr attribute;
    std::memcpy(&attribute, at, sizeof(attribute));
    if (attribute.rta_len < sizeof(rtattr) || at + attribute.rta_len > end) return;
    visit(static_cast<uint16_t>(attribute.rta_type & NLA_TYPE_MASK),
          std::span(at + RTA_LENGTH(0), attribute.rta_len - RTA_LENGTH(0)));
    at += RTA_ALIGN(attribute.rta_len);
  }
}

inline uint32_t attribute_u32(std::span<const uint8_t> data) {
  uint32_t value = 0;
  std::memcpy(&value, data.data(), std::min(data.size(), sizeof(value)));
  return value;
}

}  // namespace weir::agent::redirect
