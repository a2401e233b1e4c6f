// Rules and routes over netlink, on the calling thread's namespace. Nothing is shelled out: a pod's image or the
// node may have no ip(8), and errors keep their errno.
#include "agent/redirect/routes.h"

#include <linux/fib_rules.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "agent/redirect/netlink.h"
#include "bpf/abi.h"

namespace weir::agent::redirect {
namespace {

constexpr std::array families = {AF_INET, AF_INET6};
constexpr uint32_t loopback_ifindex = 1;

const char* name(int family) { return family == AF_INET ? "IPv4" : "IPv6"; }

// IPv6 may be compiled out or its module absent.
bool no_such_family(const Error& error) {
  return error.os_code == EAFNOSUPPORT || error.os_code == EOPNOTSUPP;
}

const std::optional<Ip>& source_of(const PodRoutes& routes, int family) {
  return family == AF_INET ? routes.source4 : routes.source6;
}

// The barrier stands behind the loop and goes last: between somebody's `ip rule del` and its mending, marked packets
// would else take the main table and leave in plaintext.
enum class Rule : uint8_t { barrier, loop };
constexpr std::array rules = {Rule::barrier, Rule::loop};

uint32_t priority_of(Rule rule) { return rule == Rule::loop ? WEIR_RULE_PRIORITY : WEIR_BARRIER_PRIORITY; }
uint8_t action_of(Rule rule) { return rule == Rule::loop ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE; }

NetlinkMessage rule_message(uint16_t type, uint16_t flags, int family, Rule rule) {
  fib_rule_hdr header{};
  header.family = static_cast<uint8_t>(family);
  header.action = action_of(rule);
  NetlinkMessage message(type, flags, header);
  message.add_u32(FRA_PRIORITY, priority_of(rule));
  message.add_u32(FRA_FWMARK, WEIR_MARK_CAPTURED);
  message.add_u32(FRA_FWMASK, WEIR_MARK_CAPTURED);
  if (rule == Rule::loop) message.add_u32(FRA_TABLE, WEIR_TABLE);
  return message;
}

rtmsg route_header(int family, uint8_t type) {
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(family);
  header.rtm_table = RT_TABLE_UNSPEC;  // the number is too large for this field: RTA_TABLE has it
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_scope = type == RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  header.rtm_type = type;
  return header;
}

NetlinkMessage route_message(int family, const std::optional<Ip>& source) {
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE,
                         route_header(family, source ? RTN_LOCAL : RTN_UNREACHABLE));
  message.add_u32(RTA_TABLE, WEIR_TABLE);
  if (source) {
    std::string address = source->to_wire();
    message.add_u32(RTA_OIF, loopback_ifindex);
    message.add(RTA_PREFSRC, address.data(), address.size());
  }
  return message;
}

Status say(const char* what, int family, Status status) {
  if (status || no_such_family(status.error())) return {};
  return fail(Source::kernel, Reason::io, std::string(what) + " for " + name(family), status.error().os_code);
}

struct FoundRoute {
  int family = 0;
  uint8_t type = 0;
  std::string source;
};

Result<std::vector<FoundRoute>> routes_of_table(Netlink& netlink, int family) {
  std::vector<FoundRoute> found;
  rtmsg header{};
  header.rtm_family = static_cast<uint8_t>(family);
  NetlinkMessage message(RTM_GETROUTE, NLM_F_DUMP, header);
  message.add_u32(RTA_TABLE, WEIR_TABLE);
  Status status = netlink.query(std::move(message), [&](const nlmsghdr& answer) {
    if (answer.nlmsg_type != RTM_NEWROUTE) return;
    const auto& route = *static_cast<const rtmsg*>(NLMSG_DATA(&answer));
    FoundRoute one{.family = family, .type = route.rtm_type, .source = {}};
    uint32_t table = route.rtm_table;
    for_each_attribute(answer, sizeof(rtmsg), [&](uint16_t type, std::span<const uint8_t> data) {
      if (type == RTA_TABLE) table = attribute_u32(data);
      if (type == RTA_PREFSRC) one.source.assign(data.begin(), data.end());
    });
    if (table == WEIR_TABLE) found.push_back(std::move(one));
  });
  // ENOENT: with strict checking, a table that nobody ever used does not exist.
  if (!status && status.error().os_code != ENOENT && !no_such_family(status.error()))
    return std::unexpected(status.error());
  return found;
}

Result<bool> rule_exists(Netlink& netlink, int family, Rule rule) {
  bool found = false;
  fib_rule_hdr header{};
  header.family = static_cast<uint8_t>(family);
  Status status = netlink.query(NetlinkMessage(RTM_GETRULE, NLM_F_DUMP, header), [&](const nlmsghdr& answer) {
    uint32_t priority = 0, mark = 0, mask = 0, table = 0;
    for_each_attribute(answer, sizeof(fib_rule_hdr), [&](uint16_t type, std::span<const uint8_t> data) {
      if (type == FRA_PRIORITY) priority = attribute_u32(data);
      if (type == FRA_FWMARK) mark = attribute_u32(data);
      if (type == FRA_FWMASK) mask = attribute_u32(data);
      if (type == FRA_TABLE) table = attribute_u32(data);
    });
    const auto& head = *static_cast<const fib_rule_hdr*>(NLMSG_DATA(&answer));
    found |= priority == priority_of(rule) && mark == WEIR_MARK_CAPTURED && mask == WEIR_MARK_CAPTURED &&
             head.action == action_of(rule) && (rule == Rule::barrier || table == WEIR_TABLE);
  });
  if (!status && !no_such_family(status.error())) return std::unexpected(status.error());
  return found;
}

}  // namespace

