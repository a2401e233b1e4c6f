#pragma once
// What a random history of HTTP knows of every request: what was asked, how the application is to behave, and what became
// of it at both edges. The edges (http_application.h, http_clients.h) write here; the history judges at the end, and
// what may never happen is a failure on the spot.
// Thread: the test's. Lifetime: one history; it outlives the mesh, whose last events still reach the edges.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/dice.h"

namespace weir::test {

// How the application answers.
enum class Manner : uint8_t {
  prompt,       // whole, with its length
  late,         // after a while
  pieces,       // in pieces, with pauses
  chunked,      // without a length, with trailers
  interim,      // informational answers first
  early,        // before the request's body has come
  close_after,  // in order, then it closes
  to_close,     // the end of the connection is the end of the answer (HTTP/2: as prompt)
  busy_first,   // 503 the first time
  closes_idle,  // in order, then it closes a moment later without having said so
  resets_mid,   // of the body
  closes_mid,   // of the body, in order as TCP sees it
  resets,       // instead of an answer
  garbage,      // something else than HTTP
  never,
};
inline constexpr int kManners = static_cast<int>(Manner::never) + 1;

// What the client does when it does not wait for the end.
enum class Leave : uint8_t { stays, resets_waiting, finishes_waiting, resets_mid, finishes_mid, stalls };

struct Request {
  uint64_t id = 0;
  std::string method, path, body;
  bool length_declared = true;
  bool has_body = false;
  Manner manner = Manner::prompt;
  size_t answer_bytes = 0;
  Leave leave = Leave::stays;
  size_t said_bytes = 0;  // of the body, when it leaves in the middle

  bool begun = false;                // its first byte was given to the network
  uint32_t given = 0;                // heads that an application got
  uint32_t whole = 0;                // … whose body came whole
  std::vector<std::string> answers;  // bodies that were given whole
  std::optional<uint16_t> status;    // of the final head that the client got
  bool from_application = false;
  bool ended = false;  // the answer ended in order
  uint64_t policy_at_begin = 0;

  bool idempotent() const { return method != "POST"; }
  bool said_whole() const {
    return leave != Leave::resets_mid && leave != Leave::finishes_mid && leave != Leave::stalls;
  }
};

class Ledger : public Dice {
 public:
  using Dice::Dice;

  Request& add(bool calm);
  // By its path; null: nobody asked for that.
  Request* find(std::string_view path);
  // An application has got a head. The number of the copy, from 1.
  uint32_t give(Request& request);
  // … and the whole message.
  void gave_whole(Request& request, const std::string& body);
  static std::string describe(const Request& request);
  // The body of an answer to this copy.
  static std::string answer(const Request& request, uint32_t copy, std::string_view received);
  // A client got a final head, and the end of an answer in order.
  void head(Request& request, uint16_t status, std::optional<std::string_view> name);
  void end(Request& request, const std::string& body);

  std::vector<std::unique_ptr<Request>> requests;
  uint64_t policy = 0;  // odd: paths below /denied are denied; counts the changes
};

std::string pattern_text(size_t bytes, uint64_t salt);

}  // namespace weir::test
