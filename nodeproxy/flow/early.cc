// See early.h.
#include "nodeproxy/flow/early.h"

#include "nodeproxy/base/limits.h"

namespace weir::flow {

io::Task<void> Early::read_once(io::Socket& client, mesh::SessionStream& session) {
  Result<io::Buffer> buffer = co_await client.receive(io::ReceiveSize::small);
  if (!buffer) {
    if (buffer.error().reason == Reason::cancelled) co_return;  // the relay reads on
    client_error_ = Error{Source::downstream, Reason::client_reset, buffer.error().os_code, {}};
    session.opened_signal().notify();
    co_return;
  }
  read_done_ = true;
  if (buffer->empty()) co_return;  // FIN: the relay sees it again
  kept_ = io::copy_to_buffer(buffer->bytes());
  forwarded_bytes_ = buffer->size();
  session.write_now(std::move(*buffer));
}

io::Task<Result<detect::Heard>> Early::listen(io::Driver& driver, io::Socket& client) {
  if (kept_.empty()) co_return co_await detect::application_speech(driver, client, detect::Hint::unknown);
  io::Buffer first = std::exchange(kept_, io::Buffer());
  co_return co_await detect::continue_speech(driver, client, std::move(first), true);
}

io::Task<Status> Early::until_opened(io::Driver& driver, io::Socket& client, mesh::SessionStream& session) {
  const io::TimePoint deadline = driver.now() + limits::open_timeout;
  io::ChildScope reader(driver);
  if (!kept_.empty()) {
    forwarded_bytes_ = kept_.size();
    session.write_now(io::copy_to_buffer(kept_.bytes()));
  } else if (!read_done_) {
    reader.spawn(read_once(client, session));
  }
  Status status;
  while (!session.opened() && !session.failed() && !client_error_ && status) {
    status = co_await session.opened_signal().wait(deadline);
  }
  reader.cancel();
  co_await reader.join();
  if (client_error_) co_return std::unexpected(*client_error_);
  if (session.failed()) co_return std::unexpected(*session.failed());
  if (!status) {
    if (status.error().reason != Reason::detect_timeout) co_return status;
    // A connection that is not made ends sooner by itself: what there was no answer to is our hello, or the OPEN.
    co_return fail(Source::peer, session.through() ? Reason::connect_timeout : Reason::handshake_timeout);
  }
  kept_ = io::Buffer();
  co_return Status();
}

}  // namespace weir::flow
