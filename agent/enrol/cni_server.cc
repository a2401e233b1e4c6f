// Lines in, lines out. See cni_server.h.
#include "agent/enrol/cni_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "nodeproxy/base/log.h"
#include "nodeproxy/base/message_socket.h"

namespace weir::agent {
namespace {

constexpr size_t kPeersMax = 1024;
constexpr auto kQuestionWait = std::chrono::seconds(5);  // for a whole line from a peer

}  // namespace

CniServer::CniServer(Loop& loop, std::string path, Events events)
    : loop_(loop), path_(std::move(path)), events_(std::move(events)) {}

CniServer::~CniServer() {
  while (!peers_.empty()) drop(peers_.begin()->first);
  if (!listener_) return;
  loop_.unwatch(listener_.get());
  ::unlink(path_.c_str());
}

Status CniServer::listen() {
  auto listener = listen_unix(path_, 0600);
  if (!listener) return std::unexpected(listener.error());
  listener_ = std::move(*listener);
  loop_.watch(listener_.get(), POLLIN, [this](short) { accept_all(); });
  return {};
}

void CniServer::accept_all() {
  for (;;) {
    auto accepted = accept_unix(listener_.get());
    if (!accepted) return log::error("the CNI plugin's socket: {}", accepted.error().describe());
    if (!*accepted) return;
    ucred peer{};
    socklen_t length = sizeof(peer);
    const int fd = (*accepted)->get();
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) continue;
    if ((peer.uid != 0 && peer.uid != ::geteuid()) || peers_.size() >= kPeersMax) {
      log::error("the CNI plugin's socket: user {} is refused, {} wait", peer.uid, peers_.size());
      continue;
    }
    const Id id = next_++;
    Peer& added = peers_[id];
    added.socket = std::move(**accepted);
    added.timer = loop_.after(kQuestionWait, [this, id] { drop(id); });
    loop_.watch(fd, POLLIN, [this, id](short) { readable(id); });
  }
}

void CniServer::readable(Id id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  char buffer[16 * 1024];
  const ssize_t got = ::recv(peer.socket.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0 || peer.asked) {  // the plugin ended; or it says more than its question, which it never does
    if (peer.asked) events_.gone(id);
    return drop(id);
  }
  peer.line.append(buffer, static_cast<size_t>(got));
  if (peer.line.ends_with('\n')) return take(id, peer);
  if (peer.line.size() > cni::kLineMaxBytes) drop(id);
}

void CniServer::take(Id id, Peer& peer) {
  const auto question = cni::read_question(peer.line);
  if (!question) {
    log::error("the CNI plugin's socket: what came is no question");
    return drop(id);
  }
  peer.asked = true;
  loop_.cancel(peer.timer);
  const auto wait = std::chrono::milliseconds(question->wait_ms);
  const auto margin = std::min(std::chrono::milliseconds(1000), wait / 5);
  peer.timer = loop_.after(wait - margin, [this, id] { events_.due(id); });
  events_.asked(id, *question);
}

void CniServer::answer(Id id, const cni::Answer& answer) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  const std::string line = cni::to_line(answer);
  // The socket's buffer is empty, and an answer is far below its size.
  if (::send(found->second.socket.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
      static_cast<ssize_t>(line.size())) {
    log::warn("the CNI plugin's socket: an answer did not reach it");
  }
  drop(id);
}

void CniServer::drop(Id id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  loop_.cancel(found->second.timer);
  loop_.unwatch(found->second.socket.get());
  peers_.erase(found);
}

}  // namespace weir::agent
