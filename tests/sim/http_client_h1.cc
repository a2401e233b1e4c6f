// A client of HTTP/1.1: keep-alive, pipelining, and all the ways to leave. See http_clients.h.
#include <catch2/catch.hpp>

#include "tests/sim/http_clients.h"
#include "tests/sim/http_pump.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Kind = http::h1::Decoder::Kind;

class H1User final : public TestClient {
 public:
  H1User(Ledger& ledger, io::SimWorld& world, io::SimApp& app, std::vector<Request*> requests, size_t depth)
      : ledger_(ledger), world_(world), app_(app), requests_(std::move(requests)), depth_(depth) {
    for (const Request* one : requests_)
      may_wait_ = may_wait_ || one->manner == Manner::never || one->leave == Leave::stalls;
    app_.on_change = [this](io::SimApp&) { on_change(); };
    say_more();
  }

  bool over() const override {
    return answered_ == requests_.size() || ended_ || app_.closed() || app_.error() != 0;
  }

  std::string describe() const override {
    std::string text = "HTTP/1.1, port " + std::to_string(app_.local().port) + ", answered " +
                       std::to_string(answered_) + " of " + std::to_string(said_) + ", to send " +
                       std::to_string(app_.unsent_bytes()) + (left_ ? ", left" : "") +
                       (asked_ ? ", in an answer" : "") + (app_.connected() ? "" : ", not connected");
    return text + "; " + Ledger::describe(*requests_[std::min(answered_, requests_.size() - 1)]);
  }

 private:
  void say_more() {
    while (!left_ && !ended_ && said_ < requests_.size() && said_ < answered_ + depth_)
      say(*requests_[said_++]);
  }

  void say(Request& request) {
    request.begun = true;
    std::string head = request.method + " " + request.path + " HTTP/1.1\r\nHost: server\r\n";
    const bool chunked = request.has_body && !request.length_declared;
    if (chunked) head += "Transfer-Encoding: chunked\r\n";
    if (request.has_body && !chunked)
      head += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
    if (request.has_body && ledger_.one_in(8)) head += "Expect: 100-continue\r\n";
    head += "\r\n";
    std::string body = request.body.substr(0, request.said_whole() ? std::string::npos : request.said_bytes);
    if (chunked) {
      std::string framed;
      for (size_t at = 0, n = 0; at < body.size(); at += n) {
        n = std::min<size_t>(1 + ledger_.below(body.size()), body.size() - at);
        char size[20];
        std::snprintf(size, sizeof size, "%zx\r\n", n);
        framed += size + body.substr(at, n) + "\r\n";
      }
      if (request.said_whole()) framed += "0\r\n\r\n";
      body = std::move(framed);
    } else if (!request.said_whole() && body.size() == request.body.size() && !body.empty()) {
      body.pop_back();
    }
    if (!request.said_whole()) {
      if (request.body.empty() && !chunked) request.leave = Leave::stays;  // nothing is missing
    }
    const size_t now = ledger_.one_in(3) ? ledger_.below(head.size() + body.size() + 1) : std::string::npos;
    const std::string all = head + body;
    app_.send(std::string_view(all).substr(0, now));
    if (now < all.size()) {
      left_ = true;  // for the moment
      world_.network().at(std::chrono::microseconds(ledger_.below(300'000)),
                          [this, &request, rest = all.substr(now)] {
                            left_ = false;
                            if (app_.closed()) return;
                            app_.send(rest);
                            leave(request);
                            say_more();
                          });
    } else {
      leave(request);
    }
  }

  void leave(const Request& request) {
    if (request.leave == Leave::stays) return;
    left_ = true;
    if (request.leave == Leave::stalls) return;
    const bool resets = request.leave == Leave::resets_waiting || request.leave == Leave::resets_mid;
    world_.network().at(std::chrono::microseconds(ledger_.below(ledger_.one_in(3) ? 1'000'000 : 10'000)),
                        [this, resets] {
                          if (app_.closed()) return;
                          if (resets) ended_ = true;
                          resets ? app_.reset() : app_.finish();
                        });
  }

  void on_change() {
    pending_ += app_.take_received();
    while (!ended_ && !broken_ && answered_ < said_ && decode()) {
    }
    if (broken_ || !(app_.saw_fin() || app_.error() != 0)) return;
    ended_ = true;
    // In order only by FIN; what a reset cut is what it is.
    if (app_.saw_fin() && answered_ < said_ && asked_) {
      const auto end = decoder_.end_of_input();
      if (end && *end == Kind::end && requests_[answered_]->status) ledger_.end(*requests_[answered_], body_);
    }
    app_.finish();
  }

  // Whether a whole answer came.
  bool decode() {
    Request& request = *requests_[answered_];
    if (pending_.empty()) return false;
    if (!asked_) {
      http::Head head;
      head.method = request.method;
      decoder_.expect_response_to(head);
      asked_ = true;
    }
    bool whole = false;
    const Status pumped = pump(decoder_, pending_, [&](Kind kind, std::string_view body) {
      if (kind == Kind::head && !decoder_.head().informational()) {
        const auto name = decoder_.head().headers.get("x-id");
        ledger_.head(request, decoder_.head().status,
                     name ? std::optional<std::string_view>(*name) : std::nullopt);
      }
      if (kind == Kind::body) body_ += body;
      whole = kind == Kind::end;
      return !whole;
    });
    if (!pumped) {
      FAIL_CHECK("a client got what is not HTTP: " << decoder_.rule() << ", request " << request.id);
      broken_ = true;
      app_.reset();
    }
    if (!whole) return false;
    ledger_.end(request, std::exchange(body_, {}));
    asked_ = false;
    ++answered_;
    if (!decoder_.keep_alive()) {
      ended_ = true;
      app_.finish();
    }
    say_more();
    return true;
  }

  Ledger& ledger_;
  io::SimWorld& world_;
  io::SimApp& app_;
  std::vector<Request*> requests_;
  size_t depth_, said_ = 0, answered_ = 0;
  http::h1::Decoder decoder_{http::h1::Decoder::Role::responses};
  std::string pending_, body_;
  bool asked_ = false, left_ = false, ended_ = false, broken_ = false;
};

}  // namespace

std::unique_ptr<TestClient> client_h1(Ledger& ledger, io::SimWorld& world, io::SimApp& app,
                                      std::vector<Request*> requests, size_t depth) {
  return std::make_unique<H1User>(ledger, world, app, std::move(requests), depth);
}

}  // namespace weir::test
