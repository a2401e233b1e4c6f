// The codec: what goes in comes out, and broken payloads do not.
#include "nodeproxy/mesh/frame.h"

#include <catch2/catch.hpp>

#include "tests/unit/mesh/harness.h"

namespace weir::mesh::test {
namespace {

std::span<const std::byte> payload(const std::vector<std::byte>& frame) {
  return std::span(frame).subspan(kHeaderBytes);
}
FrameHeader header(const std::vector<std::byte>& frame) {
  return decode_header(std::span(frame).first<kHeaderBytes>());
}

}  // namespace

TEST_CASE("a header is eight bytes in network order") {
  std::array<std::byte, kHeaderBytes> bytes;
  encode_header({4, 0x81, 0x1234, 0xdeadbeef}, bytes);
  CHECK(text_of(bytes) == "\x04\x81\x12\x34\xde\xad\xbe\xef");
  const FrameHeader back = decode_header(bytes);
  CHECK(back.type == 4);
  CHECK(back.flags == 0x81);
  CHECK(back.length == 0x1234);
  CHECK(back.session == 0xdeadbeef);
}

TEST_CASE("SETTINGS survive, longer ones are read as far as known, and nonsense is refused") {
  std::vector<std::byte> frame;
  append_settings(frame, {3, 100000, 7, 0x0102030405060708});
  CHECK(header(frame).length == frame.size() - kHeaderBytes);
  frame.push_back(std::byte{1});  // from a newer peer
  const auto settings = decode_settings(payload(frame));
  REQUIRE(settings);
  CHECK(settings->version == 3);
  CHECK(settings->initial_window_bytes == 100000);
  CHECK(settings->sessions_max == 7);
  CHECK(settings->features == 0x0102030405060708);
  CHECK_FALSE(decode_settings(payload(frame).first(17)));
  for (const Settings& wrong :
       {Settings{0, 65536, 1, 0}, Settings{1, 65535, 1, 0}, Settings{1, 1u << 31, 1, 0}}) {
    std::vector<std::byte> bad;
    append_settings(bad, wrong);
    CHECK_FALSE(decode_settings(payload(bad)));
  }
}

TEST_CASE("OPEN carries the client, the workload and the service") {
  const OpenInfo sent{*SocketAddress::parse(GENERATE(as<std::string>(), "10.1.2.3:80", "[fd00::7]:65535")),
                      GENERATE(as<std::string>(), "", "uid"), GENERATE(as<std::string>(), "", "ns/name")};
  std::vector<std::byte> frame;
  append_open(frame, 9, sent);
  CHECK(header(frame).session == 9);
  OpenInfo got;
  REQUIRE(decode_open(payload(frame), got) == OpenError::none);
  CHECK(got.client == sent.client);
  CHECK(got.workload_uid == sent.workload_uid);
  CHECK(got.service == sent.service);
}

TEST_CASE("OPEN's unknown fields are skipped unless critical, and broken ones are told") {
  using namespace std::string_literals;
  const std::string client = "\x81\0\x12"s + std::string(10, 0) + "\xff\xff\x0a\0\0\1\0\x50"s;
  const auto decode = [](const std::string& text) {
    OpenInfo info;
    return decode_open(bytes_of(text), info);
  };
  CHECK(decode(client) == OpenError::none);
  CHECK(decode(client + "\x40\0\2xx"s) == OpenError::none);
  CHECK(decode("\xc0\0\2xx"s + client) == OpenError::unknown_critical);
  CHECK(decode(""s) == OpenError::malformed);  // no client address
  CHECK(decode("\2\0\1x"s) == OpenError::malformed);
  CHECK(decode(client + client) == OpenError::malformed);  // twice
  CHECK(decode(client + "\2\0\1x\2\0\1x"s) == OpenError::malformed);
  CHECK(decode("\x81\0\x11"s + std::string(17, 0)) == OpenError::malformed);  // 17 bytes
  CHECK(decode(client + "\2\0\0"s) == OpenError::malformed);                  // an empty name
  CHECK(decode(client + "\3\x02\x01"s + std::string(513, 'x')) == OpenError::malformed);
  for (size_t n = 1; n < client.size(); ++n) CHECK(decode(client.substr(0, n)) == OpenError::malformed);
}

TEST_CASE("reasons survive the wire, and only the safe ones are retryable") {
  for (const Reason reason :
       {Reason::refused, Reason::unreachable, Reason::draining, Reason::overloaded, Reason::denied,
        Reason::not_allowed, Reason::policy_changed, Reason::inspection_required, Reason::pod_removed,
        Reason::half_closed_timeout, Reason::internal}) {
    CHECK(reason_of(rst_reason_of(reason), Role::dialler) == reason);
  }
  CHECK(reason_of(RstReason::reset, Role::dialler) == Reason::server_reset);
  CHECK(reason_of(RstReason::reset, Role::acceptor) == Reason::client_reset);
  CHECK(reason_of(static_cast<RstReason>(200), Role::dialler) == Reason::cancelled);
  CHECK(retryable(RstReason::refused));
  CHECK_FALSE(retryable(RstReason::denied));
  CHECK_FALSE(retryable(RstReason::reset));
  CHECK_FALSE(retryable(RstReason::cancelled));
}

}  // namespace weir::mesh::test
