// Routes, and waiting for the loop. See admin.h.
#include "agent/admin.h"

#include <future>
#include <memory>

namespace weir::agent {
namespace {

constexpr auto kLoopWait = std::chrono::seconds(5);
constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

Admin::Admin(Loop& loop, App& app) : loop_(loop), app_(app) {
  using Access = LocalHttp::Access;
  http_.on("GET", "/metrics", Access::anywhere,
           [this](const HttpRequest&) { return HttpResponse{200, kMetricsType, app_.metrics().text()}; });
  http_.on("GET", "/healthz", Access::anywhere,
           [this](const HttpRequest&) { return on_loop([] { return HttpResponse{.body = "ok\n"}; }); });
  http_.on("GET", "/readyz", Access::anywhere, [this](const HttpRequest&) {
    return on_loop([this] {
      const std::string missing = app_.not_ready();
      if (missing.empty()) return HttpResponse{.body = "ready\n"};
      return HttpResponse{.status = 503, .body = "not ready: " + missing + "\n"};
    });
  });
  http_.on("GET", "/status", Access::local, [this](const HttpRequest&) {
    return on_loop([this] { return HttpResponse{200, "application/json", app_.status_json()}; });
  });
  http_.on("GET", "/check", Access::local, [this](const HttpRequest&) {
    return on_loop([this] { return HttpResponse{200, "application/json", app_.check_json()}; });
  });
  http_.on("GET", "/why", Access::local, [this](const HttpRequest& request) {
    return on_loop([this, pod = std::string(request.query_value("pod"))] {
      std::string answer = app_.why_json(pod);
      if (answer.empty()) return HttpResponse{.status = 404, .body = "there is no pod " + pod + "\n"};
      return HttpResponse{200, "application/json", std::move(answer)};
    });
  });
}

Status Admin::start(const std::string& socket_path, const std::string& metrics_listen) {
  if (auto ok = http_.listen_unix(socket_path); !ok) return ok;
  if (!metrics_listen.empty()) {
    const auto address = SocketAddress::parse(metrics_listen);
    if (!address) {
      return fail(Source::config, Reason::bad_config,
                  "--metrics-listen " + metrics_listen + " is no ADDRESS:PORT");
    }
    if (auto ok = http_.listen_tcp(*address); !ok) return ok;
  }
  return http_.start();
}

HttpResponse Admin::on_loop(std::function<HttpResponse()> work) const {
  // Shared, as the loop may come to it after nobody waits any more.
  const auto answer = std::make_shared<std::promise<HttpResponse>>();
  auto future = answer->get_future();
  loop_.post([answer, work = std::move(work)] { answer->set_value(work()); });
  if (future.wait_for(kLoopWait) == std::future_status::ready) return future.get();
  return {.status = 503, .body = "the agent's main loop has not answered for 5 s\n"};
}

}  // namespace weir::agent
