// A client that asks with extended CONNECT (RFC 8441). See ws_clients.h.
#include <catch2/catch.hpp>
#include <map>

#include "tests/sim/http_pump.h"
#include "tests/sim/ws_clients.h"
#include "tests/sim/ws_talk.h"

namespace weir::test {
namespace {

class User final : public TestClient, private http::h2::Events {
 public:
  User(Tunnels& ledger, io::SimWorld& world, io::SimApp& app, std::vector<Tunnel*> tunnels)
      : ledger_(ledger),
        world_(world),
        app_(app),
        tunnels_(std::move(tunnels)),
        connection_(http::h2::Connection::client(*this)) {
    app_.on_change = [this](io::SimApp&) { on_change(); };
    test::flush(*connection_, app_);
  }

  bool over() const override {
    return (at_ == tunnels_.size() && streams_.empty()) || connection_->ended() || app_.closed() ||
           app_.error() != 0 || (connection_->goaway_received() && streams_.empty());
  }

  std::string describe() const override {
    std::string text = "HTTP/2, port " + std::to_string(app_.local().port) + ", asked for " +
                       std::to_string(at_) + " of " + std::to_string(tunnels_.size()) + ", to send " +
                       std::to_string(app_.unsent_bytes());
    for (const auto& [id, stream] : streams_)
      text += "; stream " + std::to_string(id) + " " + stream.tunnel->describe();
    return text;
  }

 private:
  struct Stream {
    Tunnel* tunnel = nullptr;
    Talk* talk = nullptr;
    bool slow = false;
  };

  void ask_more() {
    while (at_ < tunnels_.size() && connection_->can_open() && connection_->takes_extended_connect()) {
      if (!ask(*tunnels_[at_])) return;
      ++at_;
    }
  }

  bool ask(Tunnel& tunnel) {
    http::Head head;
    head.method = "GET";
    head.scheme = "http";
    head.authority = "server";
    head.path = tunnel.path;
    if (tunnel.asks) {
      head.version = http::Version::http_2;
      head.upgrade = "websocket";
      head.headers.add("sec-websocket-version", "13");
    }
    const auto opened = connection_->request(head, !tunnel.asks);
    if (!opened) return false;
    tunnel.begun = true;
    const uint32_t id = *opened;
    talks_.push_back(std::make_unique<Talk>(ledger_, world_, tunnel, nullptr,
                                            Talk::Mouth{.say =
                                                            [this, id](std::string_view bytes) {
                                                              connection_->write(id, buffer_of(bytes));
                                                              flush();
                                                            },
                                                        .finish =
                                                            [this, id] {
                                                              connection_->finish(id);
                                                              settle(id);
                                                            },
                                                        .reset = [this, id] { give_up(id); }}));
    Talk* const talk = talks_.back().get();
    streams_[id] = {&tunnel, talk, ledger_.one_in(6)};
    if (tunnel.early_bytes > 0 && ledger_.one_in(2)) {
      later(300'000, [this, id] { say_early(id); });
    } else {
      say_early(id);
    }
    if (tunnel.leaves) {
      later(ledger_.one_in(3) ? 1'000'000 : 10'000, [this, id, all = ledger_.one_in(4)] {
        if (!all) return give_up(id);
        for (auto& [each, stream] : streams_) stream.tunnel->client.broke = true;
        app_.reset();
      });
    }
    return true;
  }

  // What the application has not agreed to yet.
  void say_early(uint32_t id) {
    const auto found = streams_.find(id);
    if (found == streams_.end() || found->second.tunnel->status) return;
    Tunnel& tunnel = *found->second.tunnel;
    found->second.talk->say(tunnel.early_bytes);
    if (tunnel.early_end) found->second.talk->finish();
  }

  void later(uint64_t most_us, std::function<void()> what) {
    world_.network().at(std::chrono::microseconds(ledger_.below(most_us)), [this, what = std::move(what)] {
      if (app_.closed()) return;
      what();
      ask_more();
      flush();
    });
  }

  void flush() {
    if (!feeding_) test::flush(*connection_, app_);
  }

  void give_up(uint32_t id) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    found->second.tunnel->client.broke = true;
    drop(id);
    flush();
  }

  void drop(uint32_t id) {
    if (streams_.erase(id) == 0) return;
    connection_->reset(id, http::h2::kCancel);
    connection_->release(id);
  }

  // A tunnel that has ended both ways.
  void settle(uint32_t id) {
    const auto found = streams_.find(id);
    if (found != streams_.end() && found->second.talk->over()) {
      streams_.erase(found);
      connection_->release(id);
    }
    flush();
  }

  void on_change() {
    const std::string bytes = app_.take_received();
    if (!bytes.empty() && !connection_->ended()) {
      feeding_ = true;
      const Status fed =
          connection_->feed(std::as_bytes(std::span(bytes.data(), bytes.size())), world_.now());
      feeding_ = false;
      if (!fed && fed.error().reason != Reason::none && !connection_->goaway_received())
        FAIL_CHECK("a client got what is not HTTP/2: " << connection_->broken_rule());
    }
    if ((app_.saw_fin() || app_.error() != 0) && !connection_->ended())
      connection_->fail(Error{Source::peer, Reason::server_reset, 0, {}});
    ask_more();
    flush();
  }

  void on_head(uint32_t id, http::Head&& head, bool end) override {
    const auto found = streams_.find(id);
    if (found == streams_.end() || head.informational()) return;
    Tunnel& tunnel = *found->second.tunnel;
    const bool agreed = tunnel.asks && head.status / 100 == 2;
    ledger_.answered(tunnel, head.status, agreed, head.headers.get("x-id"));
    if (head.headers.get("sec-websocket-accept") || head.headers.get("sec-websocket-key"))
      FAIL_CHECK("a client of HTTP/2 was answered in the words of HTTP/1.1");
    if (agreed && !tunnel.told) return drop(id);
    if (agreed) found->second.talk->start();
    if (end) on_end(id);
  }
  void on_head_too_large(uint32_t, http::Head&&, bool) override {}
  void on_data(uint32_t id, std::span<const std::byte> bytes) override {
    const auto found = streams_.find(id);
    if (found != streams_.end() && found->second.tunnel->told) {
      found->second.talk->hear({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
      if (found->second.slow)
        return later(200'000, [this, id, size = bytes.size()] { connection_->consume(id, size); });
    }
    connection_->consume(id, bytes.size());
  }
  void on_trailers(uint32_t, http::Headers&&) override {}
  void on_end(uint32_t id) override {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    if (!found->second.tunnel->told) return drop(id);
    found->second.talk->hear_end();
    settle(id);
  }
  void on_reset(uint32_t id, Reason, uint32_t, bool) override {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    found->second.talk->lose();
    streams_.erase(found);
    connection_->release(id);
  }

  Tunnels& ledger_;
  io::SimWorld& world_;
  io::SimApp& app_;
  std::vector<Tunnel*> tunnels_;
  std::vector<std::unique_ptr<Talk>> talks_;
  size_t at_ = 0;
  std::unique_ptr<http::h2::Connection> connection_;
  std::map<uint32_t, Stream> streams_;
  bool feeding_ = false;
};

}  // namespace

std::unique_ptr<TestClient> websocket_client_h2(Tunnels& ledger, io::SimWorld& world, io::SimApp& app,
                                                std::vector<Tunnel*> tunnels) {
  return std::make_unique<User>(ledger, world, app, std::move(tunnels));
}

}  // namespace weir::test
