// Start, administration and drain of the proxy. See app.h.
#include <csignal>
#include <future>

#include "nodeproxy/admin/watch.h"
#include "nodeproxy/app.h"
#include "nodeproxy/base/descriptors.h"
#include "nodeproxy/base/log.h"
#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/config/source_file.h"

namespace weir {
namespace {

constexpr auto kCollectPatience = std::chrono::seconds(2);
constexpr size_t kFlowsShown = 10'000;  // per worker

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

}  // namespace

// Each worker answers on its own thread; one that does not in time is left out.
template <typename Answer>
std::vector<Answer> App::ask(const std::function<Answer(Worker&)>& question) {
  std::vector<std::future<Answer>> answers;
  for (const auto& worker : workers_) {
    auto answer = std::make_shared<std::promise<Answer>>();
    answers.push_back(answer->get_future());
    worker->post([answer, question](Worker& from) { answer->set_value(question(from)); });
  }
  std::vector<Answer> given;
  const auto last = std::chrono::steady_clock::now() + kCollectPatience;
  for (auto& answer : answers) {
    if (answer.wait_until(last) == std::future_status::ready) given.push_back(answer.get());
  }
  return given;
}

Status App::run() {
  const sigset_t signals = handled_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // threads started from here inherit it; main waits for them
  std::signal(SIGPIPE, SIG_IGN);
  if (options_.access_log != "off") {
    auto log_writer = telemetry::LogWriter::open(options_.access_log);
    if (!log_writer) return std::unexpected(log_writer.error());
    log_writer_ = std::move(*log_writer);
  }
  if (const Status status = start(); !status) {
    drain(
        std::chrono::seconds(0));  // what did start is ended: a thread that nobody joined aborts the process
    return status;
  }
  wait_for_signal();
  drain(std::chrono::seconds(options_.drain_seconds));
  log::info("drained");
  return {};
}

Status App::start() {
  if (const Status status = start_workers(); !status) return status;
  if (const Status status = start_admin(); !status) return status;
  return start_config();
}

// A source that has all that it may on every worker has half of the descriptors.
void App::fit_descriptors() {
  const uint64_t descriptors = raise_descriptor_limit();
  uint32_t& connections = options_.source_limits.connections;
  const uint64_t fit = descriptors / (2 * uint64_t{options_.workers});
  if (fit < connections) {
    log::warn(
        "{} descriptors for {} workers: a source may have {} connections on each, not {}; raise the limit of "
        "open files",
        descriptors, options_.workers, fit, connections);
    connections = static_cast<uint32_t>(std::max<uint64_t>(1, fit));
  }
}

Status App::start_workers() {
  if (options_.workers == 0) options_.workers = std::max(1U, std::thread::hardware_concurrency());
  const uint32_t count = options_.workers;
  fit_descriptors();
  publisher_ = std::make_unique<config::Publisher>(count);
  for (uint32_t index = 0; index < count; ++index) {
    std::promise<Status> started;
    // The ring belongs to the thread that makes it (SINGLE_ISSUER), so the driver is made there.
    threads_.emplace_back([this, index, count, &started] {
      auto chosen = io::choose_driver(options_.io);
      if (!chosen) {
        started.set_value(std::unexpected(chosen.error()));
        return;
      }
      Worker::Options worker_options{.index = index,
                                     .count = count,
                                     .log = log_writer_.get(),
                                     .source_limits = options_.source_limits,
                                     .publisher = publisher_.get(),
                                     .pod_accepting = [this](const std::string& uid) { pod_accepting(uid); },
                                     .pod_released = [this](const std::string& uid) { pod_released(uid); },
                                     .hand_over = [this](uint32_t to, const std::string& uid, flow::Way way,
                                                         int fd) { hand_over(to, uid, way, fd); }};
      tell_driver(*chosen);
      workers_.push_back(std::make_unique<Worker>(std::move(chosen->driver), std::move(worker_options)));
      Worker& worker = *workers_.back();
      publisher_->set_wake(index, [&worker] { worker.wake(); });
      started.set_value({});
      worker.run();
    });
    if (const Status status = started.get_future().get(); !status) {
      threads_.back().join();
      threads_.pop_back();
      return status;
    }
  }
  return {};
}

// On the thread of the worker that it is for, while the main thread waits. One line in the log, and one more if a later
// worker fares otherwise.
void App::tell_driver(const io::ChosenDriver& chosen) {
  const std::string name(chosen.driver->name());
  if (driver_name_.find(name) != std::string::npos) return;
  driver_name_ += (driver_name_.empty() ? "" : "+") + name;
  if (chosen.why_not_io_uring.empty()) {
    log::info("the workers use {}", name);
  } else {
    log::warn("the workers use {}: {}", name, chosen.why_not_io_uring);
  }
}

Status App::start_config() {
  if (!options_.config_file.empty()) {
    const auto update = config::load_file(options_.config_file);
    if (!update) return std::unexpected(update.error());
    config::Builder builder;
    auto snapshot = builder.apply(*update);
    if (!snapshot) {
      return fail(Source::config, Reason::bad_config, snapshot.error().name + ": " + snapshot.error().text);
    }
    on_snapshot(std::move(*snapshot));
    return {};
  }
  link_ = std::make_unique<config::AgentLink>(options_.agent_socket, static_cast<uint32_t>(workers_.size()),
                                              WEIR_VERSION, *this);
  config_thread_ = std::thread([this] {
    if (const Status status = link_->run(); !status) log::error("agent link: {}", status.error().describe());
  });
  return {};
}

Status App::start_admin() {
  using Access = LocalHttp::Access;
  const auto text = [](std::string body) {
    return HttpResponse{200, "text/plain; version=0.0.4", std::move(body)};
  };
  http_.on("GET", "/healthz", Access::anywhere, [text](const HttpRequest&) { return text("ok\n"); });
  http_.on("GET", "/metrics", Access::anywhere,
           [this, text](const HttpRequest&) { return text(admin::metrics_text(view(true))); });
  http_.on("GET", "/readyz", Access::anywhere, [this](const HttpRequest&) {
    const std::string reason = view().not_ready_because;
    return HttpResponse{reason.empty() ? 200 : 503, "text/plain", reason.empty() ? "ready\n" : reason + "\n"};
  });
  http_.on("GET", "/status", Access::local, [this](const HttpRequest&) {
    return HttpResponse{200, "application/json", admin::status_json(view())};
  });
  http_.on("GET", "/flows", Access::local, [this](const HttpRequest&) {
    std::vector<telemetry::FlowView> all;
    for (auto& flows :
         ask<std::vector<telemetry::FlowView>>([](Worker& from) { return from.flows(kFlowsShown); })) {
      all.insert(all.end(), flows.begin(), flows.end());
    }
    return HttpResponse{200, "application/json", admin::flows_json(all)};
  });
  http_.on("GET", "/graph", Access::local, [this](const HttpRequest&) {
    const auto workers = ask<telemetry::WorkerReport>([](Worker& from) { return from.report(); });
    return HttpResponse{200, "application/json", admin::graph_json(workers)};
  });
  http_.on("GET", "/tap", Access::local, [this](const HttpRequest& request) { return tap(request); });
  http_.on("GET", "/refusals", Access::local, [this](const HttpRequest& request) {
    const auto refusals = ask<std::vector<telemetry::RefusalLine>>(
        [pod = std::string(request.query_value("pod"))](Worker& from) { return from.refusals(pod); });
    return HttpResponse{200, "application/x-ndjson", admin::refusals_answer(refusals)};
  });
  http_.on("GET", "/config", Access::local, [this](const HttpRequest&) { return config_dump(); });
  http_.on("POST", "/log", Access::local, [](const HttpRequest& request) {
    const std::string level(request.query_value("level"));
    if (log::set_level(level)) return HttpResponse{200, "text/plain", "level " + level + "\n"};
    return HttpResponse{400, "text/plain", "level is one of debug, info, warn, error\n"};
  });
  http_.on("POST", "/drain", Access::local, [](const HttpRequest&) {
    ::kill(::getpid(), SIGTERM);
    return HttpResponse{200, "text/plain", "draining\n"};
  });
  if (!options_.metrics_listen.empty()) {
    const auto address = SocketAddress::parse(options_.metrics_listen);
    if (!address) return fail(Source::local, Reason::bad_config, "--metrics-listen: ADDRESS:PORT expected");
    if (const Status status = http_.listen_tcp(*address); !status) return status;
  }
  if (!options_.admin_socket.empty()) {
    if (const Status status = http_.listen_unix(options_.admin_socket, 0600, true); !status) return status;
  }
  return http_.start();
}

void App::wait_for_signal() {
  const sigset_t signals = handled_signals();
  for (;;) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (signal != SIGHUP) {
      log::info("signal {}: draining, {} s at most", signal, options_.drain_seconds);
      return;
    }
    if (log_writer_) log_writer_->reopen();
  }
}

