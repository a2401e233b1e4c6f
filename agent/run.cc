// See run.h.
#include "agent/run.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent/admin.h"
#include "agent/app.h"
#include "agent/app_capture.h"
#include "agent/loop/signals.h"
#include "agent/turn.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

using namespace std::chrono_literals;

constexpr auto kLook = 100ms;
constexpr auto kPredecessorWait = 60s;  // it closes what it has in much less
constexpr auto kProxyWait = 15s;        // to have all listeners, before they are handed over
constexpr auto kSuccessorGone = 3s;     // the lock was free for so long: nobody takes it

enum class Ended { signalled, failed, handed_over };

// What makes an agent end its service.
struct Reasons {
  bool told = false;   // by a signal
  bool asked = false;  // by a successor
};

int complain(const Error& error) {
  log::error("{}", error.describe());
  return 1;
}

// Whether a signal that ends the process has come within that time.
bool signalled(int signals, std::chrono::milliseconds wait) {
  pollfd polled{signals, POLLIN, 0};
  if (::poll(&polled, 1, static_cast<int>(wait.count())) <= 0) return false;
  signalfd_siginfo info{};
  if (::read(signals, &info, sizeof(info)) != sizeof(info)) return false;
  log::info("signal {}", info.ssi_signo);
  return true;
}

// What this agent alone holds ends with it: so it waits until a proxy would give it to the successor. Where none comes, the
// successor opens anew.
void look_for_successor(Loop& loop, const Turn& turn, const App& app, Reasons& reasons, int looks = 0) {
  loop.after(kLook, [&loop, &turn, &app, &reasons, looks] {
    if (!turn.is_asked()) return look_for_successor(loop, turn, app, reasons);
    if (!app.held_by_proxies() && looks * kLook < kProxyWait)
      return look_for_successor(loop, turn, app, reasons, looks + 1);
    reasons.asked = true;
    loop.stop();
  });
}

// Told to end: at once, or, where a successor may be on its way, when it asks. The node's pod may have been deleted: both its
// processes end, and the DaemonSet's next starts them anew some seconds later. Nobody would hold the listeners of the
// captured pods meanwhile.
void end_in_time(Loop& loop, const AgentOptions& options, const App& app, Reasons& reasons) {
  const bool again = std::exchange(reasons.told, true);
  if (again || !options.take_over || options.linger == 0s || !app.captures()) {
    log::info("ending; every captured pod stays captured");
    return loop.stop();
  }
  log::info("going on for {} s, or until a successor asks: pods are captured", options.linger.count());
  loop.after(options.linger, [&loop] { loop.stop(); });
}

Ended serve(const AgentOptions& options, Turn& turn, int signals) {
  Loop loop;
  Reasons reasons;
  auto app = App::start(loop, options);
  turn.taken();
  if (!app) {
    complain(app.error());
    return Ended::failed;
  }
  Admin admin(loop, **app);
  if (auto ok = admin.start(options.admin_socket, options.metrics_listen); !ok) {
    complain(ok.error());
    return Ended::failed;
  }
  loop.watch(signals, POLLIN, [&](short) {
    if (signalled(signals, 0ms)) end_in_time(loop, options, **app, reasons);
  });
  log::info("weir-agent {} runs on node {}, reading {}", WEIR_VERSION, options.node,
            options.kubernetes ? "the API server's objects" : options.source_dir.string());
  if (options.take_over) look_for_successor(loop, turn, **app, reasons);
  loop.run();
  return reasons.told ? Ended::signalled : Ended::handed_over;
}

// Waits until the agent that is active has let go. False: a signal came.
bool ask_for_turn(Turn& turn, int signals) {
  const auto last = std::chrono::steady_clock::now() + kPredecessorWait;
  bool told = false;
  while (!turn.is_free() && std::chrono::steady_clock::now() < last) {
    if (!std::exchange(told, true)) log::info("asking the agent that runs on this node to hand it over");
    turn.ask();
    if (signalled(signals, kLook)) return false;
  }
  return true;  // if it is not free now, the start will say so
}

// Healthy, so that nobody restarts this process, which would take the node back; not ready, as it serves nobody.
void answer_as_idle(LocalHttp& http, const std::string& metrics_listen) {
  http.on("GET", "/healthz", LocalHttp::Access::anywhere,
          [](const HttpRequest&) { return HttpResponse{.body = "ok\n"}; });
  http.on("GET", "/readyz", LocalHttp::Access::anywhere, [](const HttpRequest&) {
    return HttpResponse{.status = 503, .body = "not ready: a newer agent serves this node\n"};
  });
  const auto address = SocketAddress::parse(metrics_listen);
  if (metrics_listen.empty() || !address) return;
  auto status = http.listen_tcp(*address);
  if (status) status = http.start();
  if (!status) log::warn("{}", status.error().describe());
}

// After the hand-over. False: a signal came; true: the newer agent is gone.
bool wait_for_turn(const AgentOptions& options, const Turn& turn, int signals) {
  log::info("handed over to a newer agent of this node; serving again if that one ends");
  LocalHttp http;
  answer_as_idle(http, options.metrics_listen);
  auto free_since = std::chrono::steady_clock::now();
  while (!signalled(signals, kLook)) {
    const auto now = std::chrono::steady_clock::now();
    if (!turn.is_free() || turn.is_asked()) free_since = now;
    if (now - free_since < kSuccessorGone) continue;
    log::warn("no agent serves this node any more: serving again");
    return true;
  }
  return false;
}

}  // namespace

int run_agent(const AgentOptions& options) {
  if (options.in_cluster()) {
    if (auto ok = join_node_cgroup_namespace(options); !ok) return complain(ok.error());
  }
  const Fd signals = block_signals();
  Turn turn(options.state_dir);
  for (;;) {
    if (options.take_over && !ask_for_turn(turn, signals.get())) return 0;
    switch (serve(options, turn, signals.get())) {
      case Ended::signalled: return 0;
      case Ended::failed: return 1;
      case Ended::handed_over: break;
    }
    if (!wait_for_turn(options, turn, signals.get())) return 0;
  }
}

}  // namespace weir::agent
