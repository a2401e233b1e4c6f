#pragma once
// One HTTP/2 connection, either side, on nghttp2 (http.md "HTTP/2"). Bytes in (feed), bytes out (produce); no sockets and
// no clock, so the simulator drives it as the worker does.
//
//   received bytes → feed() → events of the streams
//   wants_output() → produce(buffer) → send. As often as the socket takes more; once per turn.
//
// A peer that breaks a rule of the connection ends it: feed gives the error, every stream has had on_reset, and what
// wants_output() still offers (GOAWAY) is to be flushed before closing. fail() is for a connection that is gone.
// Streams are named by id. A stream that its owner knows (request(), on_head, on_head_too_large) is given back with
// release(), exactly once; calls for an id that is over or unknown do nothing, so a late one is harmless.
// Owner: a flow or a pool. Thread: one worker. Source: RFC 9113, RFC 8441.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/limits.h"
#include "nodeproxy/http/h2_frames.h"
#include "nodeproxy/http/h2_glitches.h"
#include "nodeproxy/http/h2_head_reader.h"
#include "nodeproxy/http/h2_memory.h"
#include "nodeproxy/http/h2_stream.h"
#include "nodeproxy/http/message.h"
#include "nodeproxy/io/buffer.h"
#include "nodeproxy/io/timers.h"

struct nghttp2_session;

namespace weir::http::h2 {

struct Callbacks;

enum class Role : uint8_t { server, client };

// Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7).
inline constexpr uint32_t kNoError = 0, kProtocolError = 1, kInternalError = 2, kStreamClosed = 5,
                          kFrameSizeError = 6, kRefusedStream = 7, kCancel = 8, kEnhanceYourCalm = 11;

inline constexpr size_t kSendLowWaterBytes = limits::http_buffered_max_bytes;

// What happens to streams. Called from feed, produce, fail and terminate. Inside, every method but feed and produce may
// be called; the connection may not be destroyed.
class Events {
 public:
  virtual ~Events() = default;
  // A server: a request. A client: an informational answer (head.informational()), then the final one. `end`: nothing
  // follows, and on_end is not called.
  virtual void on_head(uint32_t stream, Head&& head, bool end) = 0;
  // A server: a request above the limits, as far as they reach (method and path come first). To be answered with 431;
  // its body still comes. A client's too large answer is on_reset(head_too_large).
  virtual void on_head_too_large(uint32_t stream, Head&& head, bool end) = 0;
  // To be used or copied before returning. consume() gives back credit when it has left this proxy.
  virtual void on_data(uint32_t stream, std::span<const std::byte> bytes) = 0;
  virtual void on_trailers(uint32_t stream, Headers&& trailers) = 0;  // on_end follows
  virtual void on_end(uint32_t stream) = 0;                           // the peer half-closed in order
  // Over in both directions, what was queued is dropped: RST_STREAM (stream_reset, stream_refused), a rule that the peer
  // broke (bad_request or bad_response, head_too_large), the end of the connection (its reason). Not for one's own
  // reset(). `unprocessed`: the peer did nothing with the request, so it may be sent elsewhere. A complete answer before
  // the request's end is on_end, then on_reset with kNoError: only the upload stops.
  virtual void on_reset(uint32_t stream, Reason reason, uint32_t error_code, bool unprocessed) = 0;
  virtual void on_closed(uint32_t) {}  // over on the wire, in order or not; the last event of the stream
  // queued_bytes() fell below kSendLowWaterBytes, or a tunnel's end is out.
  virtual void on_drained(uint32_t) {}
  // Streams above `last_stream` have on_reset(unprocessed) next; no more can be opened.
  virtual void on_goaway(uint32_t /*last_stream*/, uint32_t /*error_code*/) {}
  virtual void on_settings() {}  // the peer's limits changed: can_open() may have
  virtual void on_pong() {}
};

struct Settings {
  uint32_t streams_max =
      limits::h2_streams_max;  // accepted (server); opened, if the peer allows as many (client)
  uint32_t window_bytes = limits::h2_stream_window_initial_bytes;
  uint32_t window_max_bytes = limits::h2_stream_window_max_bytes;
  uint32_t connection_window_bytes = limits::h2_connection_window_bytes;
  size_t head_max_bytes = limits::http_head_max_bytes;
  uint32_t fields_max = limits::http_fields_max;
  uint32_t first_stream = 1;  // client: odd; a later one reaches the end of ids sooner
};

struct Counters {
  uint64_t streams = 0;
  uint64_t refused_streams = 0;  // above streams_max
  uint64_t provoked_resets = 0;  // a rule was broken
  uint64_t heads_too_large = 0;
  uint64_t heads_refused = 0;  // more than the peer has paid for (limits::h2_heads_gain)
};

class Connection {
 public:
  static std::unique_ptr<Connection> server(Events& events, const Settings& settings = {});
  static std::unique_ptr<Connection> client(Events& events, const Settings& settings = {});
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // What was received, in any split. `now`: the worker's clock, which glitches leak by.
  Status feed(std::span<const std::byte> bytes, io::TimePoint now);
  bool wants_output() const;
  // Fills `into`: control frames and heads first, then DATA of the streams in turn, straight from their buffers. Returns
  // the bytes used. Give it 2 KiB at least.
  size_t produce(std::span<std::byte> into);

  // Client. Errors: draining (GOAWAY, ids used up), overloaded (can_open() says no more), bad_request (not legal in
  // HTTP/2), upgrade_refused (the peer takes no extended CONNECT), the connection's own end.
  Result<uint32_t> request(const Head& head, bool end);
  bool can_open(uint32_t begun = 0) const;  // besides as many that are begun and not yet requests
  bool takes_extended_connect() const;      // the peer said so (RFC 8441)
  // Server: informational answers, then the final one. Errors: bad_response (not legal in HTTP/2: nothing was sent),
  // stream_reset (the stream is over).
  Status respond(uint32_t stream, const Head& head, bool end);

