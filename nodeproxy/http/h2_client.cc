// See h2_client.h.
#include "nodeproxy/http/h2_client.h"

namespace weir::http {

void H2Client::start() {
  spawn(H2Wire::write());
  spawn(H2Wire::read());
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
  if (connection().ended() && connection().ended()->reason == Reason::none) {
    carrier_->close();
    carrier_->finish();
  } else {
    carrier_->abandon(connection().ended() ? connection().ended()->reason : Reason::none);
  }
  mark_ended();
}

}  // namespace weir::http
