// What a connection of HTTP/2 keeps when nothing happens on it: new, after one small request, and after it has carried
// as many streams with as large heads as it may. Both sides of a thousand connections, without sockets.
// Thread: main, as a worker. Lifetime: the program's.
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "bench/micro/micro.h"
#include "nodeproxy/http/h2_connection.h"

namespace weir::bench {
namespace {

namespace h2 = http::h2;

constexpr size_t kConnections = 1'000;
constexpr size_t kScratchBytes = 64 * 1024;

// One side; as a server it answers every request at once.
struct End final : h2::Events {
  explicit End(h2::Role role)
      : connection(role == h2::Role::server ? h2::Connection::server(*this) : h2::Connection::client(*this)) {
  }

  void on_head(uint32_t stream, http::Head&&, bool end) override {
    if (connection->role() == h2::Role::server) {
      http::Head answer;
      answer.status = 200;
      answer.content_length = 0;
      (void)connection->respond(stream, answer, true);
    }
    if (end) over.push_back(stream);
  }
  void on_head_too_large(uint32_t, http::Head&&, bool) override {}
  void on_data(uint32_t, std::span<const std::byte>) override {}
  void on_trailers(uint32_t, http::Headers&&) override {}
  void on_end(uint32_t stream) override { over.push_back(stream); }
  void on_reset(uint32_t, Reason, uint32_t, bool) override {}

  void give_back() {
    for (const uint32_t stream : over) connection->release(stream);
    over.clear();
    over.shrink_to_fit();
  }

  std::unique_ptr<h2::Connection> connection;
  std::vector<uint32_t> over;
};

struct Pair {
  End client{h2::Role::client}, server{h2::Role::server};
};

void settle(Pair& pair) {
  static std::vector<std::byte> scratch(kScratchBytes);
  const auto pass = [](End& from, End& to) {
    bool any = false;
    while (from.connection->wants_output()) {
      const size_t bytes = from.connection->produce(scratch);
      if (bytes == 0) break;
      if (!to.connection->feed(std::span(scratch).first(bytes), {})) std::abort();
      any = true;
    }
    return any;
  };
  for (bool moved = true; moved;) {  // both, each time
    moved = pass(pair.client, pair.server);
    moved = pass(pair.server, pair.client) || moved;
  }
  pair.client.give_back();
  pair.server.give_back();
}

void ask(Pair& pair, size_t streams, size_t fields) {
  http::Head head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = "web.shop";
  for (size_t i = 0; i < streams; ++i) {
    head.path = fmt::format("/{}", i);
    head.headers.clear();
    for (size_t f = 0; f < fields; ++f) head.headers.add(fmt::format("x-field-{}", f), std::string(100, 'x'));
    if (!pair.client.connection->request(head, true)) std::abort();
  }
  settle(pair);
}

size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  size_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

void run() {
  std::vector<std::unique_ptr<Pair>> pairs;
  pairs.reserve(kConnections);
  ask(*pairs.emplace_back(std::make_unique<Pair>()), 1, 1);  // what is made once
  pairs.clear();
  const size_t before = allocated_bytes();
  const size_t resident_before = resident_bytes();
  const auto print = [&](std::string_view what) {
    print_bytes(what, static_cast<double>(allocated_bytes() - before) / kConnections);
    print_bytes("  resident", static_cast<double>(resident_bytes() - resident_before) / kConnections);
  };
  for (size_t i = 0; i < kConnections; ++i) pairs.push_back(std::make_unique<Pair>());
  print("both sides of a connection, made");
  for (const auto& pair : pairs) settle(*pair);
  print("both sides, settings exchanged");
  for (const auto& pair : pairs) ask(*pair, 1, 5);
  print("both sides, idle after one request");
  for (const auto& pair : pairs) ask(*pair, limits::h2_streams_max, 5);
  print("both sides, idle after 100 streams at once");
  for (const auto& pair : pairs) ask(*pair, 8, 90);
  print("both sides, idle after heads of 90 fields and 10 KB");
}

const Registered registered("h2", "a connection of HTTP/2 at rest: the codec's memory, both sides", run);

}  // namespace
}  // namespace weir::bench
