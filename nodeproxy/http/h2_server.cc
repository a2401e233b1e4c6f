// See h2_server.h.
#include "nodeproxy/http/h2_server.h"

namespace weir::http {

void H2Server::release(MessageStream& stream) { remove(static_cast<H2Message&>(stream)); }

void H2Server::drain() {
  if (draining_ || connection().ended()) return;
  draining_ = true;
  connection().shutdown_notice();
  connection().ping();
  flush();
}

void H2Server::on_ping_answered() {
  if (!draining_ || connection().ended()) return;
  connection().goaway();
  flush();
}

}  // namespace weir::http
