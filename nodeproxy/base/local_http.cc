// The administration server's poll loop, its parser and its answers. See local_http.h.
#include "nodeproxy/base/local_http.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include "nodeproxy/base/message_socket.h"

namespace weir {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kHeadMaxBytes = 8 * 1024;
constexpr size_t kBodyMaxBytes = 64 * 1024;
constexpr size_t kConnectionsMax = 64;
constexpr auto kConnectionTimeout = std::chrono::seconds(10);  // from accept to the last byte of the answer

std::string_view status_text(int status) {
  switch (status) {
    case 200: return "OK";
    case 202: return "Accepted";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    default: return "Answer";
  }
}

std::string render(const HttpResponse& response, bool with_body) {
  std::string out = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n"
      "X-Content-Type-Options: nosniff\r\n\r\n",
      response.status, status_text(response.status), response.content_type, response.body.size());
  if (with_body) out += response.body;
  return out;
}

std::string refuse(int status, std::string_view why) {
  return render({status, "text/plain; charset=utf-8", std::string(why) + "\n"}, true);
}

bool equals_nocase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return std::tolower(x) == std::tolower(y); });
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The length of the body that `head` announces: 0 without Content-Length, nullopt when it is doubtful (RFC 9112
// section 6.3: transfer codings, differing or malformed lengths).
std::optional<size_t> body_length(std::string_view head) {
  std::optional<size_t> length;
  size_t at = head.find("\r\n");
  while (at != std::string_view::npos && at + 2 < head.size()) {
    const size_t end = head.find("\r\n", at + 2);
    const std::string_view line = head.substr(at + 2, end - at - 2);
    at = end;
    const size_t colon = line.find(':');
    if (line.empty()) break;
    if (colon == std::string_view::npos || line.front() == ' ' || line.front() == '\t') return std::nullopt;
    const std::string_view name = line.substr(0, colon), value = trim(line.substr(colon + 1));
    if (equals_nocase(name, "transfer-encoding")) return std::nullopt;
    if (!equals_nocase(name, "content-length")) continue;
    size_t number = 0;
    auto [stop, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || stop != value.data() + value.size() || (length && *length != number)) {
      return std::nullopt;
    }
    length = number;
  }
  return length.value_or(0);
}

}  // namespace

std::string_view HttpRequest::query_value(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == name) {
      return equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    }
  }
  return {};
}

struct LocalHttp::Connection {
  Fd fd;
  Access access;
  Clock::time_point deadline;
  std::string in;
  std::string out;
  size_t sent = 0;
};

LocalHttp::LocalHttp() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

LocalHttp::~LocalHttp() { stop(); }

void LocalHttp::on(std::string method, std::string path, Access access, Handler handler) {
  routes_[{std::move(path), std::move(method)}] = {access, std::move(handler)};
}

Status LocalHttp::listen_unix(const std::string& path, unsigned mode, bool take_over) {
  auto fd = weir::listen_unix(path, mode, take_over);
  if (!fd) return std::unexpected(fd.error());
  unix_path_ = path;
  unix_inode_ = inode_of(path);
  listeners_.push_back({std::move(*fd), Access::local});
  return {};
}

Status LocalHttp::listen_tcp(const SocketAddress& address) {
  sockaddr_storage storage;
  const socklen_t length = address.to_sockaddr(storage);
  Fd fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int one = 1;
  if (fd) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) != 0 ||
      ::listen(fd.get(), 64) != 0) {
    return fail_errno(Source::local, address.to_string(), errno);
  }
  sockaddr_storage bound{};
  socklen_t bound_length = sizeof(bound);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &bound_length);
  tcp_address_ =
      SocketAddress::from_sockaddr(reinterpret_cast<sockaddr*>(&bound), bound_length).value_or(address);
  listeners_.push_back({std::move(fd), Access::anywhere});
  return {};
}

Status LocalHttp::start() {
  if (!wake_) return fail(Source::local, Reason::out_of_descriptors, "eventfd of the administration server");
  thread_ = std::thread([this] { serve(); });
  return {};
}

void LocalHttp::stop() {
  stopping_.store(true);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
  if (thread_.joinable()) thread_.join();
  listeners_.clear();
  unlink_same(unix_path_, std::exchange(unix_inode_, 0));
}

