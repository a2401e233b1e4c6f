// The commands, on one node: questions to the administration sockets of its agent and proxy. See options.h.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>

#include "agent/cli/ask.h"
#include "agent/cli/graph.h"
#include "agent/cli/install_check.h"
#include "agent/cli/members.h"
#include "agent/cli/node_facts.h"
#include "agent/cli/options.h"
#include "agent/cli/report.h"
#include "agent/cli/why_text.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

constexpr auto kTapEvery = std::chrono::milliseconds(300);

struct Both {
  AskedJson agent, proxy;
  bool reached() const { return agent.error.empty() && proxy.error.empty(); }
};

Both ask_both(const CtlOptions& options, const std::string& of_agent) {
  Both both{ask_json("agent", options.agent_socket, of_agent),
            ask_json("proxy", options.proxy_socket, "/status")};
  for (const AskedJson* one : {&both.agent, &both.proxy}) {
    if (!one->error.empty()) failed(one->error);
  }
  return both;
}

// Waits; true: whoever started us wants no more. Standard input is not read for itself.
bool wait_or_unwanted(const CtlOptions& options, std::chrono::milliseconds wait) {
  if (!options.while_input) {
    std::this_thread::sleep_for(wait);
    return false;
  }
  pollfd input{STDIN_FILENO, POLLIN, 0};
  if (::poll(&input, 1, static_cast<int>(wait.count())) <= 0) return false;
  char dropped[256];
  return ::read(STDIN_FILENO, dropped, sizeof(dropped)) <= 0;
}

// Lines of the access log.
Json refusals_in(const std::string& body) {
  Json out = Json::array();
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    Json line = Json::parse(body.substr(at, end - at), nullptr, false);
    if (line.is_object()) out.push_back(std::move(line));
    at = end + 1;
  }
  return out;
}

}  // namespace

int failed(const std::string& error) {
  fmt::print(stderr, "weirctl: {}\n", error);
  return 1;
}

int local_status(const CtlOptions& options) {
  const Both both = ask_both(options, "/status");
  if (options.json()) {
    fmt::print("{}\n", Json{{"agent", both.agent.answer}, {"proxy", both.proxy.answer}}.dump(1));
  } else if (both.agent.error.empty()) {
    fmt::print("{}", status_text(both.agent.answer, both.proxy.answer, std::time(nullptr)));
  }
  return both.reached() ? 0 : 1;
}

int local_check(const CtlOptions& options) {
  const Both both = ask_both(options, "/check");
  const CheckReport report = check_text(both.agent.answer, both.proxy.answer, std::time(nullptr));
  const bool ok = report.ok && both.reached();
  if (options.json()) {
    fmt::print("{}\n", Json{{"ok", ok}, {"agent", both.agent.answer}, {"proxy", both.proxy.answer}}.dump(1));
  } else if (both.agent.error.empty()) {
    fmt::print("{}", report.text);
  }
  return ok ? 0 : 1;
}

int local_version(const CtlOptions& options) {
  const Both both = ask_both(options, "/status");
  const std::string agent = text_of(both.agent.answer, "version"),
                    proxy = text_of(both.proxy.answer, "version");
  if (options.json()) {
    fmt::print("{}\n", Json{{"weirctl", WEIR_VERSION}, {"agent", agent}, {"proxy", proxy}}.dump(1));
  } else {
    fmt::print("weirctl {}\nagent   {}\nproxy   {}\n", WEIR_VERSION, agent, proxy);
  }
  return both.reached() ? 0 : 1;
}

int local_why(const CtlOptions& options) {
  std::string pod = options.pod;
  if (pod.find('/') == std::string::npos) pod = (options.ns.empty() ? "default" : options.ns) + "/" + pod;
  if (!is_name(pod)) return failed(fmt::format("{} is no name of a pod: NAMESPACE/NAME", visible(pod)));
  const AskedJson agent = ask_json("agent", options.agent_socket, "/why?pod=" + pod);
  if (agent.status == 404) {
    return failed(fmt::format(
        "the agent knows no pod {}: look at `kubectl get pods -A`, or at the files it reads", pod));
  }
  if (!agent.error.empty()) return failed(agent.error);
  const Asked proxy = ask("proxy", options.proxy_socket, "/refusals?pod=" + pod);
  Json answer{{"agent", agent.answer}, {"refusals", nullptr}, {"refusals_error", proxy.error}};
  if (proxy.error.empty()) answer["refusals"] = refusals_in(proxy.body);
  fmt::print("{}", options.json() ? answer.dump(1) + "\n" : why_text(answer));
  return 0;
}

int local_tap(const CtlOptions& options) {
  TapTable columns;
  std::string since;
  for (uint64_t printed = 0;;) {
    const TapTarget target = tap_target(options.tap, since);
    if (!target.error.empty()) return failed(target.error);
    const Asked got = ask("proxy", options.proxy_socket, target.target);
    if (!got.error.empty()) return failed(got.error);
    const TapAnswer answer = read_tap(got.body);
    if (answer.next.empty()) return failed("the proxy does not understand tap: is it an older one?");
    if (since.empty() && !options.json()) fmt::print("{}", columns.line(TapTable::heading()));
    since = answer.next;
    if (answer.missed > 0)
      fmt::print(stderr, "weirctl: {} requests came too fast to be shown\n", answer.missed);
    for (const Json& request : answer.requests) {
      fmt::print("{}",
                 options.json() ? request.dump(-1, ' ', true) + "\n" : columns.line(tap_cells(request)));
      if (++printed == options.tap_count) return 0;
    }
    if (std::fflush(stdout) != 0) return 1;  // nobody reads any more
    if (wait_or_unwanted(options, kTapEvery)) return 0;
  }
}

int local_graph(const CtlOptions& options) {
  using Clock = std::chrono::steady_clock;
  const AskedJson before = ask_json("proxy", options.proxy_socket, "/graph");
  if (!before.error.empty()) return failed(before.error);
  const auto begun = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(options.interval_ms));
  const AskedJson after = ask_json("proxy", options.proxy_socket, "/graph");
  if (!after.error.empty()) return failed(after.error);
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  if (options.samples) {
    fmt::print("{}\n", Json{{"before", before.answer}, {"after", after.answer}, {"seconds", seconds}}.dump());
    return 0;
  }
  const auto rates = edge_rates(before.answer, after.answer, seconds);
  fmt::print("{}", options.json() ? graph_json(rates).dump(1) + "\n" : graph_text(rates, seconds));
  return 0;
}

int local_install_check(const CtlOptions& options) {
  const AskedJson proxy = ask_json("proxy", options.proxy_socket, "/status");
  const NodeFacts facts =
      read_node_facts({options.cgroup_root, options.cni_dir}, text_of(proxy.answer, "driver", ""));
  const std::vector<Finding> findings = judge_node(facts);
  fmt::print("{}", options.json() ? findings_json(findings).dump(1) + "\n" : findings_text(findings));
  return any_failed(findings) ? 1 : 0;
}

}  // namespace weir::agent
