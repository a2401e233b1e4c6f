#pragma once
// HTTP/1.1 from bytes to events, for one direction of one connection and without a socket. Three layers: guards look at
// every byte that is not body (h1_head_scan, h1_chunks), llhttp parses what they let through, HeadBuilder makes a Head
// of it and decides the framing; where llhttp and we disagree, the message is refused.
//
// llhttp takes only the methods it knows; it is given GET (or CONNECT, whose target is of another form) in place of the
// method, which the guard has found to be a token. Nothing else in llhttp depends on the method of a request.
//
//   for each message:  head · body … · end              (1xx: a head alone, then the next head)
//   then, by what was said:  the next message | over (keep_alive() is false) | at_switch() (Upgrade, CONNECT, 101)
//
// Once over, at a switch, or refused, nothing more is taken from the input: what is left in it is the caller's. The one
// byte range that no message owns, an empty line before a request, is skipped.
// Owner: a connection. Thread: one worker. Lifetime: the connection; head() keeps its memory between messages, and an
// unfinished head is the only input that is copied. Source: RFC 9112.
#include <llhttp.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "nodeproxy/base/error.h"
#include "nodeproxy/http/h1_chunks.h"
#include "nodeproxy/http/h1_head.h"
#include "nodeproxy/http/h1_head_scan.h"
#include "nodeproxy/http/message.h"

namespace weir::http::h1 {

class Decoder {
 public:
  enum class Role : uint8_t { requests, responses };
  enum class Kind : uint8_t {
    need_more,  // all of the input was taken, or none may be (see above)
    head,
    body,  // a part of it, never empty, in the input's own memory
    end,   // the message is whole; trailers() are its trailers
  };
  struct Event {
    Kind kind = Kind::need_more;
    std::span<const std::byte> body;
  };

  explicit Decoder(Role role);
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // The next event, and what it took off the front of `input`. An error is for good: bad_request, bad_response or
  // head_too_large, with rule() as its detail.
  Result<Event> next(std::span<const std::byte>& input);
  // FIN. `end`: it ended a close-delimited response. `need_more`: nothing was under way. Otherwise an error.
  Result<Kind> end_of_input();

  // Responses: what the next one answers, said before its first byte is given, one response at a time (pipelined ones in
  // order). Bytes that nobody asked for are an error.
  void expect_response_to(const Head& request);
  // Requests, at_switch(): nothing was switched; what follows is HTTP again.
  void stay() { state_ = keep_alive() ? State::start : State::over; }

  Head& head() { return head_; }  // good until the next head
  Headers& trailers() { return trailers_; }
  // After a head: whether anything but `end` follows it.
  bool body_follows() const;
  // Whether another message may follow the one whose head came last.
  bool keep_alive() const { return builder_.keep_alive(); }
  // Behind an end, or not yet begun, with the connection fit for another message. What is left in the input then belongs
  // to nobody that asked (responses) or is the next request (requests).
  bool reusable() const { return state_ == State::start && held_.empty() && !awaited_; }
  // A byte of a message has come whose end has not been reported.
  bool begun() const;
  // Requests: at the end of one that asks for another protocol; later bytes may be that protocol's. Responses: behind
  // the head of a 101 or of a 2xx to CONNECT; there is no `end`.
  bool at_switch() const { return state_ == State::at_switch; }

  // After an error.
  uint16_t status() const {
    return refusal_.status;
  }  // of the local answer: 400, 414, 431, 501, 505; responses: 502
  std::string_view rule() const { return refusal_.rule ? refusal_.rule : ""; }

 private:
  enum class State : uint8_t {
    start,  // a head, begun or not
    body,   // Body::length and Body::to_close
    chunk_line,
    chunk_data,
    chunk_end,
    trailers,
    end,  // to be reported
    at_switch,
    over,
    refused,
  };
  struct Callbacks;  // llhttp's

  Result<Event> read_head(std::span<const std::byte>& input);
  Result<Event> read_body(std::span<const std::byte>& input);
  Result<Event> read_end();
  // One step through chunk lines and trailers; whether the state changed.
  Result<bool> read_chunk_line(std::span<const std::byte>& input);
  Result<bool> read_chunk_end(std::span<const std::byte>& input);
  Result<bool> read_trailers(std::span<const std::byte>& input);
  // A whole section (head or trailers), in place or gathered in held_; empty while it is not whole.
  Result<std::string_view> read_section(std::span<const std::byte>& input);
  Refusal parse_head(std::string_view text);
  Refusal feed(std::string_view text);
  int finish_head();
  void leave_head();
  int take_field();
  std::unexpected<Error> refuse(const Refusal& refusal);

  const Role role_;
  State state_ = State::start;
  bool awaited_ = false;  // responses: one is owed
  bool trailing_ = false;
  bool parsed_ = false;  // llhttp has seen the message's end
  Asked asked_;
  llhttp_t parser_;
  HeadScan scan_;
  ChunkScan chunks_;
  Head head_;
  Headers trailers_;
  HeadBuilder builder_{head_};
  std::string held_;                        // a section whose end has not come
  std::string_view target_, name_, value_;  // while parsing: of the request line, of the field under way
  uint64_t left_ = 0;                       // of the body, or of the chunk
  size_t informational_bytes_ = 0;          // of the 1xx heads before the answer that is owed
  Refusal refusal_;
  bool too_large_ = false;  // what was refused broke a limit
};

}  // namespace weir::http::h1
