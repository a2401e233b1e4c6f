// Routes, and waiting for the loop. See admin.h.
#include "agent/controller/admin.h"

#include <future>
#include <memory>

namespace weir::agent::controller {
namespace {

constexpr auto kLoopWait = std::chrono::seconds(4);  // less than a probe waits
constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace

ControllerAdmin::ControllerAdmin(Loop& loop, ControllerApp& app) : loop_(loop) {
  using Access = LocalHttp::Access;
  http_.on("GET", "/metrics", Access::anywhere, [this, &app](const HttpRequest&) {
    return on_loop([&app] {
      app.refresh_metrics();
      return HttpResponse{200, kMetricsType, app.metrics().text()};
    });
  });
  http_.on("GET", "/healthz", Access::anywhere,
           [this](const HttpRequest&) { return on_loop([] { return HttpResponse{.body = "ok\n"}; }); });
  http_.on("GET", "/readyz", Access::anywhere, [this, &app](const HttpRequest&) {
    return on_loop([&app] {
      const std::string missing = app.not_ready();
      if (missing.empty()) return HttpResponse{.body = "ready\n"};
      return HttpResponse{.status = 503, .body = "not ready: " + missing + "\n"};
    });
  });
}

Status ControllerAdmin::start(const std::string& listen) {
  const auto address = SocketAddress::parse(listen);
  if (!address) {
    return fail(Source::config, Reason::bad_config, "--metrics-listen " + listen + " is no ADDRESS:PORT");
  }
  if (auto ok = http_.listen_tcp(*address); !ok) return ok;
  return http_.start();
}

HttpResponse ControllerAdmin::on_loop(std::function<HttpResponse()> work) const {
  // Shared, as the loop may come to it after nobody waits any more.
  const auto answer = std::make_shared<std::promise<HttpResponse>>();
  auto future = answer->get_future();
  loop_.post([answer, work = std::move(work)] { answer->set_value(work()); });
  if (future.wait_for(kLoopWait) == std::future_status::ready) return future.get();
  return {.status = 503, .body = "the controller's loop has not answered for 4 s\n"};
}

}  // namespace weir::agent::controller
