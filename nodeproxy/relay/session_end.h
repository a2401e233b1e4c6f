#pragma once
// A session of a lane as one end of a relay. A thin name for mesh::SessionStream's awaits.
// Thread: one worker. Lifetime: the flow's.
#include "nodeproxy/mesh/session_stream.h"

namespace weir::relay {

class SessionEnd {
 public:
  explicit SessionEnd(mesh::SessionStream& stream) : stream_(stream) {}

  // What was read before the relay began; handed out first.
  void put_back(io::Buffer buffer) { put_back_ = std::move(buffer); }

  class Read {
   public:
    explicit Read(SessionEnd& end) : end_(end), read_(end.stream_.read()) {}
    bool await_ready() { return !end_.put_back_.empty() || read_.await_ready(); }
    template <typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiting) {
      return read_.await_suspend(waiting);
    }
    Result<io::Buffer> await_resume() {
      if (!end_.put_back_.empty()) return std::exchange(end_.put_back_, io::Buffer());
      return read_.await_resume();
    }

   private:
    SessionEnd& end_;
    mesh::SessionStream::Read read_;
  };
  class Write : public mesh::SessionStream::Write {
   public:
    Write(SessionEnd& end, io::Buffer buffer, bool)  // frames share records anyway
        : mesh::SessionStream::Write(end.stream_, std::move(buffer), io::kNever) {}
  };
  bool at_fin() const { return stream_.at_fin(); }
  void finish() { stream_.finish(); }

 private:
  mesh::SessionStream& stream_;
  io::Buffer put_back_;
};

}  // namespace weir::relay
