// See h2_client.h.
#include "nodeproxy/http/h2_client.h"

namespace weir::http {

void H2Client::start() {
  spawn(H2Wire::write());
  spawn(read_to_the_end());
}

io::Task<void> H2Client::read_to_the_end() {
  co_await H2Wire::read();
  read_over_.notify();
}

MessageStream& H2Client::begin() {
  exchange_begun();
  return add(0);
}

void H2Client::give_back(MessageStream& stream) {
  remove(static_cast<H2Message&>(stream));
  exchange_ended();
}

bool H2Client::unprocessed(const MessageStream& stream) const {
  return static_cast<const H2Message&>(stream).unprocessed() || carrier_->unprocessed();
}

// In order: GOAWAY, what is under way has ended already. Otherwise everything is reset.
void H2Client::end(Reason why) {
  if (ended()) return;
  if (why == Reason::none) {
    mark_ending();
    connection().goaway();
    terminate(Reason::none);
  } else {
    carrier_->abandon(why);
    if (!connection().ended()) connection().fail(Error{Source::local, why, 0, {}});
    ending();
  }
}

// The writer has said what there was to say.
void H2Client::on_over() {
  if (said_goodbye()) {
    mark_ending();
    spawn(linger());
  } else {
    carrier_->abandon(connection().ended() ? connection().ended()->reason : Reason::none);
    mark_ended();
  }
}

// As ReadAhead::linger(), with read()'s help: a GOAWAY that names the peer's mistake is worth reading, and the reset that
// would meet what the peer sends meanwhile overtakes what we said.
io::Task<void> H2Client::linger() {
  carrier_->close();
  carrier_->finish();
  const io::TimePoint begun = io::Scope::driver().now();
  Status over;
  do {
    over = co_await read_over_.wait(io::Scope::driver().now() + limits::http_linger);
  } while (!over && over.error().reason == Reason::detect_timeout && lingers_on(begun));
  if (!over) carrier_->abandon(Reason::cancelled);
  mark_ended();
}

// The last bytes into a tunnel may be on their way still to an application that has said its last and reads slowly; of a
// request that was answered nobody waits for more.
bool H2Client::lingers_on(io::TimePoint begun) const {
  const io::TimePoint now = io::Scope::driver().now();
  if (carried_tunnel() && carrier_->undelivered()) return now - begun < limits::half_closed_timeout;
  return (carried_tunnel() || now - heard() < limits::http_linger) && now - begun < limits::http_linger_max;
}

}  // namespace weir::http
