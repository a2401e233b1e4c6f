// Accepting, admitting and replacing proxies. See proxy_server.h.
#include "agent/serve/proxy_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "nodeproxy/base/log.h"

namespace weir::agent {

ProxyServer::ProxyServer(Loop& loop, Options options, ProxyEvents events)
    : loop_(loop), options_(std::move(options)), outer_(std::move(events)), events_(outer_) {
  events_.on_hello = [this](ProxyLink& link) { hello(link); };
  events_.on_gone = [this](ProxyLink& link, const std::string& why) { gone(link, why); };
  events_.on_ack = [this](ProxyLink& link, const Sync::Outcome& outcome) {
    last_version_ = std::max(last_version_, link.sync().sent_version());
    if (outcome.applied) last_good_ = link.sync().last_good();
    outer_.on_ack(link, outcome);
  };
}

ProxyServer::~ProxyServer() {
  if (!listener_) return;
  loop_.unwatch(listener_.get());
  unlink_same(options_.socket_path, listener_inode_);
}

Status ProxyServer::listen() {
  auto listener = listen_unix(options_.socket_path, 0600);
  if (!listener) return std::unexpected(listener.error());
  listener_ = std::move(*listener);
  listener_inode_ = inode_of(options_.socket_path);
  loop_.watch(listener_.get(), POLLIN, [this](short) { accept_all(); });
  return {};
}

void ProxyServer::accept_all() {
  for (;;) {
    auto accepted = accept_unix(listener_.get());
    if (!accepted) return log::error("proxy socket: {}", accepted.error().describe());
    if (!*accepted) return;
    ucred peer{};
    socklen_t length = sizeof(peer);
    if (::getsockopt((*accepted)->get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) continue;
    if (peer.uid != 0 && peer.uid != ::geteuid()) {
      log_refusal("its user is " + std::to_string(peer.uid));
      continue;
    }
    const auto cgroup = options_.admit(peer.pid);
    if (!cgroup) {
      log_refusal(cgroup.error().describe());
      continue;
    }
    log::info("proxy connected, process {}", peer.pid);
    add(std::move(**accepted), peer.pid, *cgroup);
  }
}

void ProxyServer::log_refusal(const std::string& why) {
  const auto now = Loop::Clock::now();
  if (why == last_refusal_ && now - last_refusal_at_ < std::chrono::minutes(1)) return;
  last_refusal_ = why;
  last_refusal_at_ = now;
  log::error("a proxy was refused: {}", why);
}

void ProxyServer::add(Fd socket, pid_t pid, uint64_t cgroup_id) {
  ProxyLink::Options options{options_.node, pid, cgroup_id, next_link_++, last_good_, last_version_};
  links_.push_back(std::make_unique<ProxyLink>(loop_, std::move(socket), std::move(options), events_));
  if (wanted_) links_.back()->want(wanted_);
}

void ProxyServer::hello(ProxyLink& link) {
  if (active_ != nullptr)
    log::info("process {} serves beside process {}, which may be told to stop once this one is ready",
              link.pid(), active_->pid());
  active_ = &link;
  outer_.on_hello(link);
}

void ProxyServer::gone(ProxyLink& link, const std::string& why) {
  last_version_ = std::max(last_version_, link.sync().sent_version());
  if (active_ == &link) {
    active_ = nullptr;
    for (ProxyLink* other : links()) {
      if (other != &link) active_ = other;
    }
  }
  log::warn("proxy disconnected, process {}: {}", link.pid(), why);
  outer_.on_gone(link, why);
  std::erase_if(links_, [&](const auto& candidate) { return candidate.get() == &link; });
}

void ProxyServer::publish(std::shared_ptr<const Resources> wanted) {
  wanted_ = std::move(wanted);
  for (const auto& link : links_) link->want(wanted_);
}

ProxyLink* ProxyServer::link(uint64_t id) const {
  const auto found = std::ranges::find_if(links_, [id](const auto& link) { return link->id() == id; });
  return found == links_.end() ? nullptr : found->get();
}

std::vector<ProxyLink*> ProxyServer::links() const {
  std::vector<ProxyLink*> said_hello;
  for (const auto& link : links_) {
    if (link->said_hello() && !link->closed()) said_hello.push_back(link.get());
  }
  return said_hello;
}

bool ProxyServer::has_link_of_cgroup(uint64_t cgroup_id) const {
  return std::ranges::any_of(links_, [&](const auto& link) { return link->cgroup_id() == cgroup_id; });
}

}  // namespace weir::agent
