#pragma once
// HTTP/2 connections with recording ends: what each stream was told, a client and a server joined back to back, and a
// peer that writes frames by hand where no honest one would.
// Owner: the tests of http/. Thread: one.
#include <nghttp2/nghttp2.h>

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nodeproxy/http/h2_connection.h"

namespace weir::http::h2::test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::string text_of(const Headers& headers) {
  std::string text;
  for (const Field field : headers) text += std::string(field.name) + ": " + std::string(field.value) + "\n";
  return text;
}

inline Head get(std::string_view path = "/") {
  Head head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = "shop.example";
  head.path = path;
  return head;
}
inline Head post(std::string_view path = "/") {
  Head head = get(path);
  head.method = "POST";
  return head;
}
inline Head answer(uint16_t status = 200) {
  Head head;
  head.status = status;
  return head;
}

// What one stream was told.
struct Record {
  std::vector<Head> heads;
  Head too_large;
  std::string body;
  std::string trailers;
  bool head_end = false, got_too_large = false, end = false, closed = false, unprocessed = false;
  Reason reset = Reason::none;
  uint32_t code = 0;
  int resets = 0, drained = 0;

  const Head& head() const {
    REQUIRE(!heads.empty());
    return heads.back();
  }
  bool whole() const { return !heads.empty() && (end || head_end) && resets == 0; }
};

// A connection and its records, by stream. Consumes what comes unless told not to.
struct End : Events {
  std::map<uint32_t, Record> streams;
  std::vector<std::pair<uint32_t, uint32_t>> goaways;
  int settings = 0, pongs = 0;
  bool auto_consume = true, auto_release = false;
  std::unique_ptr<Connection> connection;
  io::TimePoint now{std::chrono::hours(1)};
  std::string last_rule;

  explicit End(Role role, const Settings& settings = {})
      : connection(role == Role::server ? Connection::server(*this, settings)
                                        : Connection::client(*this, settings)) {}

  void on_head(uint32_t id, Head&& head, bool is_end) override {
    streams[id].heads.push_back(std::move(head));
    streams[id].head_end = is_end;
  }
  void on_head_too_large(uint32_t id, Head&& head, bool is_end) override {
    streams[id].too_large = std::move(head);
    streams[id].got_too_large = true;
    streams[id].head_end = is_end;
  }
  void on_data(uint32_t id, std::span<const std::byte> bytes) override {
    streams[id].body += text_of(bytes);
    if (auto_consume) connection->consume(id, bytes.size());
  }
  void on_trailers(uint32_t id, Headers&& trailers) override { streams[id].trailers = text_of(trailers); }
  void on_end(uint32_t id) override { streams[id].end = true; }
  void on_reset(uint32_t id, Reason reason, uint32_t code, bool unprocessed) override {
    Record& record = streams[id];
    ++record.resets;
    record.reset = reason;
    record.code = code;
    record.unprocessed = unprocessed;
    last_rule = connection->broken_rule() ? connection->broken_rule() : "";
  }
  void on_closed(uint32_t id) override {
    streams[id].closed = true;
    if (auto_release) connection->release(id);
  }
  void on_drained(uint32_t id) override { ++streams[id].drained; }
  void on_goaway(uint32_t last, uint32_t code) override { goaways.emplace_back(last, code); }
  void on_settings() override { ++settings; }
  void on_pong() override { ++pongs; }

  void write(uint32_t id, std::string_view text) {
    connection->write(id, io::copy_to_buffer(bytes_of(text)));
  }
  uint32_t request(const Head& head, bool end = true) {
    const auto id = connection->request(head, end);
    if (!id) FAIL(id.error().describe());
    return *id;
  }
  Status feed(std::span<const std::byte> bytes) { return connection->feed(bytes, now); }
  // All that it has to send now, at most `max` bytes.
  std::vector<std::byte> output(size_t max = 64 * 1024) {
    std::vector<std::byte> out(max);
    out.resize(connection->produce(out));
    return out;
  }
};

// A client and a server.
struct Joined {
  End client, server;

  explicit Joined(const Settings& c = {}, const Settings& s = {})
      : client(Role::client, c), server(Role::server, s) {
    settle();
  }
  // Until neither has anything to say. Errors are the tests' to look at: ended().
  void settle() {
    for (int round = 0; round < 10000; ++round) {
      const auto there = client.output();
      if (!there.empty()) static_cast<void>(server.feed(there));
      const auto back = server.output();
      if (!back.empty()) static_cast<void>(client.feed(back));
      if (there.empty() && back.empty()) return;
    }
    FAIL("the connections never settle");
  }
};

}  // namespace weir::http::h2::test
