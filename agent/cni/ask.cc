// connect, send, receive, each within what is left of the time. See ask.h.
#include "agent/cni/ask.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "nodeproxy/base/fd.h"

namespace weir::cni {
namespace {

std::string said(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

// Whether the descriptor became ready before the deadline.
bool wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd one{fd, events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::clamp<long long>(left, 0, 600'000)));
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return false;
  }
}

Fd connect_to(const std::string& path, std::string& why) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    why = "the socket's path is too long: " + path;
    return {};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // A full queue (EAGAIN) is an agent that does not accept: as if it were not there, the caller tries again.
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    why = said(path.c_str());
    return {};
  }
  return fd;
}

}  // namespace

Asked ask(const std::string& socket_path, const Question& question, Clock::time_point deadline) {
  Asked asked;
  const Fd fd = connect_to(socket_path, asked.why);
  if (!fd) return asked;
  const std::string line = to_line(question);
  for (size_t sent = 0; sent < line.size();) {
    const ssize_t put = ::send(fd.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (put > 0) {
      sent += static_cast<size_t>(put);
    } else if (put < 0 && errno == EAGAIN && wait_for(fd.get(), POLLOUT, deadline)) {
      continue;
    } else if (put < 0 && errno != EINTR) {
      asked.silent = errno == EAGAIN;
      asked.why = said("asking the agent");
      return asked;
    }
  }
  std::string answer;
  while (!answer.ends_with('\n')) {
    if (!wait_for(fd.get(), POLLIN, deadline)) {
      asked.silent = true;
      asked.why = "the agent has not answered in time";
      return asked;
    }
    char buffer[4096];
    const ssize_t got = ::recv(fd.get(), buffer, sizeof(buffer), 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) {
      asked.why = got == 0 ? "the agent ended before it answered" : said("the agent's answer");
      return asked;
    }
    answer.append(buffer, static_cast<size_t>(got));
    if (answer.size() > kLineMaxBytes) break;
  }
  asked.answer = read_answer(answer);
  if (!asked.answer) {
    asked.silent = true;
    asked.why = "the agent's answer cannot be understood";
  }
  return asked;
}

}  // namespace weir::cni
