// A client that asks with GET and Upgrade. See ws_clients.h.
#include <catch2/catch.hpp>

#include "nodeproxy/http/websocket.h"
#include "tests/sim/http_pump.h"
#include "tests/sim/ws_clients.h"
#include "tests/sim/ws_talk.h"

namespace weir::test {
namespace {

using Kind = http::h1::Decoder::Kind;

class User final : public TestClient {
 public:
  User(Tunnels& ledger, io::SimWorld& world, io::SimApp& app, std::vector<Tunnel*> tunnels)
      : ledger_(ledger), world_(world), app_(app), tunnels_(std::move(tunnels)) {
    app_.on_change = [this](io::SimApp&) { on_change(); };
    ask();
  }

  bool over() const override { return ended_ || app_.closed() || app_.error() != 0; }

  std::string describe() const override {
    return "HTTP/1.1, port " + std::to_string(app_.local().port) + ", to send " +
           std::to_string(app_.unsent_bytes()) + (app_.connected() ? "; " : ", not connected; ") +
           tunnels_[std::min(at_, tunnels_.size() - 1)]->describe();
  }

 private:
  Tunnel& now() const { return *tunnels_[at_]; }

  void ask() {
    Tunnel& tunnel = now();
    tunnel.begun = true;
    http::Head request;
    request.method = "GET";
    if (tunnel.asks) request.upgrade = "websocket";
    decoder_.expect_response_to(request);
    std::string head = "GET " + tunnel.path + " HTTP/1.1\r\nHost: server\r\n";
    if (tunnel.asks) {
      key_.clear();
      while (key_.size() < 22) key_ += static_cast<char>('a' + ledger_.below(26));
      key_ += "==";
      head +=
          "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " +
          key_ + "\r\n";
    }
    head += "\r\n";
    talks_.push_back(
        std::make_unique<Talk>(ledger_, world_, tunnel, nullptr,
                               Talk::Mouth{.say = [this](std::string_view bytes) { app_.send(bytes); },
                                           .finish = [this] { app_.finish(); },
                                           .reset = [this] { app_.reset(); }}));
    if (!ledger_.one_in(3)) {
      app_.send(head);
      return asked(tunnel);
    }
    const size_t cut = ledger_.below(head.size());
    app_.send(std::string_view(head).substr(0, cut));
    later(300'000, [this, &tunnel, rest = head.substr(cut)] {
      app_.send(rest);
      asked(tunnel);
    });
  }

  void asked(Tunnel& tunnel) {
    talks_.back()->say(tunnel.early_bytes);
    if (!tunnel.leaves) return;
    later(ledger_.one_in(3) ? 1'000'000 : 10'000, [this, &tunnel, resets = ledger_.one_in(2)] {
      if (ended_ || (tunnel.status && tunnel.early_bytes == 0)) return;
      if (resets || tunnel.client.said < tunnel.client.bytes) {
        tunnel.client.broke = true;
        app_.reset();
      } else if (!tunnel.client.finished) {
        talks_.back()->finish();
      }
    });
  }

  void later(uint64_t most_us, std::function<void()> what) {
    world_.network().at(std::chrono::microseconds(ledger_.below(most_us)), [this, what = std::move(what)] {
      if (!app_.closed()) what();
    });
  }

  void on_change() {
    pending_ += app_.take_received();
    while (!ended_ && !tunnel_ && decode()) {
    }
    if (tunnel_) {
      talks_.back()->hear(std::exchange(pending_, {}));
      if (app_.error() != 0) talks_.back()->lose();
      if (app_.saw_fin() && !now().client.heard_end) talks_.back()->hear_end();
    } else if (app_.saw_fin() || app_.error() != 0) {
      ended_ = true;
      app_.finish();
    }
  }

  // Whether a whole answer came, and another may follow.
  bool decode() {
    Tunnel& tunnel = now();
    if (pending_.empty()) return false;
    bool whole = false;
    const Status pumped = pump(decoder_, pending_, [&](Kind kind, std::string_view) {
      if (kind == Kind::head && !decoder_.head().informational()) on_head(tunnel);
      whole = kind == Kind::end;
      return !whole;
    });
    if (!pumped) {
      FAIL_CHECK("a client got what is not HTTP: " << decoder_.rule() << ", " << tunnel.describe());
      ended_ = true;
      app_.reset();
    }
    if (!whole) return false;
    // What was said too early is a request now, and none that a proxy takes.
    if (++at_ == tunnels_.size() || !decoder_.keep_alive() || tunnel.client.said > 0) {
      --at_;
      ended_ = true;
      app_.finish();
      return false;
    }
    ask();
    return true;
  }

  void on_head(Tunnel& tunnel) {
    const http::Head& head = decoder_.head();
    const bool switches = head.status == 101;
    const bool accepted = head.headers.get(http::websocket::kAccept) == http::websocket::accept(key_);
    ledger_.answered(tunnel, head.status, switches && accepted, head.headers.get("x-id"));
    if (!switches) return;
    if (!tunnel.asks) FAIL_CHECK("a client was told of a tunnel that it had not asked for");
    if (!accepted || !tunnel.told) {  // as the application did, and no business of a proxy's
      if (tunnel.answer != Answer::other_key) FAIL_CHECK("a tunnel was agreed to with another key");
      ended_ = true;
      tunnel.client.broke = true;
      app_.reset();
      return;
    }
    tunnel_ = true;
    talks_.back()->start();
  }

  Tunnels& ledger_;
  io::SimWorld& world_;
  io::SimApp& app_;
  std::vector<Tunnel*> tunnels_;
  std::vector<std::unique_ptr<Talk>> talks_;  // of those that were asked for
  size_t at_ = 0;
  http::h1::Decoder decoder_{http::h1::Decoder::Role::responses};
  std::string pending_, key_;
  bool tunnel_ = false, ended_ = false;
};

}  // namespace

std::unique_ptr<TestClient> websocket_client_h1(Tunnels& ledger, io::SimWorld& world, io::SimApp& app,
                                                std::vector<Tunnel*> tunnels) {
  return std::make_unique<User>(ledger, world, app, std::move(tunnels));
}

}  // namespace weir::test
