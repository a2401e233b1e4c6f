// The application's HTTP/1.1. See ws_application.h.
#include "tests/sim/ws_application.h"

#include <catch2/catch.hpp>

#include "nodeproxy/http/websocket.h"
#include "tests/sim/history.h"
#include "tests/sim/http_pump.h"
#include "tests/sim/ws_talk.h"

namespace weir::test {
namespace {

using Kind = http::h1::Decoder::Kind;

class H1Side final : public ServerConnection {
 public:
  H1Side(WebsocketApplication& application, io::SimApp& app) : application_(application), app_(app) {}

  void on_change(io::SimApp&) override {
    pending_ += app_.take_received();
    if (talk_) return listen();
    if (strange_) {
      if (app_.saw_fin()) app_.finish();
      return;
    }
    if (answering_ && !pending_.empty()) {
      FAIL_CHECK("an application got more than a question before it had answered: " << tunnel_->describe());
      pending_.clear();
    }
    if (!answering_) decode();
    if (app_.saw_fin() && !answering_) app_.finish();
  }

 private:
  void listen() {
    talk_->hear(std::exchange(pending_, {}));
    if (app_.error() != 0) talk_->lose();
    if (app_.saw_fin() && !copy_->side.heard_end) talk_->hear_end();
  }

  void decode() {
    const Status pumped = pump(decoder_, pending_, [this](Kind kind, std::string_view) {
      if (kind == Kind::body) FAIL_CHECK("an application got a body that nobody sent");
      return kind == Kind::head ? on_head() : kind != Kind::end;
    });
    if (!pumped) {
      FAIL_CHECK("an application got what is not HTTP: " << decoder_.rule());
      return app_.reset();
    }
    if (decoder_.reusable() || decoder_.at_switch()) on_question();
  }

  bool on_head() {
    const http::Head& head = decoder_.head();
    tunnel_ = application_.ledger.find(head.path);
    if (!tunnel_) {
      FAIL_CHECK("an application got a request that nobody made: " << head.path);
      app_.reset();
      return false;
    }
    copy_ = &application_.ledger.give(*tunnel_, false, http::websocket::is_asked_for(head));
    key_ = head.headers.get(http::websocket::kKey).value_or("");
    if (tunnel_->asks && !http::websocket::is_key(key_)) FAIL_CHECK("a WebSocket without a key");
    return true;
  }

  void on_question() {
    if (!tunnel_ || answering_ || app_.closed()) return;
    answering_ = true;
    if (!pending_.empty()) FAIL_CHECK("an application got more than a question: " << tunnel_->describe());
    const Answer answer = application_.answer(*tunnel_, *copy_, false);
    if (answer == Answer::never) return;
    application_.world->network().at(application_.pause(*tunnel_), [this, answer] {
      if (!app_.closed()) respond(answer);
    });
  }

  void respond(Answer answer) {
    if (answer == Answer::resets) return app_.reset();
    if (answer == Answer::closes) return app_.finish();
    const std::string name = "x-id: " + WebsocketApplication::name(*tunnel_, *copy_) + "\r\n";
    if (application_.ledger.one_in(8)) app_.send("HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n");
    if (answer == Answer::agrees || answer == Answer::other_key) {
      const std::string accept = http::websocket::accept(answer == Answer::agrees ? key_ : "another");
      strange_ = answer == Answer::other_key;
      copy_->agreed = !strange_;
      app_.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + name +
                "Sec-WebSocket-Accept: " + accept + "\r\n\r\n");
      if (!strange_) begin();
      return;
    }
    copy_->busy = answer == Answer::busy_first;
    const std::string status = answer == Answer::no_switch ? "200 OK" : copy_->busy ? "503 Busy" : "403 No";
    const bool last = answer == Answer::last;
    app_.send("HTTP/1.1 " + status + "\r\n" + name + (last ? "Connection: close\r\n" : "") +
              "Content-Length: 2\r\n\r\nno");
    if (last || app_.saw_fin()) return app_.finish();
    if (decoder_.at_switch()) decoder_.stay();
    answering_ = false;
    tunnel_ = nullptr;
  }

  void begin() {
    talk_ = std::make_unique<Talk>(application_.ledger, *application_.world, *tunnel_, copy_,
                                   Talk::Mouth{.say = [this](std::string_view bytes) { app_.send(bytes); },
                                               .finish = [this] { app_.finish(); },
                                               .reset = [this] { app_.reset(); }});
    if (application_.ledger.one_in(3)) talk_->say(application_.ledger.below(copy_->side.bytes + 1));
    talk_->start();
    listen();
  }

  WebsocketApplication& application_;
  io::SimApp& app_;
  http::h1::Decoder decoder_{http::h1::Decoder::Role::requests};
  std::string pending_, key_;
  Tunnel* tunnel_ = nullptr;
  Copy* copy_ = nullptr;
  std::unique_ptr<Talk> talk_;
  bool answering_ = false;
  bool strange_ = false;  // it has agreed to what nobody asked for
};

}  // namespace

Answer WebsocketApplication::answer(const Tunnel& tunnel, const Copy& copy, bool h2) {
  switch (tunnel.answer) {
    case Answer::agrees:
    case Answer::agrees_late: return tunnel.asks ? Answer::agrees : Answer::no_switch;
    case Answer::busy_first:
      if (copy.number == 1) return Answer::busy_first;
      return tunnel.asks ? Answer::agrees : Answer::no_switch;
    case Answer::refuses_late: return Answer::refuses;
    case Answer::other_key:
      if (!tunnel.asks) return Answer::no_switch;
      return h2 ? Answer::refuses : Answer::other_key;
    case Answer::no_switch: return tunnel.asks && h2 ? Answer::refuses : Answer::no_switch;
    default: return tunnel.answer;
  }
}

io::Clock::duration WebsocketApplication::pause(const Tunnel& tunnel) {
  const bool late = tunnel.answer == Answer::agrees_late || tunnel.answer == Answer::refuses_late;
  return std::chrono::microseconds(ledger.below(late ? 2'000'000 : 5'000));
}

void WebsocketApplication::serve(io::SimWorld& in, const SocketAddress& address) {
  world = &in;
  port_.serve(in, address, [this](io::SimApp& app, bool h2) -> std::unique_ptr<ServerConnection> {
    if (ledger.one_in(6)) hold_for_a_while(ledger, *world, app);
    if (h2) return serve_websockets_h2(*this, app);
    return std::make_unique<H1Side>(*this, app);
  });
}

}  // namespace weir::test
