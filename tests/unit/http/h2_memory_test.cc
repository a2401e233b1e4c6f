// The memory that connections of a worker share: it is what nghttp2 asks for, and nobody's frames get into anybody else's.
// With ASan the place is forbidden between uses, so every other test of HTTP/2 tests this too.
#include "nodeproxy/http/h2_memory.h"

#include <random>

#include "tests/unit/http/h2_harness.h"

namespace weir::http::h2::test {
namespace {

TEST_CASE("the nghttp2 of this build takes the place of the frame that leaves from those that are shared") {
  nghttp2_session_callbacks* callbacks = nullptr;
  REQUIRE(nghttp2_session_callbacks_new(&callbacks) == 0);
  SessionMemory memory, other;
  for (SessionMemory* one : {&memory, &other}) {
    const SessionMemory::Use use(*one);
    nghttp2_session* session = nullptr;
    REQUIRE(nghttp2_session_server_new3(&session, callbacks, nullptr, nullptr, one->functions()) == 0);
    one->made();
    CHECK(one->shares());
    nghttp2_session_del(session);
  }
  nghttp2_session_callbacks_del(callbacks);
}

std::string random_text(std::mt19937& random, size_t size) {
  std::string text(size, ' ');
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  return text;
}

struct Asked {
  uint32_t stream;
  std::string path, field, body;
};

struct Talk {
  End client{Role::client}, server{Role::server};
  std::vector<Asked> asked;

  // Heads of many frames and of a part of one, and bodies.
  void ask(std::mt19937& random) {
    Asked one{0, "/" + random_text(random, 8), random_text(random, random() % 8 == 0 ? 50'000 : 300), {}};
    one.body = random_text(random, random() % 30'000);
    Head head = post(one.path);
    head.headers.add("x-text", one.field);
    one.stream = client.request(head, false);
    client.write(one.stream, one.body);
    client.connection->finish(one.stream);
    asked.push_back(std::move(one));
  }
  // A piece from one side to the other; whether there was one.
  bool pass(std::mt19937& random) {
    const bool up = random() % 2 == 0;
    End& from = up ? client : server;
    End& to = up ? server : client;
    const auto bytes = from.output(2048 + random() % 20'000);
    if (!bytes.empty()) REQUIRE(to.feed(bytes));
    return !bytes.empty();
  }
  bool quiet() const { return !client.connection->wants_output() && !server.connection->wants_output(); }
};

TEST_CASE("connections of one worker that take turns in the middle of heads and bodies say each their own") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::vector<std::unique_ptr<Talk>> talks;
  for (int i = 0; i < 20; ++i) talks.push_back(std::make_unique<Talk>());
  for (const auto& talk : talks)
    for (int i = 0; i < 6; ++i) talk->ask(random);
  const auto quiet = [](const auto& talk) { return talk->quiet(); };
  for (int turn = 0; turn < 1'000'000 && !std::ranges::all_of(talks, quiet); ++turn)
    talks[random() % talks.size()]->pass(random);
  for (const auto& talk : talks) {
    for (const Asked& one : talk->asked) {
      const Record& got = talk->server.streams[one.stream];
      REQUIRE(got.whole());
      CHECK(got.head().path == one.path);
      CHECK((got.head().headers.get("x-text") == one.field));
      CHECK((got.body == one.body));
    }
  }
}

TEST_CASE("a connection may go while another is in the middle of its head") {
  auto going = std::make_unique<Joined>();
  Joined staying;
  Head head = post();
  const std::string text(40'000, 'x');
  head.headers.add("x-text", text);
  const uint32_t stream = staying.client.request(head);
  auto part = staying.client.output(2048);
  going.reset();
  REQUIRE(staying.server.feed(part));
  staying.settle();
  CHECK((staying.server.streams[stream].head().headers.get("x-text") == text));
}

}  // namespace
}  // namespace weir::http::h2::test
