// The application's HTTP/1.1. See http_application.h.
#include "tests/sim/http_application.h"

#include <catch2/catch.hpp>
#include <deque>

#include "tests/sim/http_pump.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kPreface = "PRI * HTTP/2.0";

class H1Side final : public ServerConnection {
 public:
  H1Side(Application& application, io::SimApp& app) : application_(application), app_(app) {}

  void on_change(io::SimApp&) override {
    pending_ += app_.take_received();
    decode();
    if (app_.saw_fin() && !answering_) app_.finish();
  }

 private:
  enum class Then : uint8_t { go_on, finish, finish_soon, reset };
  struct Step {
    io::Clock::duration pause;
    std::string bytes;
  };

  void decode() {
    if (answering_ || over_) return;
    const Status pumped =
        pump(decoder_, pending_, [this](http::h1::Decoder::Kind kind, std::string_view body) {
          switch (kind) {
            case http::h1::Decoder::Kind::head: return on_head();
            case http::h1::Decoder::Kind::body: body_ += body; return true;
            case http::h1::Decoder::Kind::end: return on_end();
            default: return true;
          }
        });
    if (!pumped) {
      FAIL_CHECK("an application got what is not HTTP: " << decoder_.rule());
      over_ = true;
      app_.reset();
    }
  }

  bool on_head() {
    request_ = application_.ledger.find(decoder_.head().path);
    body_.clear();
    if (!request_) {
      FAIL_CHECK("an application got a request that nobody made");
      over_ = true;
      app_.reset();
      return false;
    }
    copy_ = application_.ledger.give(*request_);
    if (request_->manner != Manner::early) return true;
    respond("early");
    return false;
  }

  bool on_end() {
    application_.ledger.gave_whole(*request_, body_);
    if (request_->manner == Manner::early) return true;
    respond(body_);
    return false;
  }

  std::string head(std::string_view status, std::string_view fields) const {
    return "HTTP/1.1 " + std::string(status) + "\r\nx-id: " + std::to_string(request_->id) + "\r\n" +
           std::string(fields) + "\r\n";
  }

  struct Script {
    std::deque<Step> steps;
    Then then = Then::go_on;
    bool whole = true;
  };

