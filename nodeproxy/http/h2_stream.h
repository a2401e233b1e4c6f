#pragma once
// One stream as its Connection keeps it: what waits to be sent, what was received and not yet consumed, and how it stands
// on the wire and with its owner. It stays while either still knows it: until it is closed and released.
// Owner: a Connection; nothing else sees it, owners know streams by id. Thread: its worker.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "nodeproxy/base/reason.h"
#include "nodeproxy/http/message.h"
#include "nodeproxy/io/buffer_queue.h"

namespace weir::http::h2 {

// Why a stream ends otherwise than in order.
enum class Cause : uint8_t { none, owner, peer, fault };

inline constexpr uint64_t kLengthUnknown = UINT64_MAX;

struct Stream {
  uint32_t id = 0;
  void* user = nullptr;

  // Sending.
  io::BufferQueue queue;
  std::unique_ptr<Headers> trailers;
  uint64_t length_left = kLengthUnknown;  // of the length that our head declared

  // Receiving.
  uint32_t window_bytes = 0;
  uint32_t unconsumed_bytes = 0;
  uint32_t used_bytes = 0;           // consumed since the window last grew
  uint32_t head_bytes = 0;           // of its head and trailers, decoded
  uint32_t informational_bytes = 0;  // of its 1xx heads, all that came

  Cause cause = Cause::none;
  Reason reason = Reason::none;  // of a fault
  bool announced : 1 = false;    // its owner knows it
  bool released : 1 = false;
  bool closed : 1 = false;  // over on the wire
  bool held : 1 = false;    // closed by a reset, not yet released: still counts as concurrent
  // Sending.
  bool head_sent : 1 = false;  // handed to nghttp2: a request, or a final answer
  bool on_wire : 1 = false;    // the request's HEADERS left nghttp2
  bool finish_asked : 1 = false;
  bool end_sent : 1 = false;
  bool deferred : 1 = false;  // nghttp2 waits for resume_data
  bool above_low_water : 1 = false;
  bool reset_after_end : 1 = false;  // NO_ERROR, once the answer is out
  bool bodyless : 1 = false;         // what we send has no body: an answer to HEAD, 204, 304
  // Receiving.
  bool head_received : 1 = false;  // the request's, or the final answer's
  bool remote_ended : 1 = false;
  bool head_request : 1 = false;
  bool connect : 1 = false;  // CONNECT, extended or not
  bool tunnel : 1 = false;   // … that was agreed to: only DATA may follow
};

// Streams by id. Ids rise, so they are kept in that order: the newest, most often asked for, is found at once.
class StreamTable {
 public:
  Stream* find(uint32_t id) const;
  Stream* add(uint32_t id);  // above all others
  // Out of the table. The memory stays good until sweep(), since whoever is on the stack may still look at it.
  void remove(Stream* stream);
  void sweep();
  std::vector<uint32_t> ids() const;

 private:
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<std::unique_ptr<Stream>> removed_, spare_;
};

}  // namespace weir::http::h2
