#pragma once
// The time between OPEN and OPENED: the client's first bytes travel with OPEN, and a copy is kept (one small buffer at
// most, below limits::early_data_bytes) until the application has accepted, so that another endpoint can be tried with
// nothing lost. After OPENED an opaque session is never retried (mesh-protocol.md, rules of the frames).
// Thread: one worker. Lifetime: part of an outbound flow.
#include "nodeproxy/detect/detect.h"
#include "nodeproxy/io/child_scope.h"
#include "nodeproxy/io/socket.h"
#include "nodeproxy/mesh/session_stream.h"

namespace weir::flow {

class Early {
 public:
  // Ok once the application has accepted. Errors: the session's reason, open_timeout as connect_timeout, or the
  // client's end (client_reset; not to be retried).
  io::Task<Status> until_opened(io::Driver& driver, io::Socket& client, mesh::SessionStream& session);
  // What detection read already: sent first, and kept like what is read here.
  void begin_with(io::Buffer bytes) {
    read_done_ = !bytes.empty();
    kept_ = std::move(bytes);
  }
  // What the client says first, for a try that must know: what is kept, or what comes. HTTP or opaque.
  io::Task<Result<detect::Heard>> listen(io::Driver& driver, io::Socket& client);
  // What is kept, for a try that needs no OPENED.
  template <typename End>
  void hand_over(End& client) {
    if (!kept_.empty()) client.put_back(std::move(kept_));
    kept_ = io::Buffer();
    forwarded_bytes_ = 0;
  }
  size_t forwarded_bytes() const { return forwarded_bytes_; }  // of the client's, ahead of the relay

 private:
  io::Task<void> read_once(io::Socket& client, mesh::SessionStream& session);

  io::Buffer kept_;
  std::optional<Error> client_error_;
  size_t forwarded_bytes_ = 0;
  bool read_done_ = false;
};

}  // namespace weir::flow
