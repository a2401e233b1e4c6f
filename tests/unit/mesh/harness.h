#pragma once
// Lanes with recording ends: what each session was told, and two lanes joined back to back.
// Owner: the tests of mesh/. Thread: one.
#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nodeproxy/mesh/lane.h"

namespace weir::mesh::test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What the lane has to send now, at most `max` bytes, as it would be sealed.
inline std::vector<std::byte> flush(Lane& lane, size_t max) {
  std::vector<std::byte> memory(max), out;
  Plaintext flush;
  flush.begin(memory);
  lane.produce(flush);
  for (const auto piece : flush.pieces()) out.insert(out.end(), piece.begin(), piece.end());
  REQUIRE(out.size() == flush.bytes());
  flush.end();
  lane.produced();
  return out;
}

// Holds a session and writes down what happens to it.
struct Holder : SessionEvents {
  Session* session = nullptr;
  OpenInfo info;
  std::string received;
  bool opened = false, fin = false, retryable = false, auto_consume = true;
  Reason reset = Reason::none;
  int drained = 0;

  ~Holder() override { release(); }
  void release() {
    if (session) std::exchange(session, nullptr)->release();
  }
  void write(std::string_view text) { session->write(io::copy_to_buffer(bytes_of(text))); }
  void on_opened() override { opened = true; }
  void on_data(std::span<const std::byte> bytes) override {
    received += text_of(bytes);
    if (auto_consume) session->consumed(bytes.size());
  }
  void on_fin() override { fin = true; }
  void on_reset(Reason reason, bool may_retry) override {
    reset = reason;
    retryable = may_retry;
  }
  void on_drained() override { ++drained; }
};

// A lane with its events; an acceptor's sessions are held by id.
struct End : LaneEvents {
  std::map<uint32_t, std::unique_ptr<Holder>> held;
  std::vector<Goaway> goaways;
  std::vector<uint64_t> pongs;
  int idle = 0, refused = 0;
  bool accept = true;
  std::unique_ptr<Lane> lane;

  explicit End(Role role, LaneOptions options = {}) : lane(std::make_unique<Lane>(role, *this, options)) {}
  ~End() override { held.clear(); }

  Holder& open(const std::string& service = "shop/cart") {
    auto holder = std::make_unique<Holder>();
    const auto session = lane->open({*SocketAddress::parse("10.0.0.1:4711"), "uid-1", service}, *holder);
    if (!session) FAIL(session.error().describe());
    holder->session = *session;
    return *(held[(*session)->id()] = std::move(holder));
  }
  void on_open(Session& session, const OpenInfo& info) override {
    auto holder = std::make_unique<Holder>();
    holder->session = &session;
    holder->info = info;
    session.set_events(holder.get());
    if (accept) session.accept_open();
    held[session.id()] = std::move(holder);
  }
  void on_refused(const OpenInfo&) override { ++refused; }
  void on_goaway(const Goaway& goaway) override { goaways.push_back(goaway); }
  void on_pong(uint64_t token) override { pongs.push_back(token); }
  void on_idle() override { ++idle; }
  // All that it has to send now, at most `max` bytes.
  std::vector<std::byte> output(size_t max = 64 * 1024) { return flush(*lane, max); }
};

// A dialler and an acceptor.
struct Joined {
  End dialler, acceptor;

  explicit Joined(LaneOptions d = {}, LaneOptions a = {})
      : dialler(Role::dialler, d), acceptor(Role::acceptor, a) {}
  // Until neither has anything to say.
  void settle() {
    for (int round = 0; round < 10000; ++round) {
      const auto there = dialler.output();
      if (!there.empty()) REQUIRE(acceptor.lane->consume(there));
      const auto back = acceptor.output();
      if (!back.empty()) REQUIRE(dialler.lane->consume(back));
      if (there.empty() && back.empty()) return;
    }
    FAIL("the lanes never settle");
  }
  Holder& peer_of(const Holder& holder) { return *acceptor.held.at(holder.session->id()); }
};

}  // namespace weir::mesh::test
