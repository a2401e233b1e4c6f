// The application's HTTP/2. See http_application.h.
#include <catch2/catch.hpp>
#include <map>

#include "tests/sim/http_application.h"
#include "tests/sim/http_pump.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class H2Side final : public ServerConnection, private http::h2::Events {
 public:
  H2Side(Application& application, io::SimApp& app) : application_(application), app_(app) {
    http::h2::Settings settings;
    if (application.ledger.one_in(2)) settings.streams_max = 3;
    connection_ = http::h2::Connection::server(*this, settings);
  }

  void on_change(io::SimApp&) override {
    const std::string bytes = app_.take_received();
    if (!bytes.empty() && !connection_->ended()) {
      const Status fed =
          connection_->feed(std::as_bytes(std::span(bytes.data(), bytes.size())), application_.world->now());
      if (!fed) FAIL_CHECK("an application got what is not HTTP/2: " << connection_->broken_rule());
    }
    if ((app_.saw_fin() || app_.saw_reset()) && !connection_->ended())
      connection_->fail(Error{Source::peer, Reason::client_closed, 0, {}});
    flush();
  }

 private:
  struct Stream {
    Request* request = nullptr;
    std::string body;
    uint32_t copy = 0;
    bool answered = false;
  };

  void flush() { test::flush(*connection_, app_); }

  void on_head(uint32_t id, http::Head&& head, bool end) override {
    Stream& stream = streams_[id];
    stream.request = application_.ledger.find(head.path);
    if (!stream.request) {
      FAIL_CHECK("an application got a request that nobody made");
      return connection_->reset(id, http::h2::kInternalError);
    }
    stream.copy = application_.ledger.give(*stream.request);
    if (stream.request->manner == Manner::early) {
      if (end) application_.ledger.gave_whole(*stream.request, {});
      return respond(id, stream, "early");
    }
    if (end) on_end(id);
  }
  void on_head_too_large(uint32_t id, http::Head&&, bool) override { connection_->release(id); }
  void on_data(uint32_t id, std::span<const std::byte> bytes) override {
    connection_->consume(id, bytes.size());
    const auto found = streams_.find(id);
    if (found != streams_.end())
      found->second.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void on_trailers(uint32_t, http::Headers&&) override {}
  void on_end(uint32_t id) override {
    const auto found = streams_.find(id);
    if (found == streams_.end() || !found->second.request) return;
    Stream& stream = found->second;
    application_.ledger.gave_whole(*stream.request, stream.body);
    if (!stream.answered) respond(id, stream, stream.body);
  }
  void on_reset(uint32_t id, Reason, uint32_t, bool) override {
    if (streams_.erase(id) > 0) connection_->release(id);
  }

  void later(io::Clock::duration pause, std::function<void()> what) {
    application_.world->network().at(pause, [this, what = std::move(what)] {
      what();
      flush();
    });
  }

  void respond(uint32_t id, Stream& stream, std::string_view received) {
    Ledger& ledger = application_.ledger;
    Request& request = *stream.request;
    stream.answered = true;
    const std::string text = Ledger::answer(request, stream.copy, received);
    const bool no_body = request.method == "HEAD";
    const auto slowly = std::chrono::microseconds(ledger.below(ledger.one_in(4) ? 2'000'000 : 5'000));
    http::Head head;
    head.status = request.manner == Manner::busy_first && stream.copy == 1 ? 503 : 200;
    head.headers.add("x-id", std::to_string(request.id));
    if (request.manner != Manner::chunked) head.content_length = text.size();
    switch (request.manner) {
      case Manner::never: return;
      case Manner::resets:
      case Manner::garbage: return later(slowly, [this, id] { give_up(id, http::h2::kInternalError); });
      case Manner::resets_mid:
        if (no_body) return later(slowly, [this, id] { give_up(id, http::h2::kCancel); });
        (void)connection_->respond(id, head, false);
        connection_->write(id, buffer_of(text.substr(0, text.size() / 2)));
        return later(slowly, [this, id] { give_up(id, http::h2::kInternalError); });
      case Manner::closes_mid:
        (void)connection_->respond(id, head, no_body);
        if (no_body) request.answers.push_back(text);
        if (!no_body) connection_->write(id, buffer_of(text.substr(0, text.size() / 2)));
        return later(slowly, [this] {
          if (!connection_->ended()) connection_->fail(Error{Source::local, Reason::cancelled, 0, {}});
          app_.finish();
        });
      default: break;
    }
    request.answers.push_back(text);
    if (request.manner == Manner::interim) {
      http::Head hints;
      hints.status = 103;
      hints.headers.add("link", "a");
      (void)connection_->respond(id, hints, false);
    }
    const bool closes = request.manner == Manner::close_after || request.manner == Manner::closes_idle;
    if (request.manner == Manner::prompt || request.manner == Manner::early) {
      (void)connection_->respond(id, head, no_body);
      if (!no_body) connection_->write(id, buffer_of(text));
      end(id, no_body, false);
    } else {
      later(slowly, [this, id, text, no_body, closes, head = std::move(head), slowly] {
        const bool once = application_.ledger.one_in(2);
        (void)connection_->respond(id, head, no_body);
        if (no_body || once) {
          if (!no_body) connection_->write(id, buffer_of(text));
          return end(id, no_body, closes);
        }
        connection_->write(id, buffer_of(text.substr(0, text.size() / 3)));
        later(slowly, [this, id, text, closes] {
          connection_->write(id, buffer_of(text.substr(text.size() / 3)));
          end(id, false, closes);
        });
      });
    }
  }

  void end(uint32_t id, bool no_body, bool closes) {
    if (!no_body) connection_->finish(id);
    if (streams_.erase(id) > 0) connection_->release(id);
    if (closes && !connection_->ended()) connection_->goaway();
  }

  void give_up(uint32_t id, uint32_t code) {
    if (streams_.erase(id) == 0) return;
    connection_->reset(id, code);
    connection_->release(id);
  }

  Application& application_;
  io::SimApp& app_;
  std::unique_ptr<http::h2::Connection> connection_;
  std::map<uint32_t, Stream> streams_;
};

}  // namespace

std::unique_ptr<ServerConnection> serve_h2(Application& application, io::SimApp& app) {
  return std::make_unique<H2Side>(application, app);
}

}  // namespace weir::test
