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
    whole_ = false;
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
    whole_ = true;
    if (request_->manner == Manner::early) return true;
    respond(body_);
    return false;
  }

  std::string head(std::string_view status, std::string_view fields) const {
    return "HTTP/1.1 " + std::string(status) + "\r\nx-id: " + std::to_string(request_->id) + "\r\n" +
           std::string(fields) + "\r\n";
  }

  void respond(std::string_view received) {
    Ledger& ledger = application_.ledger;
    const bool no_body = request_->method == "HEAD";
    const std::string text = Ledger::answer(*request_, copy_, received);
    const std::string length = "Content-Length: " + std::to_string(text.size()) + "\r\n";
    const std::string whole = head("200 OK", length) + (no_body ? "" : text);
    const std::string half = whole.substr(0, whole.size() - (no_body ? 0 : 1 + ledger.below(text.size())));
    const auto pause = [&] {
      return std::chrono::microseconds(ledger.below(ledger.one_in(4) ? 2'000'000 : 5'000));
    };
    Manner manner = request_->manner;
    if (no_body && (manner == Manner::chunked || manner == Manner::to_close)) manner = Manner::prompt;
    if (no_body && (manner == Manner::resets_mid || manner == Manner::closes_mid)) manner = Manner::resets;
    std::deque<Step> steps;
    Then then = Then::go_on;
    bool given = true;
    switch (manner) {
      case Manner::prompt:
      case Manner::early: steps.push_back({0us, whole}); break;
      case Manner::late: steps.push_back({pause(), whole}); break;
      case Manner::pieces:
        for (size_t at = 0, n = 0; at < whole.size(); at += n) {
          n = 1 + ledger.below(whole.size());
          steps.push_back({pause(), whole.substr(at, n)});
        }
        break;
      case Manner::chunked: {
        steps.push_back({pause(), head("200 OK", "Transfer-Encoding: chunked\r\n")});
        for (size_t at = 0, n = 0; at < text.size(); at += n) {
          n = std::min<size_t>(1 + ledger.below(text.size()), text.size() - at);
          char size[20];
          std::snprintf(size, sizeof size, "%zx\r\n", n);
          steps.push_back({at ? pause() : 0us, size + text.substr(at, n) + "\r\n"});
        }
        steps.push_back({pause(), ledger.one_in(2) ? "0\r\n\r\n" : "0\r\nx-trailer: 1\r\n\r\n"});
        break;
      }
      case Manner::interim:
        steps.push_back({0us, "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"});
        steps.push_back({pause(), whole});
        break;
      case Manner::close_after:
        steps.push_back({0us, head("200 OK", length + "Connection: close\r\n") + (no_body ? "" : text)});
        then = Then::finish;
        break;
      case Manner::to_close:
        steps.push_back({0us, head("200 OK", "")});
        steps.push_back({pause(), text});
        then = Then::finish;
        break;
      case Manner::busy_first:
        if (copy_ == 1) {
          steps.push_back({0us, head("503 Busy", length) + (no_body ? "" : text)});
        } else {
          steps.push_back({0us, whole});
        }
        break;
      case Manner::closes_idle:
        steps.push_back({0us, whole});
        then = Then::finish_soon;
        break;
      case Manner::resets_mid:
        steps.push_back({0us, half});
        then = Then::reset;
        given = false;
        break;
      case Manner::closes_mid:
        if (ledger.one_in(2)) {
          steps.push_back({0us, half});
        } else {
          steps.push_back({0us, head("200 OK", "Transfer-Encoding: chunked\r\n") + "5\r\nabcde\r\n"});
        }
        then = Then::finish;
        given = false;
        break;
      case Manner::resets:
        then = Then::reset;
        given = false;
        break;
      case Manner::garbage:
        steps.push_back(
            {0us, ledger.one_in(2) ? "SSH-2.0-x\r\n\r\n" : head("200 OK", "Content-Length: 5x\r\n")});
        then = Then::finish;
        given = false;
        break;
      case Manner::never: answering_ = true; return;
    }
    if (given) request_->answers.push_back(text);
    answering_ = true;
    next(std::move(steps), then);
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
  bool whole_ = false, answering_ = false, over_ = false;
};

}  // namespace

void Application::serve(io::SimWorld& in, const SocketAddress& address) {
  world = &in;
  in.listen_app(address, 1).on_accept = [this](io::SimApp& app) {
    // By its first bytes.
    app.on_change = [this](io::SimApp& self) {
      const std::string& got = self.received();
      if (got.size() < kPreface.size() && kPreface.starts_with(got)) {
        if (self.saw_fin()) self.finish();
        return;
      }
      std::unique_ptr<ServerConnection> made;
      if (got.starts_with(kPreface)) {
        made = serve_h2(*this, self);
      } else {
        made = std::make_unique<H1Side>(*this, self);
      }
      ServerConnection* connection = connections_.emplace_back(std::move(made)).get();
      world->network().at({}, [connection, &self] {
        self.on_change = [connection](io::SimApp& changed) { connection->on_change(changed); };
        connection->on_change(self);
      });
      self.on_change = {};
    };
  };
}

}  // namespace weir::test
