#pragma once
// The owner of a fuzzed HTTP/2 connection: acts on streams by their id, so that every path is walked, writes down what it
// is told, and aborts when that breaks a promise of h2_connection.h.
// Owner: the fuzz targets h2_server_fuzz and h2_client_fuzz. Thread: one.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nodeproxy/http/h2_connection.h"
#include "nodeproxy/http/h2_head_writer.h"

namespace weir::http::h2 {

inline void expect(bool promise) {
  if (!promise) std::abort();
}

inline void expect_same(const std::string& whole, const std::string& cut) {
  if (whole == cut) return;
  std::fprintf(stderr, "whole:\n%s\ncut:\n%s\n", whole.c_str(), cut.c_str());
  std::abort();
}

struct Observer : Events {
  struct Told {
    std::string log, body;
    bool final_head = false, end = false, reset = false, closed = false, begun = false;
  };
  std::unique_ptr<Connection> connection;
  std::map<uint32_t, Told> streams;
  std::string log;  // of the connection

  Told& of(uint32_t id) {
    Told& told = streams[id];
    expect(!told.reset && !told.closed);
    return told;
  }
  bool reader(uint32_t id) const { return id % 8 != 5; }

  // What was taken in must have one form, and be good to go out again.
  void check(const Head& head) {
    HeadWriter writer;
    expect((connection->role() == Role::server ? writer.request(head) : writer.response(head, false)) ==
           nullptr);
    expect(head.version == Version::http_2);
    expect(head.headers.size() <= limits::http_fields_max);
    check(head.headers);
  }
  void check(const Headers& headers) {
    size_t bytes = 0;
    for (const Field field : headers) {
      bytes += field.name.size() + field.value.size();
      expect(!field.name.empty() &&
             field.name.find_first_of(":ABCDEFGHIJKLMNOPQRSTUVWXYZ \r\n") == field.name.npos);
      expect(field.value.find_first_of(std::string_view("\r\n\0", 3)) == field.value.npos);
      for (const char* gone :
           {"connection", "transfer-encoding", "content-length", "host", "upgrade", "keep-alive"})
        expect(connection->role() == Role::client || field.name != gone);
    }
    expect(bytes <= limits::http_head_max_bytes);
  }

  void on_head(uint32_t id, Head&& head, bool is_end) override {
    Told& told = of(id);
    expect(!told.final_head && !told.end);
    check(head);
    told.final_head = !head.informational();
    told.end = is_end;
    told.log += head.method + head.path + std::to_string(head.status) + (is_end ? " end\n" : "\n");
    for (const Field field : head.headers)
      told.log += std::string(field.name) + ": " + std::string(field.value) + "\n";
    if (connection->role() == Role::server) answer(id);
  }
  void on_head_too_large(uint32_t id, Head&&, bool is_end) override {
    Told& told = of(id);
    expect(connection->role() == Role::server && !told.final_head);
    told.final_head = true;
    told.end = is_end;
    told.log += "too large\n";
    answer(id);
  }
  void on_data(uint32_t id, std::span<const std::byte> bytes) override {
    Told& told = of(id);
    expect(told.final_head && !told.end && !bytes.empty());
    told.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (reader(id)) connection->consume(id, bytes.size());
    // A frame that overruns the window is let in before its stream is reset.
    if (!reader(id)) expect(told.body.size() <= limits::h2_stream_window_initial_bytes + 16'384);
  }
  void on_trailers(uint32_t id, Headers&& trailers) override {
    Told& told = of(id);
    expect(told.final_head && !told.end);
    check(trailers);
    for (const Field field : trailers)
      told.log += std::string(field.name) + "= " + std::string(field.value) + "\n";
  }
  void on_end(uint32_t id) override {
    Told& told = of(id);
    expect(told.final_head && !told.end);
    told.end = true;
    told.log += "end " + told.body + "\n";
    if (connection->role() == Role::server && id % 4 == 3) answer(id);
  }
  void on_reset(uint32_t id, Reason reason, uint32_t code, bool unprocessed) override {
    Told& told = of(id);
    told.reset = true;
    expect(!unprocessed || (connection->role() == Role::client && !told.final_head));
    told.log += "reset " + std::string(label(reason)) + std::to_string(code) +
                (unprocessed ? " unprocessed\n" : "\n");
  }
  void on_closed(uint32_t id) override {
    Told& told = streams[id];
    expect(!told.closed);
    told.closed = true;
    told.log += "closed\n";
    if (id % 16 != 7) connection->release(id);
  }
  void on_goaway(uint32_t last, uint32_t code) override {
    log += "goaway " + std::to_string(last) + " " + std::to_string(code) + "\n";
  }
  void on_settings() override { log += "settings\n"; }

  void answer(uint32_t id) {
    Told& told = streams[id];
    if (std::exchange(told.begun, true)) return;
    Head head;
    head.status = id % 16 == 3 ? 204 : 200;
    if (id % 8 == 1) {
      Head hint;
      hint.status = 103;
      static_cast<void>(connection->respond(id, hint, false));
    }
    static_cast<void>(connection->respond(id, head, false));
    connection->write(id, io::copy_to_buffer(std::as_bytes(std::span("answer"))));
    if (id % 32 == 9) return connection->reset(id, kCancel);
    auto trailers = std::make_unique<Headers>();
    if (id % 8 == 7) trailers->add("x-sum", "1");
    connection->finish(id, std::move(trailers));
  }

  // All bytes in pieces of `step`, with output taken as it comes, then the end. What was told, as text.
  std::string run(std::span<const std::byte> bytes, size_t step) {
    std::vector<std::byte> out(4096);
    io::TimePoint now{std::chrono::hours(1)};
    const auto flush = [&] {
      while (connection->wants_output()) expect(connection->produce(out) > 0 || !connection->wants_output());
    };
    flush();
    while (!bytes.empty()) {
      const size_t n = std::min(step, bytes.size());
      if (!connection->feed(bytes.first(n), now)) {
        expect(connection->ended().has_value());
        break;
      }
      bytes = bytes.subspan(n);
    }
    flush();
    const auto& ended = connection->ended();
    std::string all = log + (ended ? std::string(label(ended->reason)) : "open") + "\n";
    connection->fail(Error{Source::peer, Reason::peer_lost, 0, {}});
    expect(connection->active_streams() == 0);
    for (const auto& [id, told] : streams) {
      expect(told.closed || id % 16 == 7);
      all += std::to_string(id) + " " + told.log;
    }
    return all;
  }
};

}  // namespace weir::http::h2
