// A client of HTTP/2: as many streams as it may. See http_clients.h.
#include <catch2/catch.hpp>
#include <map>

#include "tests/sim/http_clients.h"
#include "tests/sim/http_pump.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class H2User final : public TestClient, private http::h2::Events {
 public:
  H2User(Ledger& ledger, io::SimWorld& world, io::SimApp& app, std::vector<Request*> requests)
      : ledger_(ledger),
        world_(world),
        app_(app),
        requests_(std::move(requests)),
        connection_(http::h2::Connection::client(*this)) {
    for (const Request* one : requests_)
      may_wait_ = may_wait_ || one->manner == Manner::never || one->leave == Leave::stalls;
    app_.on_change = [this](io::SimApp&) { on_change(); };
    say_more();
    flush();
  }

  bool over() const override {
    return (said_ == requests_.size() && streams_.empty()) || connection_->ended() ||
           connection_->goaway_received() || app_.closed() || app_.error() != 0;
  }

  std::string describe() const override {
    std::string text = "HTTP/2, port " + std::to_string(app_.local().port) + ", said " +
                       std::to_string(said_) + ", to send " + std::to_string(app_.unsent_bytes());
    for (const auto& [id, stream] : streams_)
      text += "; stream " + std::to_string(id) + " " + Ledger::describe(*stream.request);
    return text;
  }

 private:
  struct Stream {
    Request* request = nullptr;
    std::string body;
    bool said = false, answered = false;
  };

  void say_more() {
    while (said_ < requests_.size() && connection_->can_open()) {
      if (!say(*requests_[said_])) return;
      ++said_;
    }
  }

  bool say(Request& request) {
    if (request.leave == Leave::finishes_mid) request.leave = Leave::resets_mid;
    if (request.body.empty() && !request.said_whole()) request.leave = Leave::resets_waiting;
    http::Head head;
    head.method = request.method;
    head.scheme = "http";
    head.authority = "server";
    head.path = request.path;
    if (request.has_body && request.length_declared) head.content_length = request.body.size();
    const auto opened = connection_->request(head, !request.has_body);
    if (!opened) return false;
    request.begun = true;
    const uint32_t id = *opened;
    streams_[id].request = &request;
    if (!request.has_body) {
      said(id);
    } else if (ledger_.one_in(2)) {
      later(std::chrono::microseconds(ledger_.below(300'000)), [this, id] { say_body(id); });
    } else {
      say_body(id);
    }
    return true;
  }

  void say_body(uint32_t id) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    const Request& request = *found->second.request;
    std::string_view body = request.body;
    if (!request.said_whole()) body = body.substr(0, std::min(request.said_bytes, body.size() - 1));
    if (!body.empty()) connection_->write(id, buffer_of(body));
    if (request.said_whole()) connection_->finish(id);
    said(id);
  }

  void said(uint32_t id) {
    Stream& stream = streams_[id];
    stream.said = true;
    const Leave leave = stream.request->leave;
    if (leave != Leave::stays && leave != Leave::stalls) {
      const bool all = ledger_.one_in(3);
      later(std::chrono::microseconds(ledger_.below(ledger_.one_in(3) ? 1'000'000 : 10'000)),
            [this, id, leave, all] {
              if (all && leave == Leave::finishes_waiting) {
                if (!connection_->ended()) connection_->fail(Error{Source::local, Reason::cancelled, 0, {}});
                app_.finish();
              } else if (all) {
                app_.reset();
              } else if (streams_.erase(id) > 0) {
                connection_->reset(id, http::h2::kCancel);
                connection_->release(id);
              }
            });
    }
    settle(id);
  }

  void settle(uint32_t id) {
    const auto found = streams_.find(id);
    if (found == streams_.end() || !found->second.said || !found->second.answered) return;
    streams_.erase(found);
    connection_->release(id);
  }

  void later(io::Clock::duration pause, std::function<void()> what) {
    world_.network().at(pause, [this, what = std::move(what)] {
      if (app_.closed()) return;
      what();
      say_more();
      flush();
    });
  }

  void flush() { test::flush(*connection_, app_); }

  void on_change() {
    const std::string bytes = app_.take_received();
    if (!bytes.empty() && !connection_->ended()) {
      const Status fed =
          connection_->feed(std::as_bytes(std::span(bytes.data(), bytes.size())), world_.now());
      if (!fed && fed.error().reason != Reason::none && !connection_->goaway_received())
        FAIL_CHECK("a client got what is not HTTP/2: " << connection_->broken_rule());
    }
    if ((app_.saw_fin() || app_.error() != 0) && !connection_->ended())
      connection_->fail(Error{Source::peer, Reason::server_reset, 0, {}});
    say_more();
    flush();
  }

  void on_head(uint32_t id, http::Head&& head, bool end) override {
    const auto found = streams_.find(id);
    if (found == streams_.end() || head.informational()) return;
    const auto name = head.headers.get("x-id");
    ledger_.head(*found->second.request, head.status,
                 name ? std::optional<std::string_view>(*name) : std::nullopt);
    if (end) on_end(id);
  }
  void on_head_too_large(uint32_t, http::Head&&, bool) override {}
  void on_data(uint32_t id, std::span<const std::byte> bytes) override {
    connection_->consume(id, bytes.size());
    const auto found = streams_.find(id);
    if (found != streams_.end())
      found->second.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void on_trailers(uint32_t, http::Headers&&) override {}
  void on_end(uint32_t id) override {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    ledger_.end(*found->second.request, found->second.body);
    found->second.answered = true;
    settle(id);
  }
  void on_reset(uint32_t id, Reason, uint32_t, bool) override {
    if (streams_.erase(id) > 0) connection_->release(id);
  }

  Ledger& ledger_;
  io::SimWorld& world_;
  io::SimApp& app_;
  std::vector<Request*> requests_;
  size_t said_ = 0;
  std::unique_ptr<http::h2::Connection> connection_;
  std::map<uint32_t, Stream> streams_;
};

}  // namespace

std::unique_ptr<TestClient> client_h2(Ledger& ledger, io::SimWorld& world, io::SimApp& app,
                                      std::vector<Request*> requests) {
  return std::make_unique<H2User>(ledger, world, app, std::move(requests));
}

}  // namespace weir::test
