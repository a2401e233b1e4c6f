#pragma once
// A copy of a request to another service, whose answer nobody waits for (Gateway API HTTPRequestMirrorFilter). The
// original is never slowed: it drops copies of its body into a bounded pipe, and a mirror that cannot keep up is given up.
// Thread: one worker. Lifetime: a flow of the source pod; the pipe is shared with the exchange that fills it.
#include <memory>
#include <vector>

#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/flow/local_pod.h"
#include "nodeproxy/http/message.h"
#include "nodeproxy/io/signal.h"

namespace weir::flow {

class MirrorPipe {
 public:
  // A copy of the request's next bytes.
  void add(std::span<const std::byte> bytes, bool end);
  // The original has ended: `whole` says whether its request was.
  void close(bool whole);

  // The mirror's side. What waits; empty: nothing yet, or over().
  io::Buffer take();
  bool ended() const { return end_ && queue_.empty(); }  // the request is whole and taken
  bool given_up() const { return given_up_; }
  io::Signal& changed() { return changed_; }

 private:
  std::vector<io::Buffer> queue_;
  size_t queued_bytes_ = 0;
  bool end_ = false, given_up_ = false;
  io::Signal changed_;
};

std::shared_ptr<MirrorPipe> start_mirror(LocalPod& source, const http::Head& head, const config::Mirror& to,
                                         const SocketAddress& client, bool h2);

}  // namespace weir::flow
