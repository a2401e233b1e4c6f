// The accept loop of acceptor.h.
#include "nodeproxy/net/acceptor.h"

#include <cerrno>

#include "nodeproxy/base/limits.h"

namespace weir::net {

void Acceptor::start() {
  if (!stopping_ && !in_flight()) driver_.accept(*this, fd_);
}

void Acceptor::stop() {
  if (stopping_) return;
  stopping_ = true;
  driver_.timers().disarm(*this);
  if (in_flight()) {
    driver_.cancel(*this);
  } else {
    stopped_();
  }
}

void Acceptor::complete(int32_t result, io::Buffer, bool more) {
  if (result >= 0) accepted_(result);
  if (more) return;
  if (stopping_) {
    stopped_();
  } else if (result >= 0 || result == -ECONNABORTED || result == -EINTR) {
    start();
  } else {
    ++errors_;
    driver_.timers().arm(*this, driver_.now() + limits::accept_pause);
  }
}

}  // namespace weir::net
