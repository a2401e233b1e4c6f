#pragma once
// The memory that nghttp2 gets for a connection. Of its 25 KiB, 16 are for the frame that leaves: packed, handed out and
// copied away within one call of nghttp2_session_mem_send, and of no meaning between calls (but for a client's preface,
// which is there from the making of its session). All connections of a worker share one such place. What is longer than a
// frame (CONTINUATION) nghttp2 asks for when it needs it: that is its own.
//
// With ASan nobody may touch the place outside of a Use, and each Use begins with garbage in it: an nghttp2 that relied on
// what it had left there would be found by every test of HTTP/2.
// Owner: a Connection, before its session. Thread: its worker. Lifetime: the place lives as long as anyone has it.
#include <nghttp2/nghttp2.h>

#include <memory>

namespace weir::http::h2 {

class SessionMemory {
 public:
  SessionMemory();
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  // For the making of one session.
  nghttp2_mem* functions() { return &functions_; }
  // The session is made: whatever it asks for from now on is its own.
  void made() { making_ = false; }
  bool shares() const { return sharing_; }

  // Around the making of the session, calls of nghttp2_session_mem_send and the copying of what they gave.
  class Use {
   public:
    explicit Use(const SessionMemory& memory);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    [[maybe_unused]] const SessionMemory& memory_;  // only AddressSanitizer looks
  };

 private:
  struct Frame;
  static std::shared_ptr<Frame> frame_of_this_worker();
  static void* allocate(size_t size, void* self);
  static void release(void* memory, void* self);
  static void* allocate_zeroed(size_t count, size_t size, void* self);
  static void* reallocate(void* memory, size_t size, void* self);

  std::shared_ptr<Frame> frame_;
  nghttp2_mem functions_;
  bool making_ = true, sharing_ = false;
};

}  // namespace weir::http::h2
