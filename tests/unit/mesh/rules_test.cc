// Every rule of the frames, broken on purpose by a peer that is otherwise sane: the lane ends with protocol_error, names
// the rule, and its sessions are told. And what a peer may do although it looks odd.
#include <catch2/catch.hpp>
#include <functional>

#include "tests/unit/mesh/harness.h"

namespace weir::mesh::test {
namespace {

using Bytes = std::vector<std::byte>;

Bytes frame(uint8_t type, uint8_t flags, uint32_t session, std::string_view payload = {}) {
  Bytes bytes(kHeaderBytes + payload.size());
  encode_header({type, flags, static_cast<uint16_t>(payload.size()), session},
                std::span(bytes).first<kHeaderBytes>());
  std::copy_n(bytes_of(payload).data(), payload.size(), bytes.data() + kHeaderBytes);
  return bytes;
}
Bytes frame(FrameType type, uint32_t session, std::string_view payload = {}) {
  return frame(static_cast<uint8_t>(type), 0, session, payload);
}
Bytes settings() {
  Bytes bytes;
  append_settings(bytes, {});
  return bytes;
}
Bytes open(uint32_t session) {
  Bytes bytes;
  append_open(bytes, session, {*SocketAddress::parse("10.0.0.1:1"), "u", ""});
  return bytes;
}
Bytes goaway(uint32_t last) {
  Bytes bytes;
  append_goaway(bytes, {last, RstReason::draining});
  return bytes;
}
Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

using namespace std::string_literals;

struct Break {
  std::string rule;
  Bytes bytes;  // after SETTINGS, and for an acceptor OPEN of session 5
};

const std::string kFullFrame(limits::frame_payload_max_bytes, 'x');

std::vector<Break> to_acceptor() {
  Bytes too_much;
  for (int i = 0; i < 5; ++i) too_much = too_much + frame(FrameType::data, 5, kFullFrame);
  return {
      {"SETTINGS twice", settings()},
      {"a frame of the lane names a session", frame(FrameType::ping, 5, "12345678")},
      {"a frame of the lane names a session", frame(FrameType::goaway, 5, "\0\0\0\1\1"s)},
      {"session 0", frame(FrameType::data, 0, "x")},
      {"session 0", frame(FrameType::open, 0)},
      {"OPEN's session did not rise", open(5)},
      {"OPEN's session did not rise", open(4)},
      {"OPEN is malformed", frame(FrameType::open, 6, "abc")},
      {"OPENED to an acceptor", frame(FrameType::opened, 5)},
      {"OPENED has a payload", frame(FrameType::opened, 5, "x")},
      {"DATA is empty", frame(FrameType::data, 5)},
      {"DATA beyond the credit", too_much},
      {"DATA after FIN", frame(FrameType::fin, 5) + frame(FrameType::data, 5, "x")},
      {"FIN twice", frame(FrameType::fin, 5) + frame(FrameType::fin, 5)},
      {"FIN has a payload", frame(FrameType::fin, 5, "x")},
      {"RST is not 1 byte", frame(FrameType::rst, 5)},
      {"RST is not 1 byte", frame(FrameType::rst, 5, "xx")},
      {"CREDIT is not 4 bytes, or 0", frame(FrameType::credit, 5, "xxx")},
      {"CREDIT is not 4 bytes, or 0", frame(FrameType::credit, 5, "\0\0\0\0"s)},
      {"the credit is above 1 GiB", frame(FrameType::credit, 5, "\x40\0\0\0"s)},
      {"the credit is above 1 GiB", frame(FrameType::credit, 5, "\xff\xff\xff\xff")},
      {"PING is not 8 bytes", frame(FrameType::ping, 0, "1234567")},
      {"GOAWAY is malformed", frame(FrameType::goaway, 0, "1234")},
      {"GOAWAY's last session rose", goaway(3) + goaway(4)},
      {"a frame of a session that was never opened", frame(FrameType::data, 6, "x")},
      {"a frame of a session that was never opened", frame(FrameType::fin, 6)},
      {"a frame of a session that was never opened", frame(FrameType::rst, 6, "\1")},
      {"a frame of a session that was never opened", frame(FrameType::credit, 0xffffffff, "\0\0\0\1"s)},
      {"a critical frame of unknown type", frame(99, kFlagCritical, 0)},
      {"a critical frame of unknown type", frame(0, kFlagCritical, 5, "x")},
      {"a frame is longer than the most", frame(FrameType::data, 5, kFullFrame + "x")},
      {"a frame is longer than the most", frame(99, 0, 5, kFullFrame + "x")},
  };
}

void expect_broken(End& end, const Bytes& bytes, const std::string& rule, size_t step) {
  Status status;
  for (size_t at = 0; at < bytes.size() && status; at += step)
    status = end.lane->consume(std::span(bytes).subspan(at, std::min(step, bytes.size() - at)));
  REQUIRE_FALSE(status);
  CHECK(status.error() == Error{Source::peer, Reason::protocol_error});
  REQUIRE(end.lane->broken_rule());
  CHECK(end.lane->broken_rule() == rule);
  CHECK_FALSE(end.lane->wants_output());
  for (const auto& [id, holder] : end.held) CHECK(holder->reset == Reason::protocol_error);
  CHECK(end.lane->consume(settings()).error().reason == Reason::protocol_error);
}

}  // namespace

TEST_CASE("an acceptor ends the lane of a peer that breaks a rule") {
  const size_t step = GENERATE(1, 3, 100000);
  for (const Break& broken : to_acceptor()) {
    CAPTURE(broken.rule, step);
    End end(Role::acceptor);
    REQUIRE(end.lane->consume(settings() + open(5)));
    REQUIRE(end.held.size() == 1);
    expect_broken(end, broken.bytes, broken.rule, step);
  }
}

TEST_CASE("a dialler ends the lane of a peer that breaks a rule") {
  const std::vector<Break> breaks = {
      {"only the dialler opens", open(9)},
      {"OPENED twice", frame(FrameType::opened, 1) + frame(FrameType::opened, 1)},
      {"DATA before OPENED", frame(FrameType::data, 1, "x")},
      {"FIN before OPENED", frame(FrameType::fin, 1)},
      {"a frame of a session that was never opened", frame(FrameType::opened, 2)},
      {"a frame of a session that was never opened",
       frame(FrameType::opened, 1) + frame(FrameType::data, 2, "x")},
  };
  for (const Break& broken : breaks) {
    CAPTURE(broken.rule);
    End end(Role::dialler);
    end.open();
    REQUIRE(end.lane->consume(settings()));
    expect_broken(end, broken.bytes, broken.rule, 100000);
  }
}

TEST_CASE("the first frame must be SETTINGS, and sane") {
  for (const auto& [rule, bytes] : std::vector<Break>{
           {"the first frame is not SETTINGS", open(1)},
           {"the first frame is not SETTINGS", frame(99, 0, 0)},
           {"the first frame is not SETTINGS", frame(FrameType::ping, 0, "12345678")},
           {"SETTINGS is malformed", frame(FrameType::settings, 0, "short")},
           {"SETTINGS is malformed", frame(FrameType::settings, 0, std::string(18, 0))},
           {"a frame of the lane names a session", frame(FrameType::settings, 1, std::string(18, 1))}}) {
    CAPTURE(rule);
    End end(Role::acceptor);
    expect_broken(end, bytes, rule, 100000);
  }
}

TEST_CASE("a peer that floods and does not read is ended at 64 KiB of control frames") {
  const bool pings = GENERATE(true, false);
  LaneOptions options;
  options.settings.sessions_max = 1;
  End end(Role::acceptor, options);
  REQUIRE(end.lane->consume(settings() + open(1)));
  Status status;
  uint32_t frames = 0;
  for (; status && frames < 100000; ++frames)
    status = end.lane->consume(pings ? frame(FrameType::ping, 0, "12345678") : open(frames + 2));
  REQUIRE_FALSE(status);
  CHECK(status.error().reason == Reason::protocol_error);
  CHECK(frames < 64 * 1024 / 9 + 10);
  CHECK(frames > 64 * 1024 / 16 - 10);
}

TEST_CASE("unknown frames that are not critical are skipped, whatever they hold") {
  End end(Role::acceptor);
  REQUIRE(end.lane->consume(settings() + frame(99, 0x7f, 0, "lane") + open(5) + frame(200, 0, 5, kFullFrame) +
                            frame(0, 0, 77) + frame(FrameType::data, 5, "data")));
  CHECK(end.held.at(5)->received == "data");
}

TEST_CASE("frames of ended sessions are dropped") {
  End end(Role::acceptor);
  REQUIRE(end.lane->consume(settings() + open(5) + frame(FrameType::rst, 5, "\xc")));
  CHECK(end.held.at(5)->reset == Reason::client_closed);
  REQUIRE(end.lane->consume(frame(FrameType::data, 5, kFullFrame) + frame(FrameType::fin, 5) +
                            frame(FrameType::credit, 5, "\0\0\0\1"s) + frame(FrameType::rst, 5, "\1") +
                            frame(FrameType::data, 3, "of one that was jumped over")));
  CHECK(end.held.at(5)->received.empty());
}

TEST_CASE("a peer that opens and resets has no more to be put away than it may have open") {
  LaneOptions options;
  options.settings.sessions_max = 4;
  End end(Role::acceptor, options);
  REQUIRE(end.lane->consume(settings()));
  uint32_t id = 1;
  for (; id <= 20; ++id) REQUIRE(end.lane->consume(open(id) + frame(FrameType::rst, id, "\xc")));
  CHECK(end.held.size() == 5);  // the one too many was still to come
  REQUIRE(end.lane->consume(open(id)));
  CHECK_FALSE(end.held.contains(id));
  end.held.clear();
  REQUIRE(end.lane->consume(open(++id)));
  CHECK(end.held.contains(id));
}

TEST_CASE("an OPEN with a critical field that is not known is refused, and the lane goes on") {
  End end(Role::acceptor);
  const std::string client = "\x81\0\x12"s + std::string(10, 0) + "\xff\xff\x0a\0\0\1\0\x50"s;
  REQUIRE(end.lane->consume(settings() + frame(FrameType::open, 1, client + "\xff\0\1x"s) + open(2)));
  CHECK(end.held.size() == 1);
  End dialler(Role::dialler);
  dialler.open(), dialler.open();
  REQUIRE(dialler.lane->consume(end.output()));
  CHECK(dialler.held.at(1)->reset == Reason::protocol_error);
  CHECK_FALSE(dialler.held.at(1)->retryable);
  CHECK(dialler.held.at(2)->opened);
}

}  // namespace weir::mesh::test