void App::drain(std::chrono::seconds limit) {
  draining_ = true;
  for (const auto& worker : workers_) worker->post([limit](Worker& to) { to.drain(limit); });
  for (std::thread& thread : threads_) thread.join();
  if (link_) link_->stop();
  if (config_thread_.joinable()) config_thread_.join();
  http_.stop();
}

admin::ProcessView App::view(bool rows) {
  admin::ProcessView view;
  view.workers = ask<telemetry::WorkerReport>([rows](Worker& from) { return from.report(rows); });
  if (link_) view.agent = link_->status();
  view.log_lines_dropped = log_writer_ ? log_writer_->dropped_lines() : 0;
  view.driver = driver_name_;
  view.draining = draining_;
  const std::lock_guard lock(mutex_);
  view.snapshot_version = snapshot_ ? snapshot_->version : 0;
  for (const auto& [uid, pod] : pods_) {
    view.pods.push_back({uid, pod.descriptors->identity, pod.accepting >= workers_.size()});
  }
  for (const auto& [identity, state] : certificate_states_) {
    view.certificates.push_back({identity, state.not_after_unix_seconds, state.error});
  }
  view.not_ready_because = not_ready_because(view);
  return view;
}

// Ready only with configuration, certificates and every handed-over pod accepted on. Called under the lock.
std::string App::not_ready_because(const admin::ProcessView& view) {
  if (draining_) return "draining";
  if (!snapshot_) return "no configuration yet";
  for (const auto& pod : view.pods) {
    if (!pod.accepting) return "pod " + pod.uid + " is not accepted on yet";
    const auto state = certificate_states_.find(pod.identity);
    if (state == certificate_states_.end() || state->second.not_after_unix_seconds == 0) {
      return "no certificate for " + pod.identity + " yet";
    }
  }
  return "";
}

HttpResponse App::tap(const HttpRequest& request) {
  const auto question = admin::tap_question(request);
  if (!question) return {400, "text/plain", question.error() + "\n"};
  auto pages = ask<telemetry::TapPage>([question = *question](Worker& from) {
    return from.tap(question.since_of(from.index()), question.filter, question.most);
  });
  return {200, "application/x-ndjson", admin::tap_answer(*question, std::move(pages), workers_.size())};
}

HttpResponse App::config_dump() {
  std::shared_ptr<const config::Snapshot> snapshot;
  {
    const std::lock_guard lock(mutex_);
    snapshot = snapshot_;
  }
  if (!snapshot) return {503, "text/plain", "no configuration yet\n"};
  return {200, "application/json", admin::config_json(*snapshot)};
}

}  // namespace weir
