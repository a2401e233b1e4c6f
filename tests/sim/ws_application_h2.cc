// The application's HTTP/2. See ws_application.h.
#include <catch2/catch.hpp>
#include <map>

#include "tests/sim/http_pump.h"
#include "tests/sim/ws_application.h"
#include "tests/sim/ws_talk.h"

namespace weir::test {
namespace {

class H2Side final : public ServerConnection, private http::h2::Events {
 public:
  H2Side(WebsocketApplication& application, io::SimApp& app) : application_(application), app_(app) {
    http::h2::Settings settings;
    if (application.ledger.one_in(2)) settings.streams_max = 3;
    connection_ = http::h2::Connection::server(*this, settings);
  }

  void on_change(io::SimApp&) override {
    const std::string bytes = app_.take_received();
    if (!bytes.empty() && !connection_->ended()) {
      feeding_ = true;
      const Status fed =
          connection_->feed(std::as_bytes(std::span(bytes.data(), bytes.size())), application_.world->now());
      feeding_ = false;
      if (!fed) FAIL_CHECK("an application got what is not HTTP/2: " << connection_->broken_rule());
    }
    if ((app_.saw_fin() || app_.error() != 0) && !connection_->ended())
      connection_->fail(Error{Source::peer, Reason::client_closed, 0, {}});
    flush();
  }

 private:
  struct Stream {
    Tunnel* tunnel = nullptr;
    Copy* copy = nullptr;
    Talk* talk = nullptr;  // from when it has agreed
    bool slow = false;
    bool ended = false;  // by the client, before there was an answer
  };

  void flush() {
    if (!feeding_) test::flush(*connection_, app_);
  }

  void on_head(uint32_t id, http::Head&& head, bool end) override {
    Tunnel* const tunnel = application_.ledger.find(head.path);
    if (!tunnel) {
      FAIL_CHECK("an application got a request that nobody made: " << head.path);
      connection_->reset(id, http::h2::kInternalError);
      return connection_->release(id);
    }
    if (tunnel->asks && (end || head.headers.get("sec-websocket-key")))
      FAIL_CHECK("an application of HTTP/2 was asked in the words of HTTP/1.1");
    Copy& copy = application_.ledger.give(*tunnel, true, head.upgrade == "websocket");
    streams_[id] = {tunnel, &copy, nullptr, application_.ledger.one_in(6)};
    const Answer answer = application_.answer(*tunnel, copy, true);
    if (answer == Answer::never) return;
    later(application_.pause(*tunnel), [this, id, answer] {
      if (streams_.contains(id)) respond(id, streams_[id], answer);
    });
  }
  void on_head_too_large(uint32_t id, http::Head&&, bool) override { connection_->release(id); }
  void on_data(uint32_t id, std::span<const std::byte> bytes) override {
    const auto found = streams_.find(id);
    if (found != streams_.end()) {
      Stream& stream = found->second;
      application_.ledger.hear_client(*stream.tunnel, *stream.copy,
                                      {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
      if (stream.slow) {
        const auto pause = std::chrono::microseconds(application_.ledger.below(200'000));
        return later(pause, [this, id, size = bytes.size()] { connection_->consume(id, size); });
      }
    }
    connection_->consume(id, bytes.size());
  }
  void on_trailers(uint32_t, http::Headers&&) override {}
  void on_end(uint32_t id) override {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    Stream& stream = found->second;
    if (!stream.talk) {
      FAIL_CHECK("an application heard the end of a tunnel that it had not agreed to: "
                 << stream.tunnel->describe());
      return;
    }
    stream.talk->hear_end();
    settle(id);
  }
  void on_reset(uint32_t id, Reason, uint32_t, bool) override {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    if (found->second.talk) found->second.talk->lose();
    streams_.erase(found);
    connection_->release(id);
  }

  void later(io::Clock::duration pause, std::function<void()> what) {
    application_.world->network().at(pause, [this, what = std::move(what)] {
      what();
      flush();
    });
  }

  void respond(uint32_t id, Stream& stream, Answer answer) {
    Tunnels& ledger = application_.ledger;
    if (answer == Answer::resets) return give_up(id, http::h2::kInternalError);
    if (answer == Answer::closes) {
      connection_->fail(Error{Source::local, Reason::cancelled, 0, {}});
      return app_.finish();
    }
    http::Head head;
    if (ledger.one_in(8)) {
      head.status = 103;
      (void)connection_->respond(id, head, false);
    }
    stream.copy->busy = answer == Answer::busy_first;
    stream.copy->agreed = answer == Answer::agrees;
    head.status = stream.copy->agreed || answer == Answer::no_switch ? 200 : stream.copy->busy ? 503 : 403;
    head.headers.add("x-id", WebsocketApplication::name(*stream.tunnel, *stream.copy));
    if (!connection_->respond(id, head, false)) FAIL_CHECK("an answer that cannot be given");
    if (stream.copy->agreed) return begin(id, stream);
    connection_->write(id, buffer_of("no"));
    connection_->finish(id);
    streams_.erase(id);
    connection_->release(id);
    if (answer == Answer::last && !connection_->ended()) connection_->goaway();
  }

  void begin(uint32_t id, Stream& stream) {
    talks_.push_back(
        std::make_unique<Talk>(application_.ledger, *application_.world, *stream.tunnel, stream.copy,
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
                                           .reset = [this, id] { give_up(id, http::h2::kCancel); }}));
    stream.talk = talks_.back().get();
    const size_t bytes = stream.copy->side.bytes;
    if (application_.ledger.one_in(3)) stream.talk->say(application_.ledger.below(bytes + 1));
    stream.talk->start();
  }

  void settle(uint32_t id) {
    const auto found = streams_.find(id);
    if (found != streams_.end() && found->second.talk->over()) {
      streams_.erase(found);
      connection_->release(id);
    }
    flush();
  }

  void give_up(uint32_t id, uint32_t code) {
    if (streams_.erase(id) == 0) return;
    connection_->reset(id, code);
    connection_->release(id);
    flush();
  }

  WebsocketApplication& application_;
  io::SimApp& app_;
  std::unique_ptr<http::h2::Connection> connection_;
  std::map<uint32_t, Stream> streams_;
  std::vector<std::unique_ptr<Talk>> talks_;
  bool feeding_ = false;
};

}  // namespace

std::unique_ptr<ServerConnection> serve_websockets_h2(WebsocketApplication& application, io::SimApp& app) {
  return std::make_unique<H2Side>(application, app);
}

}  // namespace weir::test