Status install_routes(const PodRoutes& routes) {
  auto netlink = Netlink::open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  for (int family : families) {
    // The route first: a rule that leads to an empty table would let packets fall through to the next rule.
    auto wanted = source_of(routes, family);
    Status added = netlink->request(route_message(family, wanted));
    if (!added && family == AF_INET6 && wanted)  // IPv6 is switched off on lo: then there is nothing to reach
      added = netlink->request(route_message(family, std::nullopt));
    if (Status status = say("cannot add the route", family, added); !status) return status;
    for (Rule rule : rules) {
      auto exists = rule_exists(*netlink, family, rule);
      if (!exists) return std::unexpected(exists.error());
      if (*exists) continue;
      Status ruled = netlink->request(rule_message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family, rule));
      if (Status status = say("cannot add the rule", family, ruled); !status) return status;
    }
  }
  return {};
}

Status remove_routes() {
  auto netlink = Netlink::open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  for (int family : families) {
    for (Rule rule : {Rule::loop, Rule::barrier}) {
      Status unruled = netlink->request(rule_message(RTM_DELRULE, 0, family, rule));
      if (!unruled && unruled.error().os_code != ENOENT)
        if (Status status = say("cannot remove the rule", family, unruled); !status) return status;
    }
    auto routes = routes_of_table(*netlink, family);
    if (!routes) return std::unexpected(routes.error());
    for (const FoundRoute& route : *routes) {
      NetlinkMessage message(RTM_DELROUTE, 0, route_header(family, route.type));
      message.add_u32(RTA_TABLE, WEIR_TABLE);
      Status removed = netlink->request(std::move(message));
      if (!removed && removed.error().os_code != ESRCH)
        if (Status status = say("cannot remove the route", family, removed); !status) return status;
    }
  }
  return {};
}

Result<std::vector<std::string>> missing_routes(const PodRoutes& routes) {
  auto netlink = Netlink::open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  std::vector<std::string> missing;
  for (int family : families) {
    const auto& source = source_of(routes, family);
    for (Rule rule : rules) {
      auto exists = rule_exists(*netlink, family, rule);
      if (!exists) return std::unexpected(exists.error());
      if (!*exists && (family == AF_INET || source))
        missing.push_back((rule == Rule::loop ? "no ip rule for " : "no barrier rule for ") +
                          std::string(name(family)));
    }
    if (!source) continue;
    auto found = routes_of_table(*netlink, family);
    if (!found) return std::unexpected(found.error());
    bool present = false;
    for (const FoundRoute& route : *found)
      present |= route.type == RTN_LOCAL && route.source == source->to_wire();
    if (!present) missing.push_back(std::string("no looping route with src ") + source->to_string());
  }
  return missing;
}

Result<bool> loops(const Ip& destination) {
  auto netlink = Netlink::open(NETLINK_ROUTE);
  if (!netlink) return std::unexpected(netlink.error());
  rtmsg header{};
  header.rtm_family = destination.is_v4() ? AF_INET : AF_INET6;
  header.rtm_dst_len = destination.is_v4() ? 32 : 128;
  if (destination.is_v4())
    header.rtm_flags = RTM_F_LOOKUP_TABLE;  // IPv6 always says the table, and refuses flags
  NetlinkMessage message(RTM_GETROUTE, 0, header);
  std::string address = destination.to_wire();
  message.add(RTA_DST, address.data(), address.size());
  message.add_u32(RTA_MARK, WEIR_MARK_CAPTURED);
  bool looped = false;
  Status status = netlink->query(std::move(message), [&](const nlmsghdr& answer) {
    const auto& route = *static_cast<const rtmsg*>(NLMSG_DATA(&answer));
    uint32_t table = route.rtm_table;
    for_each_attribute(answer, sizeof(rtmsg), [&](uint16_t type, std::span<const uint8_t> data) {
      if (type == RTA_TABLE) table = attribute_u32(data);
    });
    looped = route.rtm_type == RTN_LOCAL && table == WEIR_TABLE;
  });
  if (!status) return std::unexpected(status.error());
  return looped;
}

}  // namespace weir::agent::redirect
