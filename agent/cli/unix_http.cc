// Connect, send, read to the end. See unix_http.h.
#include "agent/cli/unix_http.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "nodeproxy/base/fd.h"

namespace weir::agent {
namespace {

constexpr time_t kSilenceSeconds = 15;
constexpr size_t kAnswerMaxBytes = 256 * 1024 * 1024;

}  // namespace

Result<HttpAnswer> get_unix(const std::string& socket_path, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) {
    return fail(Source::local, Reason::bad_config, "socket path is longer than 107 bytes: " + socket_path);
  }
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail_errno(Source::local, socket_path, errno);
  }
  const timeval silence{kSilenceSeconds, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
  const std::string request = fmt::format("GET {} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n", path);
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return fail_errno(Source::local, socket_path, errno);
  }
  std::string answer;
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t got = ::recv(fd.get(), buffer, sizeof(buffer), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN)
      return fail(Source::local, Reason::connect_timeout, socket_path + " is silent");
    if (got < 0) return fail_errno(Source::local, socket_path, errno);
    if (got == 0) break;
    answer.append(buffer, static_cast<size_t>(got));
    if (answer.size() > kAnswerMaxBytes) return fail(Source::local, Reason::overloaded, "an endless answer");
  }
  HttpAnswer out;
  const size_t end = answer.find("\r\n\r\n");
  if (end == std::string::npos || std::sscanf(answer.c_str(), "HTTP/1.%*1d %3d", &out.status) != 1) {
    return fail(Source::local, Reason::protocol_error, socket_path + " answers no HTTP");
  }
  out.body = answer.substr(end + 4);
  return out;
}

}  // namespace weir::agent
