// Partial sends and receives of length-prefixed messages with descriptors. See message_socket.h.
//
// Each recvmsg asks for no more than the rest of the current length or body, so descriptors can only be those
// of the message being read (unix_stream_read_generic in the kernel glues a message without descriptors to a
// following one with some, and would otherwise leave us guessing whose they are).
#include "nodeproxy/base/message_socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace weir {
namespace {

// A hostile or broken length costs nothing until its bytes really come: the body grows in steps of this.
constexpr size_t kGrowBytes = 256 * 1024;

std::unexpected<Error> socket_error(std::string what, int os_code) {
  const bool gone = os_code == EPIPE || os_code == ECONNRESET;
  return fail(Source::local, gone ? Reason::peer_lost : reason_of_errno(os_code), std::move(what), os_code);
}

// All descriptors of the control data, owned.
void take_descriptors(msghdr& header, std::vector<Fd>& into) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
      into.emplace_back(fd);
    }
  }
}

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(Source::local, Reason::bad_config,
                "socket path '" + path + "' must have 1 to " + std::to_string(sizeof(address.sun_path) - 1) +
                    " bytes");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace

MessageSocket::MessageSocket(Fd socket, size_t message_max_bytes)
    : socket_(std::move(socket)), message_max_bytes_(message_max_bytes) {}

Status MessageSocket::queue(std::string_view bytes, std::span<const int> descriptors) {
  if (bytes.size() > message_max_bytes_ || bytes.size() > UINT32_MAX) {
    return fail(Source::local, Reason::overloaded,
                "message of " + std::to_string(bytes.size()) + " bytes, at most " +
                    std::to_string(message_max_bytes_) + " are allowed");
  }
  if (descriptors.size() > kDescriptorsMax) {
    return fail(Source::local, Reason::overloaded,
                "message with " + std::to_string(descriptors.size()) + " descriptors, the kernel takes " +
                    std::to_string(kDescriptorsMax));
  }
  if (queued_bytes_ + bytes.size() > 2 * message_max_bytes_) {
    return fail(Source::local, Reason::overloaded,
                "the other side does not read: " + std::to_string(queued_bytes_) + " bytes are queued");
  }
  Outgoing outgoing;
  for (const int descriptor : descriptors) {
    Fd copy(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
    if (!copy) return fail_errno(Source::local, "duplicating a descriptor to send", errno);
    outgoing.descriptors.push_back(std::move(copy));
  }
  const uint32_t length = htonl(static_cast<uint32_t>(bytes.size()));
  outgoing.bytes.reserve(sizeof(length) + bytes.size());
  outgoing.bytes.append(reinterpret_cast<const char*>(&length), sizeof(length));
  outgoing.bytes.append(bytes);
  queued_bytes_ += outgoing.bytes.size();
  queued_.push_back(std::move(outgoing));
  return {};
}

Result<bool> MessageSocket::flush() {
  while (!queued_.empty()) {
    Outgoing& outgoing = queued_.front();
    iovec part{outgoing.bytes.data() + outgoing.sent_bytes, outgoing.bytes.size() - outgoing.sent_bytes};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))] = {};
    if (!outgoing.descriptors.empty()) {
      const size_t bytes = outgoing.descriptors.size() * sizeof(int);
      header.msg_control = control;
      header.msg_controllen = CMSG_SPACE(bytes);
      cmsghdr* first = CMSG_FIRSTHDR(&header);
      first->cmsg_level = SOL_SOCKET;
      first->cmsg_type = SCM_RIGHTS;
      first->cmsg_len = CMSG_LEN(bytes);
      for (size_t i = 0; i < outgoing.descriptors.size(); ++i) {
        const int fd = outgoing.descriptors[i].get();
        std::memcpy(CMSG_DATA(first) + i * sizeof(int), &fd, sizeof(int));
      }
    }
    const ssize_t sent = ::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      return socket_error("sending a message", errno);
    }
    outgoing.descriptors.clear();  // they went with the first byte
    outgoing.sent_bytes += static_cast<size_t>(sent);
    queued_bytes_ -= static_cast<size_t>(sent);
    if (outgoing.sent_bytes == outgoing.bytes.size()) queued_.pop_front();
  }
  return true;
}

