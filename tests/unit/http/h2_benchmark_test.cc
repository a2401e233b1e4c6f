// What the HTTP/2 codec costs: CPU of a client and a server connection that exchange 1 KiB requests and answers in
// memory. Hidden: run with the tag [.benchmark], in a release build, on a quiet machine.
#include <time.h>

#include "tests/unit/http/h2_harness.h"

namespace weir::http::h2::test {
namespace {

constexpr size_t kBodyBytes = 1024;

double cpu_us() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

Head like_grpc() {
  Head head = post("/shop.Cart/AddItem");
  head.headers.add("user-agent", "grpc-go/1.60.0");
  head.headers.add("content-type", "application/grpc");
  head.headers.add("te", "trailers");
  head.headers.add("grpc-timeout", "1S");
  head.headers.add("x-request-id", "5f2b3c4d-0000-1111-2222-333344445555");
  return head;
}

struct Echo : Events {
  std::unique_ptr<Connection> connection;
  Head answer_head = answer();
  Head head;
  uint64_t served = 0;

  void on_head(uint32_t, Head&& received, bool) override { std::swap(head, received); }
  void on_head_too_large(uint32_t, Head&&, bool) override {}
  void on_data(uint32_t id, std::span<const std::byte> bytes) override {
    connection->consume(id, bytes.size());
  }
  void on_trailers(uint32_t, Headers&&) override {}
  void on_reset(uint32_t, Reason, uint32_t, bool) override { FAIL("reset"); }
  void on_closed(uint32_t id) override { connection->release(id); }
  void on_end(uint32_t id) override {
    ++served;
    if (connection->role() == Role::client) return;
    static_cast<void>(connection->respond(id, answer_head, false));
    connection->write(id, io::make_buffer(kBodyBytes));
    auto trailers = std::make_unique<Headers>();
    trailers->add("grpc-status", "0");
    connection->finish(id, std::move(trailers));
  }
};

}  // namespace

TEST_CASE("CPU of an HTTP/2 exchange of 1 KiB", "[.benchmark]") {
  for (const uint32_t at_once : {1u, 32u}) {
    Echo client, server;
    client.connection = Connection::client(client);
    server.connection = Connection::server(server);
    server.answer_head.headers.add("content-type", "application/grpc");
    const Head head = like_grpc();
    std::vector<std::byte> wire(128 * 1024);
    const auto carry = [&](Connection& from, Connection& to) {
      while (from.wants_output()) {
        const size_t n = from.produce(wire);
        REQUIRE(to.feed(std::span(wire).first(n), io::TimePoint(std::chrono::hours(1))));
      }
    };
    const uint64_t rounds = 200'000 / at_once;
    const double start_us = cpu_us();
    for (uint64_t round = 0; round < rounds; ++round) {
      for (uint32_t i = 0; i < at_once; ++i) {
        const auto id = client.connection->request(head, false);
        if (!id) FAIL(id.error().describe());
        client.connection->write(*id, io::make_buffer(kBodyBytes));
        client.connection->finish(*id);
      }
      carry(*client.connection, *server.connection);
      carry(*server.connection, *client.connection);
    }
    const double us = (cpu_us() - start_us) / static_cast<double>(rounds * at_once);
    WARN(at_once << " at once: " << us << " µs of CPU per exchange, both ends together");
    CHECK(client.served == rounds * at_once);
  }
}

}  // namespace weir::http::h2::test
