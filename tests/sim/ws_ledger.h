#pragma once
// What a random history of WebSockets knows of every tunnel: who asks for it in which version, how the application is to
// answer, what either side is to say into it, and what became of that at the other side. The edges (ws_application.h,
// ws_clients.h) write here; the history judges at the end, and what may never happen is a failure on the spot.
// Thread: the test's. Lifetime: one history; it outlives the mesh, whose last events still reach the edges.
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/dice.h"

namespace weir::test {

// How the application answers.
enum class Answer : uint8_t {
  agrees,
  agrees_late,
  refuses,       // 403
  refuses_late,  // likewise
  busy_first,    // 503 the first time, then it agrees
  no_switch,     // 200 to HTTP/1.1's GET, as if it had not asked for anything (HTTP/2: 403, as 200 agrees)
  last,          // 403, and it takes no more on this connection
  other_key,     // 101 that accepts another key (HTTP/2: 403, as it has none)
  resets,        // instead of an answer
  closes,        // likewise, in order as TCP sees it
  never,
};
inline constexpr uint64_t kAnswers = static_cast<uint64_t>(Answer::never) + 1;

enum class Ends : uint8_t { orderly, resets, stays };

// One side of a tunnel: what it says, and what it has heard of the other.
struct Side {
  uint64_t voice = 0;       // tells what it says from what everybody else says
  std::string_view prefix;  // what it says first
  size_t bytes = 0;         // to be said in all
  Ends ends = Ends::orderly;
  bool waits = false;  // for the other's end, before its own

  size_t said = 0;        // given to the network
  bool finished = false;  // all of it, and the end
  bool broke = false;     // reset by itself

  size_t heard = 0;
  bool heard_end = false;  // in order
  bool lost = false;       // the tunnel was reset

  bool over() const { return broke || lost || (finished && heard_end); }
};

// One time that an application was asked for a tunnel.
struct Copy {
  uint32_t number = 0;  // from 1
  bool agreed = false;
  bool busy = false;  // it answered 503, which a route may try again; in calm weather nothing else is
  Side side;
};

struct Tunnel {
  uint64_t id = 0;
  std::string path;
  bool asks = true;  // else: an ordinary GET, between those that ask
  bool client_h2 = false, application_h2 = false;
  Answer answer = Answer::agrees;
  bool leaves = false;     // the client, without waiting for the answer
  size_t early_bytes = 0;  // said before it
  bool early_end = false;  // … and the end, where that is not leaving (HTTP/2)
  uint64_t policy_at_begin = 0;
  Side client;

  bool begun = false;
  std::deque<Copy> copies;
  std::optional<uint16_t> status;  // that the client got
  const Copy* told = nullptr;      // whose agreement
  const Copy* heard = nullptr;     // who has heard the client

  std::string describe() const;
};

class Tunnels : public Dice {
 public:
  Tunnels(uint64_t seed, bool calm) : Dice(seed), calm(calm) {}

  Tunnel& add(bool client_h2);
  Tunnel* find(std::string_view path);
  // An application is asked.
  Copy& give(Tunnel& tunnel, bool h2, bool asks);
  // A client got a final answer. `name`: of the application's copy; none: the proxy's own.
  void answered(Tunnel& tunnel, uint16_t status, bool agreed, std::optional<std::string_view> name);
  // The next bytes that `side` is to say.
  static std::string speech(const Side& side, size_t from, size_t bytes);
  // A side of a tunnel hears the other one. `copy`: of the application's side.
  void hear_client(Tunnel& tunnel, Copy& copy, std::string_view bytes);
  void hear_application(Tunnel& tunnel, std::string_view bytes);
  void end(Tunnel& tunnel, Side& at, const Side& of);

  const bool calm;
  std::vector<std::unique_ptr<Tunnel>> tunnels;
  uint64_t policy = 0;  // odd: paths below /denied are denied; counts the changes

 private:
  Side side(uint64_t voice);
  void hear(Tunnel& tunnel, Side& at, const Side& of, std::string_view bytes);
};

}  // namespace weir::test