  io::Clock::duration pause() {
    return std::chrono::microseconds(
        application_.ledger.below(application_.ledger.one_in(4) ? 2'000'000 : 5'000));
  }

  void respond(std::string_view received) {
    answering_ = true;
    if (request_->manner == Manner::never) return;
    const std::string text = Ledger::answer(*request_, copy_, received);
    const bool no_body = request_->method == "HEAD";
    Script script = request_->manner < Manner::resets_mid ? orderly(text, no_body) : broken(text, no_body);
    if (script.whole) request_->answers.push_back(text);
    next(std::move(script.steps), script.then);
  }

  Script orderly(const std::string& text, bool no_body) {
    const std::string length = "Content-Length: " + std::to_string(text.size()) + "\r\n";
    const std::string body = no_body ? "" : text;
    const std::string whole = head("200 OK", length) + body;
    Manner manner = request_->manner;
    if (no_body && (manner == Manner::chunked || manner == Manner::to_close)) manner = Manner::prompt;
    switch (manner) {
      case Manner::late: return {{{pause(), whole}}};
      case Manner::pieces: return {in_pieces(whole)};
      case Manner::chunked: return {in_chunks(text)};
      case Manner::interim: return {{{0us, "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"}, {pause(), whole}}};
      case Manner::close_after:
        return {{{0us, head("200 OK", length + "Connection: close\r\n") + body}}, Then::finish};
      case Manner::to_close: return {{{0us, head("200 OK", "")}, {pause(), text}}, Then::finish};
      case Manner::busy_first: return {{{0us, copy_ == 1 ? head("503 Busy", length) + body : whole}}};
      case Manner::closes_idle: return {{{0us, whole}}, Then::finish_soon};
      default: return {{{0us, whole}}};
    }
  }

  // None of these is a whole answer.
  Script broken(const std::string& text, bool no_body) {
    Ledger& ledger = application_.ledger;
    const std::string half = head("200 OK", "Content-Length: " + std::to_string(text.size()) + "\r\n") +
                             text.substr(0, ledger.below(text.size()));
    const Manner manner = no_body && request_->manner != Manner::garbage ? Manner::resets : request_->manner;
    switch (manner) {
      case Manner::resets_mid: return {{{0us, half}}, Then::reset, false};
      case Manner::closes_mid:
        if (ledger.one_in(2)) return {{{0us, half}}, Then::finish, false};
        return {{{0us, head("200 OK", "Transfer-Encoding: chunked\r\n") + "5\r\nabcde\r\n"}},
                Then::finish,
                false};
      case Manner::garbage:
        return {{{0us, ledger.one_in(2) ? "SSH-2.0-x\r\n\r\n" : head("200 OK", "Content-Length: 5x\r\n")}},
                Then::finish,
                false};
      default: return {{}, Then::reset, false};
    }
  }

  std::deque<Step> in_pieces(const std::string& whole) {
    std::deque<Step> steps;
    for (size_t at = 0, n = 0; at < whole.size(); at += n) {
      n = 1 + application_.ledger.below(whole.size());
      steps.push_back({pause(), whole.substr(at, n)});
    }
    return steps;
  }

  std::deque<Step> in_chunks(const std::string& text) {
    Ledger& ledger = application_.ledger;
    std::deque<Step> steps{{pause(), head("200 OK", "Transfer-Encoding: chunked\r\n")}};
    for (size_t at = 0, n = 0; at < text.size(); at += n) {
      n = std::min<size_t>(1 + ledger.below(text.size()), text.size() - at);
      char size[20];
      std::snprintf(size, sizeof size, "%zx\r\n", n);
      steps.push_back({at ? pause() : 0us, size + text.substr(at, n) + "\r\n"});
    }
    steps.push_back({pause(), ledger.one_in(2) ? "0\r\n\r\n" : "0\r\nx-trailer: 1\r\n\r\n"});
    return steps;
  }

  void next(std::deque<Step> steps, Then then) {
    if (app_.closed()) return;
    if (steps.empty()) return done(then);
    const auto pause = steps.front().pause;
    application_.world->network().at(pause, [this, steps = std::move(steps), then]() mutable {
      if (app_.closed()) return;
      app_.send(steps.front().bytes);
      steps.pop_front();
      next(std::move(steps), then);
    });
  }

  void done(Then then) {
    const auto soon = std::chrono::microseconds(application_.ledger.below(20'000));
    switch (then) {
      case Then::finish:
        over_ = true;
        app_.finish();
        return;
      case Then::reset:
        over_ = true;
        application_.world->network().at(soon, [this] { app_.reset(); });
        return;
      case Then::finish_soon:
        application_.world->network().at(soon, [this] {
          if (answering_) return;  // the next request was faster
          over_ = true;
          app_.finish();
        });
        break;
      case Then::go_on: break;
    }
    answering_ = false;
    decode();
    if (app_.saw_fin()) app_.finish();
  }

  Application& application_;
  io::SimApp& app_;
  http::h1::Decoder decoder_{http::h1::Decoder::Role::requests};
  std::string pending_, body_;
  Request* request_ = nullptr;
  uint32_t copy_ = 0;
  bool answering_ = false, over_ = false;
};

}  // namespace

void Application::serve(io::SimWorld& in, const SocketAddress& address) {
  world = &in;
  port_.serve(in, address, [this](io::SimApp& app, bool h2) -> std::unique_ptr<ServerConnection> {
    if (h2) return serve_h2(*this, app);
    return std::make_unique<H1Side>(*this, app);
  });
}

void ServedPort::serve(io::SimWorld& world, const SocketAddress& address, Make make) {
  world.listen_app(address, 1).on_accept = [this, &world, make = std::move(make)](io::SimApp& app) {
    app.on_change = [this, &world, make](io::SimApp& self) {
      const std::string& got = self.received();
      if (got.size() < kPreface.size() && kPreface.starts_with(got)) {
        if (self.saw_fin()) self.finish();
        return;
      }
      ServerConnection* connection = connections_.emplace_back(make(self, got.starts_with(kPreface))).get();
      world.network().at({}, [connection, &self] {
        self.on_change = [connection](io::SimApp& changed) { connection->on_change(changed); };
        connection->on_change(self);
      });
      self.on_change = {};  // destroys what runs here
    };
  };
}

}  // namespace weir::test
