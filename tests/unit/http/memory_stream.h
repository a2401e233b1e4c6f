#pragma once
// A byte stream without a network: what one end writes the other reads, in order and at once, with as much room as the
// test gives. A connection under test holds one end; the test speaks and listens at the other with its bare hands, or
// another connection holds it.
// Thread: the test's. Lifetime: a Wire outlives both of its ends.
#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "nodeproxy/http/connection.h"
#include "nodeproxy/io/byte_stream.h"
#include "nodeproxy/io/signal.h"
#include "nodeproxy/io/sim.h"

namespace weir::http::test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string text_of(const io::Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size()};
}

// One direction.
struct Wire {
  std::string bytes;  // written and not yet read
  size_t room_bytes = SIZE_MAX;
  bool fin = false, broken = false, closed = false;
  bool undelivered = false;  // as the writer's end says it
  std::optional<Reason> abandoned;
  int reads = 0;  // begun
  io::Signal arrived, drained;

  void say(std::string_view text) {
    bytes += text;
    arrived.notify();
  }
  void finish() {
    fin = true;
    arrived.notify();
  }
  void reset() {
    broken = true;
    arrived.notify();
    drained.notify();
  }
  std::string take() {
    drained.notify();
    return std::exchange(bytes, {});
  }
};

class MemoryStream final : public io::ByteStream {
 public:
  MemoryStream(Wire& in, Wire& out) : in_(in), out_(out) {}

  io::Task<Result<io::Buffer>> read() override {
    ++in_.reads;
    while (in_.bytes.empty() && !in_.fin && !in_.broken) {
      const Status waited = co_await in_.arrived.wait();
      if (!waited) co_return std::unexpected(waited.error());
    }
    if (in_.broken) co_return fail(Source::kernel, Reason::io, ECONNRESET);
    const size_t most = std::min<size_t>(in_.bytes.size(), 16 * 1024);
    io::Buffer buffer = io::copy_to_buffer(bytes_of(in_.bytes).first(most));
    in_.bytes.erase(0, most);
    in_.drained.notify();
    co_return buffer;
  }
  io::Task<Status> write(io::Buffer buffer, io::TimePoint deadline) override {
    while (!out_.broken && out_.bytes.size() >= out_.room_bytes) {
      const Status waited = co_await out_.drained.wait(deadline);
      if (!waited) co_return waited;
    }
    if (out_.broken || out_.fin) co_return fail(Source::kernel, Reason::io, EPIPE);
    out_.say(text_of(buffer));
    co_return Status();
  }
  void finish() override { out_.finish(); }
  void abandon(Reason reason) override {
    out_.abandoned = reason;
    out_.reset();
  }
  void close() override { out_.closed = true; }
  bool undelivered() const override { return out_.undelivered; }

 private:
  Wire& in_;
  Wire& out_;
};

// A worker's loop on a virtual clock, and the tasks a test runs on it.
class Loop {
 public:
  explicit Loop(uint64_t seed = 1) : world(seed), driver(world.add_driver()) {}
  ~Loop() { stop(); }

  // Begins a task; what it returns is there once it has ended.
  template <typename T>
  std::shared_ptr<std::optional<T>> start(io::Task<T> task) {
    auto kept = std::make_shared<std::optional<T>>();
    scope.spawn(keep(std::move(task), kept));
    return kept;
  }
  template <typename T>
  T run(io::Task<T> task) {
    const auto kept = start(std::move(task));
    REQUIRE(world.run_until([&] { return kept->has_value(); }));
    return std::move(**kept);
  }
  void idle() { world.run_until_idle(); }
  // Ends what is still running: before anything goes that it uses.
  void stop() {
    scope.cancel();
    world.run_until([&] { return scope.empty(); });
  }

  io::SimWorld world;
  io::SimDriver& driver;
  io::Scope scope{driver};

 private:
  template <typename T>
  static io::Task<void> keep(io::Task<T> task, std::shared_ptr<std::optional<T>> kept) {
    *kept = co_await std::move(task);
  }
};

// What a client's connection tells its pool. It has ended when its coroutines and its exchanges have.
struct Pool final : ClientConnectionEvents {
  int ended = 0, freed = 0;
  void on_connection_ended(ClientConnection& connection) override { ended += connection.exchanges() == 0; }
  void on_connection_free(ClientConnection&) override { ++freed; }
};

// What an exchange is told.
struct Watcher final : Aborted {
  std::optional<Error> told;
  void on_aborted(const Error& why) override { told = why; }
};

// Gives an exchange up for this reason.
inline void give_up(MessageStream& stream, Reason why) { stream.reset(Error{Source::local, why, 0, {}}); }

// A piece of a message.
inline Piece piece(Head* head, std::string_view body = {}, bool end = true) {
  Piece made;
  made.head = head;
  if (!body.empty()) made.body = io::copy_to_buffer(bytes_of(body));
  made.end = end;
  return made;
}

}  // namespace weir::http::test