  void write(uint32_t stream, io::Buffer body);
  // After what is queued. Fewer bytes than the head declared, or trailers that are not legal, become a reset.
  void finish(uint32_t stream, std::unique_ptr<Headers> trailers = nullptr);
  // Over at once; what is queued is dropped. A server that has finished its answer and gives kNoError lets that out first.
  void reset(uint32_t stream, uint32_t error_code);
  void consume(uint32_t stream, size_t bytes);  // of what on_data gave
  size_t queued_bytes(uint32_t stream) const;   // written, not yet produced
  bool end_queued(uint32_t stream) const;       // finished, and the end is not out yet
  size_t unconsumed_bytes(uint32_t stream) const;
  void set_user(uint32_t stream, void* user);
  void* user(uint32_t stream) const;
  // Given back; no event after this. What is finished in both directions still goes out; a server's finished answer too,
  // and the rest of the request is refused with NO_ERROR; anything else is reset(kCancel).
  void release(uint32_t stream);

  void ping();             // on_pong
  void shutdown_notice();  // server, first step of a drain: GOAWAY that still takes what is under way
  void goaway(uint32_t error_code = kNoError);  // nothing above the last stream so far; open ones go on
  // GOAWAY and the end of everything: on_reset(reason) to every stream.
  void terminate(uint32_t error_code, Reason reason);
  void fail(const Error& error);  // the connection is gone: no output, on_reset(error.reason) to every stream

  Role role() const { return role_; }
  uint32_t active_streams() const { return open_; }
  const std::optional<Error>& ended() const { return ended_; }
  bool finished() const;  // drained or ended, and flushed: to be closed
  bool goaway_received() const { return goaway_received_; }
  bool goaway_sent() const { return goaway_sent_; }
  // The rule that was broken last, for the log: of the connection once it ended, of a stream inside its on_reset.
  const char* broken_rule() const { return broken_rule_; }
  const Counters& counters() const { return counters_; }

 private:
  friend struct Callbacks;
  struct SessionDelete {
    void operator()(nghttp2_session* session) const;
  };
  struct NghttpEnd {  // a connection error that nghttp2 found, seen when its GOAWAY leaves it
    uint32_t error_code = 0;
    std::string rule;
  };

  Connection(Role role, Events& events, const Settings& settings);
  void submit_settings();

  // h2_receive.cc
  void on_frame_begins(const FrameHeader& frame);
  void on_frame_ended(const FrameHeader& frame);
  void check_closed(const FrameHeader& frame);
  void receive(std::span<const std::byte> bytes);
  void add_glitch(Glitch glitch);
  bool may_hold(size_t head_bytes) const;
  void keep_head(Stream* stream);
  ssize_t take_output();
  void collect_replies();
  void note_end();

  // h2_connection.cc
  Error error_of(uint32_t error_code) const;
  Reason broken_reason() const { return role_ == Role::server ? Reason::bad_request : Reason::bad_response; }
  void end_streams(Reason reason, uint32_t error_code);
  void fault(Stream* stream, Reason reason, uint32_t error_code, const char* rule);
  void close(Stream* stream, uint32_t error_code);
  void tell_closed(Stream* stream, bool reset, Reason reason, uint32_t error_code, bool unprocessed);
  void forget(Stream* stream);
  void leave();

  // h2_send.cc
  Stream* sendable(uint32_t stream) const;
  void resume(Stream* stream);
  void end_reached(Stream* stream);
  void call_drained();

  const Role role_;
  Events& events_;
  const Settings settings_;
  SessionMemory memory_;
  std::unique_ptr<nghttp2_session, SessionDelete> session_;
  std::optional<Error> ended_;
  std::optional<NghttpEnd> nghttp_end_;
  const char* broken_rule_ = nullptr;

  StreamTable streams_;
  uint32_t open_ = 0;             // not yet closed on the wire
  uint32_t held_ = 0;             // closed by a reset and not yet released
  uint64_t heads_bytes_ = 0;      // of the heads of streams_, decoded
  uint64_t head_wire_bytes_ = 0;  // of HEADERS and CONTINUATION, ever
  Counters counters_;

  // Receiving.
  FrameReader frames_;
  Glitches glitches_;
  HeadReader reader_;
  uint32_t highest_peer_stream_ = 0, peer_streams_ = 0;
  uint32_t continuations_ = 0;
  uint32_t pings_under_way_ = 0;
  bool data_in_frame_ = false;
  bool frame_of_closed_ = false;  // DATA of a stream that the peer itself had ended
  // Streams that we reset: what the peer had under way for them is no fault. A ring; below the id that was pushed out
  // last nothing is known any more.
  std::array<uint32_t, 64> resets_{};
  uint32_t resets_at_ = 0, resets_forgotten_ = 0;

  // Sending.
  std::vector<std::byte> control_;  // frames that left nghttp2, from control_begin_ on
  size_t control_begin_ = 0;
  uint32_t replies_ = 0;  // RST_STREAM and ACKs in control_
  std::span<std::byte> out_;
  std::vector<uint32_t> drained_;
  bool collecting_ = false;
  bool busy_ = false;  // inside feed or produce
  bool lost_ = false;  // nothing may be sent any more
  bool goaway_received_ = false, goaway_sent_ = false;
  bool own_goaway_ = false;  // goaway() with an error waits: it is no connection error of nghttp2's
  uint32_t goaway_last_ = UINT32_MAX;
};

}  // namespace weir::http::h2
