// weir-proxy: command line and nothing else. Exit codes: 0 drained, 1 could not start, 2 bad arguments.
#include <malloc.h>

#include <CLI/CLI.hpp>

#include "nodeproxy/app.h"
#include "nodeproxy/base/log.h"

int main(int argc, char** argv) {
  weir::AppOptions options;
  // Bulk allocates and frees buffers of 64 to 128 KiB all the time: not a mmap, and not a trimmed heap, for each.
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 16 << 20);
  std::string level = "info", io = "auto";
  CLI::App cli("weir-proxy: Weir's node proxy. It carries the TCP traffic of the enrolled pods of one node.");
  auto* agent = cli.add_option("--agent-socket", options.agent_socket, "Unix socket of weir-agent");
  auto* file = cli.add_option("--config", options.config_file,
                              "a mesh.proto Update as .txtpb or .json, instead of an agent (no capture)");
  agent->excludes(file);
  cli.add_option("--workers", options.workers, "threads that carry traffic; 0: one per core");
  cli.add_option("--io", io, "auto: io_uring, or epoll where that cannot be had; io_uring; epoll")
      ->check(CLI::IsMember({"auto", "io_uring", "epoll"}))
      ->capture_default_str();
  cli.add_option("--metrics-listen", options.metrics_listen, "ADDRESS:PORT of /metrics, /healthz, /readyz")
      ->capture_default_str();
  cli.add_option("--admin-socket", options.admin_socket, "Unix socket of the local administration (weirctl)");
  cli.add_option("--access-log", options.access_log, "file, - for stdout, off for none")
      ->capture_default_str();
  auto& source = options.source_limits;
  cli.add_option("--source-connections", source.connections,
                 "descriptors that one address's take, on each worker")
      ->check(CLI::Range(1U, UINT32_MAX))
      ->capture_default_str();
  cli.add_option("--source-sessions", source.sessions, "open from one address, on each worker")
      ->check(CLI::Range(1U, UINT32_MAX))
      ->capture_default_str();
  cli.add_option("--source-handshakes", source.handshakes,
                 "of one address's lanes, a second and at a time, on each worker")
      ->check(CLI::Range(1U, UINT32_MAX))
      ->capture_default_str();
  cli.add_option("--source-buffered-bytes", source.buffered_bytes,
                 "that one address may leave unread in the proxy, on each worker")
      ->check(CLI::Range(uint64_t{weir::limits::session_window_initial_bytes}, uint64_t{1} << 40))
      ->capture_default_str();
  cli.add_option("--drain-seconds", options.drain_seconds, "how long SIGTERM waits for open connections")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str();
  cli.add_option("--log-level", level, "debug, info, warn or error")->capture_default_str();
  cli.set_version_flag("--version", WEIR_VERSION);
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = cli.exit(error);
    return code == 0 ? 0 : 2;
  }
  if (!weir::log::init("weir-proxy", level)) {
    weir::log::error("--log-level: one of debug, info, warn, error");
    return 2;
  }
  if (options.agent_socket.empty() && options.config_file.empty()) {
    weir::log::error("one of --agent-socket and --config is needed; see --help");
    return 2;
  }
  options.io = io == "epoll"      ? weir::io::DriverChoice::epoll
               : io == "io_uring" ? weir::io::DriverChoice::io_uring
                                  : weir::io::DriverChoice::automatic;
  weir::App app(std::move(options));
  const weir::Status status = app.run();
  if (!status) weir::log::error("{}", status.error().describe());
  return status ? 0 : 1;
}
