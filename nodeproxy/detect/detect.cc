// Reading first bytes until they are decided. See detect.h.
#include "nodeproxy/detect/detect.h"

#include <algorithm>
#include <vector>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/detect/client_hello.h"

namespace weir::detect {
namespace {

Protocol protocol_of(Sniff sniff) {
  switch (sniff) {
    case Sniff::tls_weir: return Protocol::weir;
    case Sniff::tls_foreign: return Protocol::foreign_tls;
    default: return Protocol::opaque;  // what only began like TLS is the application's business
  }
}

}  // namespace

io::Task<Result<Hello>> first_bytes(io::Driver& driver, io::Socket& socket, io::TimePoint silence) {
  Hello hello;
  auto first = co_await socket.receive(io::ReceiveSize::small, silence);
  if (!first) {
    if (first.error().reason == Reason::detect_timeout) co_return hello;
    co_return std::unexpected(first.error());
  }
  hello.bytes = std::move(*first);
  hello.fin = hello.bytes.empty();
  ClientHelloSniffer sniffer;
  Sniff sniff = sniffer.sniff(hello.bytes.bytes());
  if (sniff != Sniff::need_more || hello.fin) {
    hello.protocol = hello.fin ? Protocol::silent : protocol_of(sniff);
    co_return hello;
  }
  // A ClientHello in pieces: gathered until it is whole.
  const io::TimePoint last = driver.now() + limits::first_flight_timeout;
  std::vector<std::byte> gathered(hello.bytes.bytes().begin(), hello.bytes.bytes().end());
  hello.bytes = io::Buffer();  // back to the pool: who waits keeps none, or slow peers are the end of it
  while (sniff == Sniff::need_more) {
    auto more = co_await socket.receive(io::ReceiveSize::small, last);
    if (!more) co_return std::unexpected(more.error());
    // Half a ClientHello is nobody's message: a mesh peer that broke off must not reach the application.
    if (more->empty()) co_return fail(Source::downstream, Reason::truncated);
    gathered.insert(gathered.end(), more->bytes().begin(), more->bytes().end());
    sniff = sniffer.sniff(gathered);
  }
  hello.bytes = io::copy_to_buffer(gathered);
  hello.protocol = protocol_of(sniff);
  co_return hello;
}

io::Task<Result<Heard>> application_speech(io::Driver& driver, io::Socket& client, Hint hint) {
  Heard heard;
  const bool declared = hint == Hint::http;
  auto first = co_await client.receive(io::ReceiveSize::small,
                                       declared ? io::kNever : driver.now() + limits::detect_timeout);
  if (!first) {
    if (first.error().reason == Reason::detect_timeout) co_return heard;
    co_return std::unexpected(first.error());
  }
  if (first->empty() && declared) co_return fail(Source::downstream, Reason::client_closed);
  if (first->empty()) {
    heard.fin = true;
    co_return heard;
  }
  auto spoken = co_await continue_speech(driver, client, std::move(*first), declared);
  // What a port is declared to speak is not doubted: anything but the preface is HTTP/1.1, and refused as that if need be.
  if (spoken && declared && spoken->speech != Speech::http2) spoken->speech = Speech::http1;
  co_return spoken;
}

io::Task<Result<Heard>> continue_speech(io::Driver& driver, io::Socket& client, io::Buffer first,
                                        bool declared) {
  Heard heard;
  heard.bytes = std::move(first);
  heard.speech = speech_of(heard.bytes.bytes(), declared);
  const io::TimePoint last =
      driver.now() + (declared ? io::Clock::duration(limits::http_header_timeout) : limits::detect_timeout);
  while (heard.speech == Speech::need_more && !heard.fin) {
    auto more = co_await client.receive(io::ReceiveSize::small, last);
    if (!more) {
      if (more.error().reason != Reason::detect_timeout) co_return std::unexpected(more.error());
      break;  // begun and not ended: HTTP's own time-out, or an opaque client that takes its time
    }
    heard.fin = more->empty();
    if (heard.fin) break;
    heard.bytes = io::joined(heard.bytes.bytes(), more->bytes());
    heard.speech = speech_of(heard.bytes.bytes(), declared);
  }
  if (heard.speech == Speech::need_more) heard.speech = Speech::opaque;
  co_return heard;
}

}  // namespace weir::detect
