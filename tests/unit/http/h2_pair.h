#pragma once
// H2Client and H2Server joined back to back, and what a test asks of either.
// Thread: the test's.
#include "nodeproxy/http/h2_client.h"
#include "nodeproxy/http/h2_server.h"
#include "tests/unit/http/memory_stream.h"

namespace weir::http::test {

using namespace std::chrono_literals;

inline Head get(std::string_view path = "/a") {
  Head head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = "s";
  head.path = path;
  return head;
}

// A server's connection, and the requests that came over it.
struct Requests final : H2ServerEvents {
  struct One {
    MessageStream* stream;
    std::string method, path, body;
    Head head;
    bool end = false;
    bool too_large = false;
    std::unique_ptr<Watcher> watcher = std::make_unique<Watcher>();
  };
  std::vector<One> all;

  void add(MessageStream& stream, const Piece& first, bool too_large) {
    all.push_back({&stream, first.head->method, first.head->path, text_of(first.body), *first.head, first.end,
                   too_large});
    stream.watch(all.back().watcher.get());
  }
  void on_request(MessageStream& stream, Piece first) override { add(stream, first, false); }
  void on_request_too_large(MessageStream& stream, Piece first) override { add(stream, first, true); }
};

struct Pair {
  Wire up, down;
  MemoryStream server_bytes{up, down};
  Pool pool;
  Requests requests;
  Loop loop;
  H2Client client{loop.driver, std::make_unique<MemoryStream>(down, up), pool};
  H2Server server{loop.driver, server_bytes, requests};

  explicit Pair(bool serve = true) {
    client.start();
    if (serve) {
      loop.scope.spawn(server.write());
      loop.scope.spawn(server.read());
    }
    loop.idle();
  }
  ~Pair() {
    client.end(Reason::cancelled);
    server.terminate(Reason::cancelled);
    loop.stop();
    loop.world.run_until([&] { return client.empty(); });
  }

  MessageStream& ask(Head head = get(), std::string_view body = {}, bool end = true) {
    REQUIRE(client.can_begin());
    MessageStream& stream = client.begin();
    REQUIRE(loop.run(stream.write(piece(&head, body, end), io::kNever)));
    loop.idle();
    return stream;
  }
  void answer(MessageStream& stream, uint16_t status = 200, std::string_view body = {}, bool end = true) {
    Head head;
    head.status = status;
    REQUIRE(loop.run(stream.write(piece(&head, body, end), io::kNever)));
    loop.idle();
  }
  // What one side still has to read, as text; its end, or the error that ended it.
  struct Rest {
    std::string text;
    std::optional<Error> error;
    uint16_t status = 0;
    std::string trailers;
  };
  Rest read(MessageStream& stream) {
    Rest rest;
    for (;;) {
      auto got = loop.run(stream.read(loop.driver.now() + 1h));
      if (!got) {
        rest.error = got.error();
        return rest;
      }
      if (got->head) rest.status = got->head->status;
      rest.text += text_of(got->body);
      if (got->trailers)
        for (const Field field : *got->trailers)
          rest.trailers += std::string(field.name) + "=" + std::string(field.value);
      if (got->end) return rest;
    }
  }
};

}  // namespace weir::http::test