void LocalHttp::serve() {
  std::vector<Connection> connections;
  std::vector<pollfd> polled;
  while (!stopping_.load()) {
    polled.assign(1, {wake_.get(), POLLIN, 0});
    // Full: the waiting connections stay in the backlog until a deadline or an answer frees a place.
    const short want = connections.size() < kConnectionsMax ? POLLIN : 0;
    for (const auto& listener : listeners_) polled.push_back({listener.fd.get(), want, 0});
    auto next = Clock::now() + std::chrono::hours(1);
    for (const auto& connection : connections) {
      const short events = connection.out.empty() ? POLLIN : POLLOUT;
      polled.push_back({connection.fd.get(), events, 0});
      next = std::min(next, connection.deadline);
    }
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    ::poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(0, wait)));

    const auto now = Clock::now();
    const size_t first = 1 + listeners_.size();
    for (size_t i = connections.size(); i-- > 0;) {
      const short events = polled[first + i].revents;
      const bool keep = now < connections[i].deadline && (events == 0 || advance(connections[i], events));
      if (!keep) connections.erase(connections.begin() + static_cast<ptrdiff_t>(i));
    }
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (polled[1 + i].revents != 0) accept_from(listeners_[i], connections);
    }
  }
}

void LocalHttp::accept_from(const Listener& listener, std::vector<Connection>& connections) {
  while (connections.size() < kConnectionsMax) {
    Fd fd(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      // Without descriptors the listener stays readable: pause instead of spinning.
      if (errno == EMFILE || errno == ENFILE) ::poll(nullptr, 0, 100);
      return;
    }
    connections.push_back({std::move(fd), listener.access, Clock::now() + kConnectionTimeout, {}, {}, 0});
  }
}

// Reads or writes what is possible; false when the connection is done with.
bool LocalHttp::advance(Connection& connection, short events) {
  if (connection.out.empty()) {
    char buffer[4096];
    const ssize_t got = ::recv(connection.fd.get(), buffer, sizeof(buffer), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    connection.in.append(buffer, static_cast<size_t>(got));
    const size_t end = connection.in.find("\r\n\r\n");
    if (end == std::string::npos) {
      if (connection.in.size() <= kHeadMaxBytes) return true;
      connection.out = refuse(431, "the request's head is longer than 8 KiB");
    } else {
      const std::string_view head(connection.in.data(), end + 2);
      const auto length = body_length(head);
      if (head.size() > kHeadMaxBytes) {
        connection.out = refuse(431, "the request's head is longer than 8 KiB");
      } else if (!length) {
        connection.out = refuse(400, "bad header");
      } else if (*length > kBodyMaxBytes) {
        connection.out = refuse(413, "the request's body is longer than 64 KiB");
      } else if (connection.in.size() - (end + 4) < *length) {
        return true;
      } else {
        connection.out = answer(head, connection.in.substr(end + 4, *length), connection.access);
      }
    }
  } else if ((events & (POLLERR | POLLNVAL)) != 0) {
    return false;
  }
  while (connection.sent < connection.out.size()) {
    const ssize_t put = ::send(connection.fd.get(), connection.out.data() + connection.sent,
                               connection.out.size() - connection.sent, MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN || errno == EINTR;
    connection.sent += static_cast<size_t>(put);
  }
  return false;
}

std::string LocalHttp::answer(std::string_view head, std::string body, Access access) const {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last || !line.substr(last + 1).starts_with("HTTP/1.")) {
    return refuse(400, "bad request line");
  }
  const std::string_view method = line.substr(0, first), target = line.substr(first + 1, last - first - 1);
  if (target.empty() || target.front() != '/' || target.find_first_of(" \t") != std::string_view::npos) {
    return refuse(400, "bad request target");
  }
  const size_t question = target.find('?');
  HttpRequest request{std::string(method), std::string(target.substr(0, question)),
                      question == std::string_view::npos ? "" : std::string(target.substr(question + 1)),
                      std::move(body)};
  const bool is_head = method == "HEAD";
  const auto route = routes_.find({request.path, is_head ? "GET" : request.method});
  if (route != routes_.end() && (access == Access::local || route->second.access == Access::anywhere)) {
    return render(route->second.handler(request), !is_head);
  }
  const bool other_method = std::ranges::any_of(routes_, [&](const auto& entry) {
    return entry.first.first == request.path &&
           (access == Access::local || entry.second.access == Access::anywhere);
  });
  return other_method ? refuse(405, "that path has another method") : refuse(404, "no such path");
}

}  // namespace weir
