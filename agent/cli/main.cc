// weirctl: status and check, for a person's shell. Asks the administration sockets of this node's agent and proxy.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "agent/cli/report.h"
#include "agent/cli/unix_http.h"

namespace {

using namespace weir;
using namespace weir::agent;
using Json = nlohmann::json;

struct Asked {
  Json answer;        // null when there is none
  std::string error;  // why
};

Asked ask(const char* who, const std::string& socket_path, const std::string& path) {
  const auto got = get_unix(socket_path, path);
  if (!got) {
    const int code = got.error().os_code;
    const std::string what = code != 0 ? std::strerror(code) : got.error().describe();
    std::string hint;
    if (got.error().os_code == ENOENT) {
      hint = fmt::format(
          "\n  there is no such socket: is weir-{} running on this node, and --run-dir (or "
          "WEIR_RUN_DIR) the directory it was given?",
          who);
    } else if (got.error().os_code == ECONNREFUSED) {
      hint = fmt::format("\n  nobody serves it: weir-{} has ended", who);
    } else if (got.error().os_code == EACCES) {
      hint = "\n  only the user it runs as may ask: try sudo";
    }
    return {Json(), fmt::format("{} at {}: {}{}", who, socket_path, what, hint)};
  }
  Json answer = Json::parse(got->body, nullptr, false);
  if (got->status != 200 || answer.is_discarded()) {
    return {Json(),
            fmt::format("{} at {}: GET {} answered {}: {}", who, socket_path, path, got->status, got->body)};
  }
  return {std::move(answer), {}};
}

}  // namespace

int main(int argc, char** argv) {
  std::string run_dir = "/run/weir", agent_socket, proxy_socket, output = "text";
  CLI::App cli("weirctl: what Weir does on this node");
  cli.set_version_flag("--version", WEIR_VERSION);
  cli.add_option("--run-dir", run_dir, "where the sockets are")
      ->envname("WEIR_RUN_DIR")
      ->capture_default_str();
  cli.add_option("--agent-socket", agent_socket,
                 "the agent's administration socket; RUN_DIR/agent-admin.sock");
  cli.add_option("--proxy-socket", proxy_socket,
                 "the proxy's administration socket; RUN_DIR/proxy-admin.sock");
  cli.add_option("-o,--output", output, "text or json")->check(CLI::IsMember({"text", "json"}));
  auto* status = cli.add_subcommand("status", "pods, identities, certificates, modes, capture, live flows");
  auto* check = cli.add_subcommand("check", "tests whether each pod's capture really is in place");
  status->fallthrough();
  check->fallthrough();
  cli.require_subcommand(1);
  CLI11_PARSE(cli, argc, argv);
  if (agent_socket.empty()) agent_socket = run_dir + "/agent-admin.sock";
  if (proxy_socket.empty()) proxy_socket = run_dir + "/proxy-admin.sock";

  const Asked agent = ask("agent", agent_socket, *status ? "/status" : "/check");
  const Asked proxy = ask("proxy", proxy_socket, "/status");
  for (const Asked* one : {&agent, &proxy}) {
    if (!one->error.empty()) fmt::print(stderr, "weirctl: {}\n", one->error);
  }
  const int64_t now = std::time(nullptr);
  const bool reached = agent.error.empty() && proxy.error.empty();
  if (*status) {
    if (output == "json") {
      fmt::print("{}\n", Json{{"agent", agent.answer}, {"proxy", proxy.answer}}.dump(1));
    } else if (agent.error.empty()) {
      fmt::print("{}", status_text(agent.answer, proxy.answer, now));
    }
    return reached ? 0 : 1;
  }
  const CheckReport report = check_text(agent.answer, proxy.answer, now);
  if (output == "json") {
    fmt::print("{}\n",
               Json{{"ok", report.ok && reached}, {"agent", agent.answer}, {"proxy", proxy.answer}}.dump(1));
  } else if (agent.error.empty()) {
    fmt::print("{}", report.text);
  }
  return report.ok && reached ? 0 : 1;
}