Result<size_t> MessageSocket::read_some(char* into, size_t length) {
  for (;;) {
    iovec part{into, length};
    alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t received = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return size_t{0};
      return socket_error("receiving a message", errno);
    }
    take_descriptors(header, incoming_.descriptors);
    if ((header.msg_flags & MSG_CTRUNC) != 0) {
      return fail(Source::local, Reason::out_of_descriptors, "descriptors of a message were dropped");
    }
    if (received == 0) {
      if (length_received_bytes_ == 0) {
        return fail(Source::local, Reason::peer_lost, "the other side closed the socket");
      }
      return fail(Source::local, Reason::truncated, "the other side closed the socket inside a message");
    }
    return static_cast<size_t>(received);
  }
}

Result<std::optional<MessageSocket::Message>> MessageSocket::receive() {
  while (length_received_bytes_ < sizeof(length_)) {
    const auto got = read_some(length_ + length_received_bytes_, sizeof(length_) - length_received_bytes_);
    if (!got) return std::unexpected(got.error());
    if (*got == 0) return std::nullopt;
    length_received_bytes_ += *got;
    if (length_received_bytes_ < sizeof(length_)) continue;
    uint32_t length = 0;
    std::memcpy(&length, length_, sizeof(length));
    body_bytes_ = ntohl(length);
    if (body_bytes_ > message_max_bytes_) {
      return fail(Source::local, Reason::protocol_error,
                  "a message of " + std::to_string(body_bytes_) + " bytes is announced, at most " +
                      std::to_string(message_max_bytes_) + " are allowed");
    }
  }
  while (body_received_bytes_ < body_bytes_) {
    std::string& body = incoming_.bytes;
    if (body.size() == body_received_bytes_) {
      body.resize(std::min(body_bytes_, body.size() + std::max(kGrowBytes, body.size())));
    }
    const auto got = read_some(body.data() + body_received_bytes_, body.size() - body_received_bytes_);
    if (!got) return std::unexpected(got.error());
    if (*got == 0) return std::nullopt;
    body_received_bytes_ += *got;
  }
  Message whole = std::move(incoming_);
  incoming_ = {};
  length_received_bytes_ = body_received_bytes_ = body_bytes_ = 0;
  return std::optional<Message>(std::move(whole));
}

Result<Fd> connect_unix(const std::string& path) {
  const auto address = unix_address(path);
  if (!address) return std::unexpected(address.error());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(Source::local, "making a Unix socket", errno);
  // A Unix connect never waits: it is done, refused, or EAGAIN when the listener's backlog is full.
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return fail_errno(Source::local, "connecting to " + path, errno);
  }
  return fd;
}

Result<Fd> listen_unix(const std::string& path, unsigned mode, bool take_over) {
  struct stat there{};
  const bool exists = ::lstat(path.c_str(), &there) == 0;
  if (exists && !S_ISSOCK(there.st_mode))
    return fail(Source::local, Reason::bad_config, path + " exists and is no socket", EEXIST);
  if (take_over) {
    // Beside the path and then over it: whoever asks finds the one or the other.
    const std::string beside = path + ".new";
    ::unlink(beside.c_str());
    auto fd = listen_unix(beside, mode);
    if (fd && ::rename(beside.c_str(), path.c_str()) != 0) return fail_errno(Source::local, path, errno);
    return fd;
  }
  const auto address = unix_address(path);
  if (!address) return std::unexpected(address.error());
  if (exists) {
    if (const auto living = connect_unix(path); living || living.error().os_code != ECONNREFUSED) {
      return fail(Source::local, Reason::bad_config, "somebody already listens on " + path, EADDRINUSE);
    }
    ::unlink(path.c_str());
  }
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(Source::local, "making a Unix socket", errno);
  // The file takes its mode from the socket's inode (unix_bind), so there is no moment when others could
  // connect.
  if (::fchmod(fd.get(), mode) != 0) return fail_errno(Source::local, "restricting " + path, errno);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return fail_errno(Source::local, "binding " + path, errno);
  }
  if (::listen(fd.get(), 64) != 0) return fail_errno(Source::local, "listening on " + path, errno);
  return fd;
}

uint64_t inode_of(const std::string& path) {
  struct stat there{};
  return ::lstat(path.c_str(), &there) == 0 ? there.st_ino : 0;
}

void unlink_same(const std::string& path, uint64_t inode) {
  if (inode != 0 && inode_of(path) == inode) ::unlink(path.c_str());
}

Result<std::optional<Fd>> accept_unix(int listener) {
  for (;;) {
    Fd fd(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) return std::optional<Fd>(std::move(fd));
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::nullopt;
    return fail_errno(Source::local, "accepting on a Unix socket", errno);
  }
}

}  // namespace weir
