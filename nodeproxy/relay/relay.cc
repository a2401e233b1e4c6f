// Naming how a relay ended, and the watch over half-closed ones. See relay.h.
#include "nodeproxy/relay/relay.h"

#include <cerrno>

namespace weir::relay {

void Ends::fail(Source side, Error why) {
  if (error) return;
  why.source = side;
  if (why.os_code == ECONNRESET || why.os_code == EPIPE) {
    why.reason = side == Source::downstream ? Reason::client_reset : Reason::server_reset;
  }
  error = std::move(why);
}

void HalfClosedWatch::begin() {
  seen_bytes_ = ends_.to_server_bytes + ends_.to_client_bytes;
  scope_.driver().timers().arm(*this, scope_.driver().now() + limits::half_closed_timeout);
}

void HalfClosedWatch::fire() {
  if (ends_.to_server_bytes + ends_.to_client_bytes != seen_bytes_) {
    begin();
    return;
  }
  ends_.fail(Source::local, Error{Source::local, Reason::half_closed_timeout, 0, {}});
  scope_.cancel();
}

}  // namespace weir::relay
