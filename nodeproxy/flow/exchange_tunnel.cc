// An exchange that has become a tunnel: an upgrade that was agreed to, or CONNECT. See exchange.h.
#include "nodeproxy/base/limits.h"
#include "nodeproxy/flow/exchange.h"
#include "nodeproxy/io/child_scope.h"

namespace weir::flow {

// As in a relay, an error of one direction ends the other too: its reader may never hear of it by itself.
io::Task<void> Exchange::pass_into_tunnel(Try& attempt, io::Signal& passed) {
  co_await pass_request(attempt);
  if (attempt.request_error) attempt.lease.stream().give_up();
  passed.notify();
}

// After a switch both directions are bytes, each until its own end; half-closed and silent as long as in a relay.
io::Task<Status> Exchange::tunnel(Try& attempt, http::Piece head) {
  bool over = head.end;
  Status written = co_await stream_.write(std::move(head), io::kNever);
  if (!written) {
    attempt.client_error = written.error();
    attempt.lease.stream().give_up();
    co_return written;
  }
  io::ChildScope passing(driver());
  io::Signal passed;
  const bool passes = whole_ || held_;  // else it is being passed on already
  if (passes) passing.spawn(pass_into_tunnel(attempt, passed));
  io::TimePoint look = {};
  const auto look_again = [&](Error& why, bool half_closed) {
    if (why.reason != Reason::detect_timeout || driver().now() < look) return false;
    const bool silent = half_closed && driver().now() >= moved_ + limits::half_closed_timeout;
    if (silent) why = Error{Source::local, Reason::half_closed_timeout, 0, {}};
    return !silent;
  };
  http::MessageStream& upstream = attempt.lease.stream();
  Status ended;
  while (!over) {
    look = driver().now() + limits::half_closed_timeout;
    auto piece = co_await upstream.read(look);
    if (!piece && look_again(piece.error(), passes && passing.empty())) continue;
    if (!piece) {
      ended = std::unexpected(piece.error());
      break;
    }
    note_response(*piece);
    moved_ = driver().now();
    over = piece->end;
    written = co_await stream_.write(std::move(*piece), io::kNever);
    if (!written) {
      attempt.client_error = written.error();
      ended = written;
      break;
    }
  }
  // The application has ended its direction. The client's lasts until it ends too, or until the application gives up what
  // it does not read any more: nobody else would hear of that, nor of the end of this exchange.
  if (ended) upstream.watch(this);
  while (ended && !passing.empty()) {
    look = driver().now() + limits::half_closed_timeout;
    ended = co_await passed.wait(look);
    if (!ended && look_again(ended.error(), true)) ended = Status();
  }
  upstream.watch(nullptr);
  if (!ended && ended.error().reason == Reason::half_closed_timeout) upstream.give_up();
  if (!ended) passing.cancel();
  co_await passing.join();
  if (attempt.request_error) ended = std::unexpected(*attempt.request_error);
  if (ended && attempt.client_error) ended = std::unexpected(*attempt.client_error);
  in_order_ = ended.has_value();
  co_return ended;
}

}  // namespace weir::flow
