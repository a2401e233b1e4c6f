// weirctl: what Weir does on this node, for a person's shell. Asks the administration sockets of this node's agent and
// proxy.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>

#include "agent/cli/ask.h"
#include "agent/cli/graph.h"
#include "agent/cli/report.h"
#include "agent/cli/tap.h"

namespace {

using namespace weir;
using namespace weir::agent;
using Json = nlohmann::json;

constexpr auto kTapEvery = std::chrono::milliseconds(300);

struct Options {
  std::string run_dir = "/run/weir", agent_socket, proxy_socket, output = "text";
  TapOptions tap;
  uint64_t tap_count = 0;  // 0: until interrupted
  double interval_ms = 2000;

  bool json() const { return output == "json"; }
};

int failed(const std::string& error) {
  fmt::print(stderr, "weirctl: {}\n", error);
  return 1;
}

int status_or_check(const Options& options, bool status) {
  const AskedJson agent = ask_json("agent", options.agent_socket, status ? "/status" : "/check");
  const AskedJson proxy = ask_json("proxy", options.proxy_socket, "/status");
  for (const AskedJson* one : {&agent, &proxy}) {
    if (!one->error.empty()) failed(one->error);
  }
  const int64_t now = std::time(nullptr);
  const bool reached = agent.error.empty() && proxy.error.empty();
  if (status) {
    if (options.json()) {
      fmt::print("{}\n", Json{{"agent", agent.answer}, {"proxy", proxy.answer}}.dump(1));
    } else if (agent.error.empty()) {
      fmt::print("{}", status_text(agent.answer, proxy.answer, now));
    }
    return reached ? 0 : 1;
  }
  const CheckReport report = check_text(agent.answer, proxy.answer, now);
  if (options.json()) {
    fmt::print("{}\n",
               Json{{"ok", report.ok && reached}, {"agent", agent.answer}, {"proxy", proxy.answer}}.dump(1));
  } else if (agent.error.empty()) {
    fmt::print("{}", report.text);
  }
  return report.ok && reached ? 0 : 1;
}

int tap(const Options& options) {
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
    std::this_thread::sleep_for(kTapEvery);
  }
}

int graph(const Options& options) {
  using Clock = std::chrono::steady_clock;
  const AskedJson before = ask_json("proxy", options.proxy_socket, "/graph");
  if (!before.error.empty()) return failed(before.error);
  const auto begun = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(options.interval_ms));
  const AskedJson after = ask_json("proxy", options.proxy_socket, "/graph");
  if (!after.error.empty()) return failed(after.error);
  const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  const auto rates = edge_rates(before.answer, after.answer, seconds);
  fmt::print("{}", options.json() ? graph_json(rates).dump(1) + "\n" : graph_text(rates, seconds));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App cli("weirctl: what Weir does on this node");
  cli.set_version_flag("--version", WEIR_VERSION);
  cli.add_option("--run-dir", options.run_dir, "where the sockets are")
      ->envname("WEIR_RUN_DIR")
      ->capture_default_str();
  cli.add_option("--agent-socket", options.agent_socket,
                 "the agent's administration socket; RUN_DIR/agent-admin.sock");
  cli.add_option("--proxy-socket", options.proxy_socket,
                 "the proxy's administration socket; RUN_DIR/proxy-admin.sock");
  cli.add_option("-o,--output", options.output, "text or json")->check(CLI::IsMember({"text", "json"}));
  auto* status = cli.add_subcommand("status", "pods, identities, certificates, modes, capture, live flows");
  auto* check = cli.add_subcommand("check", "tests whether each pod's capture really is in place");
  auto* tapped = cli.add_subcommand("tap", "requests as they end, until interrupted");
  tapped->add_option("--workload", options.tap.workload,
                     "NAMESPACE/NAME of the source, destination or service");
  tapped->add_option("--route", options.tap.route, "NAMESPACE/ROUTE, or one of its rules");
  tapped->add_option("--status", options.tap.status, "a class (5xx), a code (404) or none");
  tapped->add_option("--count", options.tap_count, "ends after so many");
  auto* graphed = cli.add_subcommand("graph", "who calls whom: rate, success, latency");
  graphed->add_option("--interval", options.interval_ms, "how long to watch: 2s, 500ms")
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"ms", 1}, {"s", 1000}, {"m", 60'000}},
                                        CLI::AsNumberWithUnit::UNIT_REQUIRED))
      ->check(CLI::Range(1.0, 3'600'000.0));
  for (auto* command : {status, check, tapped, graphed}) command->fallthrough();
  cli.require_subcommand(1);
  CLI11_PARSE(cli, argc, argv);
  if (options.agent_socket.empty()) options.agent_socket = options.run_dir + "/agent-admin.sock";
  if (options.proxy_socket.empty()) options.proxy_socket = options.run_dir + "/proxy-admin.sock";
  if (*tapped) return tap(options);
  if (*graphed) return graph(options);
  return status_or_check(options, static_cast<bool>(*status));
}
