// What a head costs: decoded from one read, decoded from two, and written again. Prints nanoseconds for each, the best of
// several rounds, so that a busy machine does not decide. Not part of any tier: run it before and after a change.
//   build/release/bin/bench_h1 [heads per round]
// Thread: one. Lifetime: the program's.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>

#include "nodeproxy/http/h1_decoder.h"
#include "nodeproxy/http/h1_encoder.h"

namespace {

using namespace weir::http;

constexpr std::string_view kRequest =
    "GET /api/v1/orders/8812?expand=items HTTP/1.1\r\nHost: orders.shop.svc.cluster.local\r\nUser-Agent: "
    "Go-http-client/1.1"
    "\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\nX-Request-Id: "
    "5a0c3f0e-2c2e-4c8e-9f0e-2a7d6a0d9c11\r\n"
    "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: "
    "application/json\r\n"
    "Content-Length: 0\r\nConnection: keep-alive\r\nETag: \"65a1b2c3-400\"\r\nCache-Control: no-store\r\n"
    "X-Request-Id: 5a0c3f0e-2c2e-4c8e-9f0e-2a7d6a0d9c11\r\nVary: Accept-Encoding\r\n\r\n";

// One message, given in `pieces` reads.
void decode(h1::Decoder& decoder, std::string_view text, size_t pieces) {
  const size_t step = (text.size() + pieces - 1) / pieces;
  for (; !text.empty(); text.remove_prefix(std::min(step, text.size()))) {
    auto input = std::as_bytes(std::span(text.substr(0, step)));
    while (true) {
      const auto event = decoder.next(input);
      if (!event) std::abort();
      if (event->kind == h1::Decoder::Kind::need_more || event->kind == h1::Decoder::Kind::end) break;
    }
  }
}

template <typename Work>
void measure(std::string_view what, int heads, const Work& work) {
  double best_ns = 1e9;
  for (int round = 0; round < 10; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < heads; ++i) work();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    best_ns = std::min(best_ns, took.count() / heads);
  }
  fmt::print("{:<44} {:7.0f} ns\n", what, best_ns);
}

}  // namespace

int main(int argc, char** argv) {
  const int heads = argc > 1 ? std::atoi(argv[1]) : 20'000;
  h1::Decoder requests(h1::Decoder::Role::requests), responses(h1::Decoder::Role::responses);
  Head get;
  get.method = "GET";
  const auto answer = [&](size_t pieces) {
    responses.expect_response_to(get);
    decode(responses, kResponse, pieces);
  };
  fmt::print("a request of {} bytes, a response of {}\n", kRequest.size(), kResponse.size());
  measure("request decoded", heads, [&] { decode(requests, kRequest, 1); });
  measure("request decoded from two reads", heads, [&] { decode(requests, kRequest, 2); });
  measure("response decoded", heads, [&] { answer(1); });
  std::string out;
  measure("request encoded", heads, [&] {
    out.clear();
    if (!h1::append_request_head(out, requests.head(), {.whole_bytes = 0})) std::abort();
  });
  measure("response encoded", heads, [&] {
    out.clear();
    if (!h1::append_response_head(out, responses.head())) std::abort();
  });
  const std::string chunk(1024, 'x');
  std::string chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 100; ++i) chunked.append("400\r\n").append(chunk).append("\r\n");
  chunked += "0\r\n\r\n";
  measure("a body of 100 chunks of 1 KiB decoded", heads / 100, [&] { decode(requests, chunked, 1); });
}
