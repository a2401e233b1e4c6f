// The connect loop and the four kinds of sockets the proxy makes. See connect.h.
#include "nodeproxy/net/connect.h"

#include <algorithm>
#include <cerrno>

#include "bpf/abi.h"

namespace weir::net {
namespace {

constexpr int kPortTries = 16;  // ports in use by a flow between the same two addresses are passed over

bool port_taken(const Error& error) { return error.os_code == EADDRINUSE || error.os_code == EADDRNOTAVAIL; }

}  // namespace

io::Task<Result<io::Socket>> connect(io::Driver& driver, ConnectPlan plan) {
  const io::TimePoint last = std::min<io::TimePoint>(driver.now() + limits::connect_timeout, plan.deadline);
  auto patience = plan.retry_after;
  bool retried = false;
  for (int taken = 0;;) {
    if (plan.ports) plan.spec.bind.port = plan.ports->next();
    const auto fd = driver.open_socket(plan.spec);
    if (!fd) {
      if (!plan.ports || !port_taken(fd.error())) co_return std::unexpected(fd.error());
      if (++taken == kPortTries) co_return fail(Source::local, Reason::ports_exhausted, fd.error().os_code);
      plan.ports->jump();
      continue;
    }
    io::Socket socket(driver, *fd);
    const bool may_retry = plan.ports && patience.count() > 0;
    const io::TimePoint deadline = may_retry ? std::min(last, driver.now() + patience) : last;
    const Status status = co_await socket.connect(plan.to, deadline);
    if (status) co_return std::move(socket);
    if (plan.ports && port_taken(status.error())) {
      if (++taken == kPortTries)
        co_return fail(Source::local, Reason::ports_exhausted, status.error().os_code);
      plan.ports->jump();
      continue;
    }
    const bool silent = status.error().reason == Reason::connect_timeout && driver.now() < last;
    if (!silent || !may_retry) co_return std::unexpected(status.error());
    patience = retried ? io::Clock::duration(limits::connect_timeout) : patience * 2;
    retried = true;
  }
}

ConnectPlan to_application(int netns_fd, const Ip& client, const SocketAddress& to, SourcePorts& ports) {
  io::SocketSpec spec{.netns_fd = netns_fd, .bind = {client, 0}, .v6 = !to.ip.is_v4()};
  spec.transparent = true;
  spec.mark = WEIR_MARK_CAPTURED | WEIR_MARK_EXEMPT;
  spec.reset_on_close = true;
  return {spec, to, &ports, limits::app_connect_retry, io::kNever};
}

ConnectPlan to_local_pod(int client_netns_fd, const Ip& client, const SocketAddress& to, SourcePorts& ports) {
  io::SocketSpec spec{.netns_fd = client_netns_fd, .bind = {client, 0}, .v6 = !to.ip.is_v4()};
  spec.mark = WEIR_MARK_EXEMPT;
  spec.reset_on_close = true;
  return {spec, to, &ports, limits::app_connect_retry, io::kNever};
}

ConnectPlan to_proxy(int netns_fd, const Ip& source, const SocketAddress& to, SourcePorts& ports) {
  io::SocketSpec spec{.netns_fd = netns_fd, .bind = {source, 0}, .v6 = !to.ip.is_v4()};
  spec.user_timeout_ms = limits::tcp_user_timeout_ms;
  spec.notsent_lowat_bytes = limits::lane_notsent_lowat_bytes;
  return {spec, to, &ports, {}, io::kNever};
}

ConnectPlan to_outside(int netns_fd, const Ip& source, const SocketAddress& to) {
  io::SocketSpec spec{.netns_fd = netns_fd, .bind = {source, 0}, .v6 = !to.ip.is_v4()};
  spec.keepalive = true;
  spec.reset_on_close = true;
  return {spec, to, nullptr, {}, io::kNever};
}

}  // namespace weir::net
