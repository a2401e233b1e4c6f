// See ws_talk.h.
#include "tests/sim/ws_talk.h"

namespace weir::test {

void Talk::say(size_t bytes) {
  if (bytes == 0) return;
  Side& me = side();
  const std::string text = Tunnels::speech(me, me.said, bytes);
  me.said += bytes;
  mouth_.say(text);
}

void Talk::finish() {
  side().finished = true;
  mouth_.finish();
}

void Talk::hear_end() {
  ledger_.end(tunnel_, side(), copy_ ? tunnel_.client : tunnel_.told->side);
  if (side().waits) go_on();
}

void Talk::go_on() {
  world_.network().at(std::chrono::microseconds(ledger_.below(ledger_.one_in(6) ? 400'000 : 5'000)),
                      [this] { speak(); });
}

void Talk::speak() {
  Side& me = side();
  if (me.finished || me.broke || me.lost) return;
  if (me.ends == Ends::resets && (me.said == me.bytes || ledger_.one_in(4))) {
    me.broke = true;
    return mouth_.reset();
  }
  if (me.said < me.bytes) {
    const size_t most = ledger_.one_in(3) ? 100 : 20'000;
    say(1 + ledger_.below(std::min(me.bytes - me.said, most)));
    return go_on();
  }
  if (me.ends == Ends::orderly && (!me.waits || me.heard_end)) finish();
}

}  // namespace weir::test
