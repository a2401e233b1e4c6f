#pragma once
// Messages through the encoder and back. What was decoded is written again and must be decoded as the same: the text
// returned says what was not, and is empty if all is well. Shared by the tests and the fuzz targets.
// Owner: a test. Thread: one.
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/base/limits.h"
#include "nodeproxy/http/h1_encoder.h"
#include "tests/unit/http/h1_transcript.h"

namespace weir::http::h1::test {

// A message as the bytes of a connection; `request` is what a response answers. In several chunks if it is chunked.
inline std::optional<std::string> encode(const Message& message, const Head& request, bool whole = false) {
  std::string out;
  std::optional<uint64_t> bytes;
  if (message.trailers.empty() && (whole || message.body.empty())) bytes = message.body.size();
  if (message.head.content_length) bytes.reset();
  const auto body = message.head.is_request()
                        ? append_request_head(out, message.head, {.whole_bytes = bytes})
                        : append_response_head(out, message.head,
                                               {.whole_bytes = bytes,
                                                .to_head = request.method == "HEAD",
                                                .to_connect = request.method == "CONNECT"});
  if (!body) return std::nullopt;
  if (*body == Body::chunked) {
    for (size_t at = 0; at < message.body.size(); at += 1000) {
      const std::string part = message.body.substr(at, 1000);
      append_chunk_begin(out, part.size());
      out.append(part).append(kChunkEnd);
    }
    if (!append_last_chunk(out, &message.trailers)) return std::nullopt;
  } else if (*body == Body::length) {
    out += message.body;
  }
  return out;
}

// A close-delimited body may come back in chunks, and an empty chunked one as a length of 0: not the message's concern.
inline std::string essence(Message message) {
  if (message.head.content_length == 0u) message.head.content_length.reset();
  return describe(message, true);
}

inline std::string again(const Message& first, Decoder::Role role, const Head& request) {
  // The encoder adds a few fields of its own: at the limit they are one hop too many.
  if (first.head.headers.size() + 5 > limits::http_fields_max) return {};
  const auto written = encode(first, request);
  if (!written) return "refused to write\n" + describe(first);
  Driver driver(role, {request});
  driver.give(*written);
  if (driver.run().messages.size() != 1 || !driver.run().left.empty())
    return "came back as\n" + driver.run().text() + "from\n" + *written;
  if (essence(driver.run().messages[0]) != essence(first))
    return essence(first) + "became\n" + essence(driver.run().messages[0]);
  return {};
}

inline std::string round_trip_requests(std::string_view text) {
  for (const Message& message : requests(text, true).messages) {
    if (!message.ended) continue;  // cut off or refused within
    if (std::string wrong = again(message, Decoder::Role::requests, {}); !wrong.empty()) return wrong;
  }
  return {};
}

inline std::string round_trip_responses(std::string_view text, const std::vector<Head>& to) {
  Driver driver(Decoder::Role::responses, to);
  driver.give(text);
  driver.fin();
  size_t answered = 0;
  for (const Message& message : driver.run().messages) {
    const Head request = answered < to.size() ? to[answered] : asking("GET");
    answered += !message.head.informational();
    const bool tunnel = !message.ended && driver.run().at_switch && &message == &driver.run().messages.back();
    if (!message.ended && !tunnel && !message.head.informational()) continue;
    if (std::string wrong = again(message, Decoder::Role::responses, request); !wrong.empty()) return wrong;
  }
  return {};
}

inline std::string random_text(std::mt19937& random, std::string_view chars, size_t least, size_t most) {
  std::string text(least + random() % (most - least + 1), ' ');
  for (char& c : text) c = chars[random() % chars.size()];
  return text;
}

// As a decoder would have made it.
inline Message random_message(std::mt19937& random, bool request) {
  static constexpr std::string_view kToken = "abcXYZ019!#$%&'*+-.^_`|~";
  static constexpr std::string_view kVisible = "abcXYZ019!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
  Message message;
  Head& head = message.head;
  if (request) {
    // Not CONNECT, which the alphabet cannot spell.
    head.method = random_text(random, kToken, 1, 64);
    head.authority = random() % 2 ? random_text(random, "abcXYZ019-._~!$&'()*+,;=", 0, 20) : "[::1]:65535";
    head.path = "/" + random_text(random, kVisible, 0, random() % 9 ? 40 : 8191);
    if (random() % 4 == 0)
      head.upgrade = random_text(random, kToken, 3, 9) + "/" + random_text(random, kToken, 1, 3);
  } else {
    static constexpr uint16_t kStatuses[] = {200, 201, 206, 300, 301, 404, 429, 500, 503, 599, 999};
    head.status = kStatuses[random() % std::size(kStatuses)];
  }
  for (uint32_t n = random() % 12; n > 0; --n) {
    const std::string value = "v" + random_text(random, std::string(kVisible) + " \t\xc3\xff", 0, 30) + "v";
    head.headers.add("x" + random_text(random, kToken, 0, 20), random() % 5 ? value : "");
  }
  message.body = random_text(random, std::string_view("\0\r\n01ab;", 8), 0, random() % 9 ? 50 : 5000);
  const uint32_t way = random() % 3;
  if (way == 0)
    head.content_length = message.body.size();
  else if (way == 1)
    for (uint32_t n = 1 + random() % 3; n > 0; --n)
      message.trailers.add("t" + random_text(random, kToken, 0, 9), random_text(random, kVisible, 0, 9));
  message.ended = true;
  return message;
}

}  // namespace weir::http::h1::test
