#pragma once
// Messages over a Unix stream socket: a 4-byte big-endian length, then that many bytes; descriptors travel by
// SCM_RIGHTS, attached to the first byte of the length of the message that names them. Both ends of the
// agent's socket use this (nodeproxy/config/agent_link, agent/serve); what is in the bytes is not its
// business, and no protobuf is seen here. Never blocks, whatever the descriptor's mode: receive() and flush()
// do what is possible and say when to poll. Every error is final: the caller drops the socket and makes a new
// one. Owner: owns the socket, and duplicates of the descriptors that are still queued. Thread: one at a
// time.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/limits.h"

namespace weir {

class MessageSocket {
 public:
  // The kernel's own limit for one SCM_RIGHTS (SCM_MAX_FD, unix(7)).
  static constexpr size_t kDescriptorsMax = 253;

  struct Message {
    std::string bytes;
    std::vector<Fd> descriptors;  // close-on-exec
  };

  MessageSocket() = default;
  // A message above `message_max_bytes`, coming or going, is an error; so is a queue above twice that.
  explicit MessageSocket(Fd socket, size_t message_max_bytes = limits::config_message_max_bytes);

  // Appends a message to what flush() sends. `descriptors` are borrowed: duplicated here, so the caller may
  // close its own at once. Errors: overloaded (too long, too many, queue full), out_of_descriptors. The queue
  // is as before then.
  Status queue(std::string_view bytes, std::span<const int> descriptors = {});

  // Sends what the kernel takes. True: nothing is left; false: poll for POLLOUT and call again.
  // Errors: peer_lost (EPIPE, ECONNRESET), or what the errno says.
  Result<bool> flush();

  // The next whole message; nothing: poll for POLLIN and call again. Call until it has nothing.
  // Errors: peer_lost (the other side closed, between messages), truncated (inside one), protocol_error (a
  // length above the limit), out_of_descriptors (the kernel dropped descriptors that did not fit our limit),
  // or the errno's.
  Result<std::optional<Message>> receive();

  int fd() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }
  bool wants_write() const { return !queued_.empty(); }
  size_t queued_bytes() const { return queued_bytes_; }

 private:
  struct Outgoing {
    std::string bytes;  // with the length in front
    size_t sent_bytes = 0;
    std::vector<Fd> descriptors;  // emptied once the first byte has gone
  };
  // Reads up to `length` bytes: how many, 0 for nothing there. End of stream is an error.
  Result<size_t> read_some(char* into, size_t length);

  Fd socket_;
  size_t message_max_bytes_ = limits::config_message_max_bytes;
  std::deque<Outgoing> queued_;
  size_t queued_bytes_ = 0;
  // The message being received.
  char length_[4] = {};
  size_t length_received_bytes_ = 0;
  size_t body_received_bytes_ = 0;
  size_t body_bytes_ = 0;
  Message incoming_;
};

// A non-blocking, close-on-exec stream socket connected to `path`. Errors: the errno's (refused: nobody
// listens).
Result<Fd> connect_unix(const std::string& path);

// A listening socket at `path`, only for this user (mode 0600 unless said). A file left there by a process
// that is gone is replaced; where there is something else than a socket, that is an error, and where somebody
// still listens too, unless this process is to `take_over` from it: there is no moment without a listener.
Result<Fd> listen_unix(const std::string& path, unsigned mode = 0600, bool take_over = false);
// Of the file at a path, 0 if there is none: whoever made it removes it only while it is still the same.
uint64_t inode_of(const std::string& path);
void unlink_same(const std::string& path, uint64_t inode);

// The next waiting connection, non-blocking and close-on-exec; nothing when none waits.
Result<std::optional<Fd>> accept_unix(int listener);

}  // namespace weir
