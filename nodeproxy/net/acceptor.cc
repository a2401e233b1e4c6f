// The accept loop of acceptor.h.
#include "nodeproxy/net/acceptor.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/base/log.h"

namespace weir::net {
namespace {

constexpr int kKept = limits::reserved_descriptors + limits::dialling_descriptors;

}  // namespace

void AcceptPauses::count(int os_code, io::TimePoint now) {
  ++count_;
  ++by_reason_[static_cast<size_t>(reason_of_errno(os_code))];
  if (const auto others = said_.now(now)) {
    log::warn("accepting pauses: {}; connections wait in the kernel's queue ({} pauses went unsaid)",
              std::strerror(os_code), *others);
  }
}

void Acceptor::start() {
  if (!stopping_ && !in_flight()) driver_.accept(*this, fd_);
}

void Acceptor::stop() {
  if (stopping_) return;
  stopping_ = true;
  driver_.timers().disarm(*this);
  if (in_flight()) {
    driver_.stop_accept(*this);
  } else {
    stopped_();
  }
}

void Acceptor::complete(int32_t result, io::Buffer, bool more) {
  const bool last = result >= 0 && driver_.descriptors_beyond(result) < kKept;
  if (result >= 0) accepted_(result);
  if (last && !stopping_) pause(EMFILE);
  if (more) return;
  const bool asked_anew = std::exchange(asking_anew_, false) && !stopping_;
  const bool ended_by_itself = asked_anew || result >= 0 || result == -ECONNABORTED || result == -EINTR;
  if (stopping_ && ended_by_itself) {
    driver_.accept(*this, fd_);
    driver_.stop_accept(*this);
  } else if (stopping_) {
    stopped_();
  } else if (pausing_) {
    driver_.timers().arm(*this, driver_.now() + limits::accept_pause);
  } else if (ended_by_itself) {
    start();
  } else {
    pause(-result);
    driver_.timers().arm(*this, driver_.now() + limits::accept_pause);
  }
}

void Acceptor::look() {
  if (stopping_ || pausing_ || !in_flight()) return;
  const bool waits = driver_.connection_waits(fd_);
  if (waits && waited_) {
    asking_anew_ = true;
    driver_.cancel(*this);
  }
  waited_ = waits;
}

void Acceptor::pause(int os_code) {
  if (pausing_) return;
  pausing_ = true;
  pauses_.count(os_code, driver_.now());
  if (in_flight()) driver_.cancel(*this);
}

// Nobody is accepted who would only be sent away.
void Acceptor::fire() {
  if (driver_.descriptors_beyond(-1) < kKept) {
    driver_.timers().arm(*this, driver_.now() + limits::accept_pause);
    return;
  }
  pausing_ = false;
  start();
}

}  // namespace weir::net
