#pragma once
// What a decoder says of some bytes, as text: its messages, how they went on, what was refused, and what was left for
// others. However the bytes are cut, the text must be the same. Shared by the tests and the fuzz targets.
// Owner: a test. Thread: one. Lifetime: one run over one input.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/http/h1_decoder.h"

namespace weir::http::h1::test {

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// One message as it was decoded; heads of 1xx are messages of their own, without an end.
struct Message {
  Head head;
  std::string body;
  Headers trailers;
  bool ended = false;
};

inline std::string describe(const Headers& fields) {
  std::string text;
  for (const Field field : fields)
    text += "  " + std::string(field.name) + ": " + std::string(field.value) + "\n";
  return text;
}

// `for_peer`: without what is not forwarded (the version spoken here, the scheme).
inline std::string describe(const Head& head, bool for_peer = false) {
  std::string text =
      head.is_request() ? head.method + " " + head.authority + " " + head.path : std::to_string(head.status);
  if (!for_peer) text += head.scheme == (head.is_request() ? "http" : "") ? "" : " " + head.scheme;
  if (!for_peer && head.version == Version::http_1_0) text += " 1.0";
  if (head.content_length) text += " length=" + std::to_string(*head.content_length);
  if (!head.upgrade.empty()) text += " upgrade=" + head.upgrade;
  if (head.expect_continue) text += " expect";
  return text + "\n" + describe(head.headers);
}

inline std::string describe(const Message& message, bool for_peer = false) {
  std::string text = describe(message.head, for_peer);
  if (!message.body.empty()) text += "[" + message.body + "]\n";
  if (message.ended) text += "end\n" + describe(message.trailers);
  return text;
}

struct Run {
  std::vector<Message> messages;
  std::string left;     // not the decoder's
  std::string refused;  // "400 rule", or ""
  Reason reason = Reason::none;
  bool at_switch = false, reusable = false, keep_alive = false, begun = false;

  std::string text() const {
    std::string all;
    for (const Message& message : messages) all += describe(message);
    if (!refused.empty()) all += "refused: " + refused + " (" + std::string(label(reason)) + ")\n";
    if (!left.empty()) all += "left: " + left + "\n";
    all += at_switch ? "at switch" : reusable ? "reusable" : begun ? "begun" : "closed";
    return all + "\n";
  }
};

class Driver {
 public:
  // `requests`: what the responses answer, in order; then GETs.
  explicit Driver(Decoder::Role role, std::vector<Head> requests = {}, bool stay = false)
      : decoder_(role),
        responses_(role == Decoder::Role::responses),
        stay_(stay),
        requests_(std::move(requests)) {}

  void give(std::string_view text) {
    std::span<const std::byte> input = bytes_of(text);
    while (run_.refused.empty()) {
      if (responses_ && decoder_.reusable() && !input.empty()) expect();
      const size_t before = input.size();
      const auto event = decoder_.next(input);
      if (!event) {
        refuse(event.error());
        return;
      }
      if (input.size() > before) std::abort();
      if (event->kind == Decoder::Kind::need_more) break;
      take(*event);
      if (stay_ && !responses_ && decoder_.at_switch()) decoder_.stay();
    }
    if (run_.refused.empty()) run_.left += text_of(input);
  }

  void fin() {
    if (!run_.refused.empty()) return;
    const auto kind = decoder_.end_of_input();
    if (!kind)
      refuse(kind.error());
    else if (*kind == Decoder::Kind::end)
      run_.messages.back().ended = true;
  }

  Run& run() {
    run_.at_switch = decoder_.at_switch();
    run_.reusable = decoder_.reusable();
    run_.begun = decoder_.begun();
    run_.keep_alive = decoder_.keep_alive();
    return run_;
  }
  Decoder& decoder() { return decoder_; }

 private:
  void expect() {
    Head get;
    get.method = "GET";
    decoder_.expect_response_to(answered_ < requests_.size() ? requests_[answered_] : get);
    ++answered_;
  }
  void refuse(const Error& error) {
    run_.refused = std::to_string(decoder_.status()) + " " + std::string(decoder_.rule());
    run_.reason = error.reason;
  }
  void take(const Decoder::Event& event) {
    switch (event.kind) {
      case Decoder::Kind::head:
        run_.messages.emplace_back();
        run_.messages.back().head = decoder_.head();
        break;
      case Decoder::Kind::body:
        if (event.body.empty()) std::abort();
        run_.messages.back().body += text_of(event.body);
        break;
      case Decoder::Kind::end:
        run_.messages.back().ended = true;
        run_.messages.back().trailers = decoder_.trailers();
        break;
      case Decoder::Kind::need_more: break;
    }
  }

  Decoder decoder_;
  const bool responses_, stay_;
  std::vector<Head> requests_;
  size_t answered_ = 0;
  Run run_;
};

// The whole input, in pieces whose sizes `next_size` gives.
inline Run run(Driver& driver, std::string_view text, const std::function<size_t()>& next_size) {
  while (!text.empty()) {
    const size_t n = std::clamp<size_t>(next_size(), 1, text.size());
    // Memory of its own for each piece, so that a view kept too long is seen.
    driver.give(std::string(text.substr(0, n)));
    text.remove_prefix(n);
  }
  return driver.run();
}

inline Head asking(std::string_view method, std::string_view upgrade = {}) {
  Head head;
  head.method = method;
  head.upgrade = upgrade;
  return head;
}

inline Run requests(std::string_view text, bool stay = false) {
  Driver driver(Decoder::Role::requests, {}, stay);
  return run(driver, text, [] { return size_t{1} << 30; });
}
inline Run responses(std::string_view text, std::vector<Head> to = {}) {
  Driver driver(Decoder::Role::responses, std::move(to));
  return run(driver, text, [] { return size_t{1} << 30; });
}

}  // namespace weir::http::h1::test
