#pragma once
// A session of a lane as one end of a relay. A thin name for mesh::SessionStream's awaits.
// Thread: one worker. Lifetime: the flow's.
#include "nodeproxy/mesh/session_stream.h"

namespace weir::relay {

class SessionEnd {
 public:
  explicit SessionEnd(mesh::SessionStream& stream) : stream_(stream) {}

  auto read() { return stream_.read(); }
  auto write(io::Buffer buffer) { return stream_.write(std::move(buffer)); }
  void finish() { stream_.finish(); }

 private:
  mesh::SessionStream& stream_;
};

}  // namespace weir::relay
