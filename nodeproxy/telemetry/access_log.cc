// Formatting and writing access-log lines. See access_log.h.
#include "nodeproxy/telemetry/access_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "nodeproxy/base/log.h"
#include "nodeproxy/telemetry/record.h"

namespace weir::telemetry {
namespace {

Result<Fd> open_log(const std::string& path) {
  if (path == "-") return Fd(::dup(STDOUT_FILENO));
  Fd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
  if (!fd) return fail_errno(Source::local, "access log " + path, errno);
  return fd;
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += ",\"";
  out += name;
  out += "\":";
  append_json_string(out, value);
}

void append_party(std::string& out, std::string_view name, const Party& party, const std::string& pod,
                  const SocketAddress& address) {
  out += ",\"";
  out += name;
  out += "\":{\"address\":";
  append_json_string(out, address.to_string());
  append_field(out, "pod", pod);
  append_field(out, "namespace", party.ns);
  append_field(out, "workload", party.workload);
  append_field(out, "principal", party.principal);
  out += '}';
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

void AccessLog::write(const Facts& facts, const Ended& ended) {
  if (!writer_) return;
  const auto now = std::chrono::system_clock::now();
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  std::string& out = batch_;
  out += fmt::format("{{\"time\":\"{:%Y-%m-%dT%H:%M:%S}.{:03}Z\"",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(now)), millis % 1000);
  append_field(out, "reporter", label(facts.reporter));
  append_field(out, "direction", facts.reporter == Reporter::source ? "outbound" : "inbound");
  append_party(out, "source", facts.labels.source, facts.source_pod, facts.client);
  append_party(out, "destination", facts.labels.destination, facts.destination_pod, facts.endpoint);
  append_field(out, "dialled", facts.dialled.to_string());
  append_field(out, "service", facts.labels.service);
  append_field(out, "security", label(facts.labels.security));
  append_field(out, "verdict", ended.was_open ? "opened" : "failed");
  append_field(out, "reason", weir::label(ended.why.reason));
  if (ended.why.os_code != 0) out += fmt::format(",\"errno\":{}", ended.why.os_code);
  if (ended.why.reason != Reason::none) append_field(out, "explanation", sentence(ended.why.reason));
  if (!facts.policy.empty()) append_field(out, "policy", facts.policy);
  if (!facts.rule.empty()) append_field(out, "rule", facts.rule);
  out += fmt::format(",\"bytes_sent\":{},\"bytes_received\":{},\"duration_ms\":{:.3f}}}\n", ended.sent_bytes,
                     ended.received_bytes, std::chrono::duration<double, std::milli>(ended.duration).count());
}

void AccessLog::flush() {
  if (batch_.empty()) return;
  writer_->submit(std::move(batch_));
  batch_.clear();
}

Result<std::unique_ptr<LogWriter>> LogWriter::open(const std::string& path) {
  auto fd = open_log(path);
  if (!fd) return std::unexpected(fd.error());
  return std::unique_ptr<LogWriter>(new LogWriter(path, std::move(*fd)));
}

LogWriter::LogWriter(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {
  thread_ = std::thread([this] { run(); });
}

LogWriter::~LogWriter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LogWriter::submit(std::string&& batch) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + batch.size() > kQueueBytesMax) {
      dropped_lines_ += static_cast<uint64_t>(std::count(batch.begin(), batch.end(), '\n'));
      return;
    }
    if (queue_.empty()) {
      queue_ = std::move(batch);
    } else {
      queue_ += batch;
    }
  }
  wake_.notify_one();
}

void LogWriter::run() {
  std::string batch;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      if (queue_.empty()) return;
      batch.swap(queue_);
    }
    if (reopen_.exchange(false)) {
      if (auto fd = open_log(path_)) {
        fd_ = std::move(*fd);
      } else {
        log::error("{}; going on with the old file", fd.error().describe());
      }
    }
    write_all(batch);
    batch.clear();
  }
}

void LogWriter::write_all(const std::string& batch) {
  std::string_view left = batch;
  while (!left.empty()) {
    const ssize_t written = ::write(fd_.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {  // a full disk costs lines, not traffic
      dropped_lines_ += static_cast<uint64_t>(std::count(left.begin(), left.end(), '\n'));
      return;
    }
    left.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace weir::telemetry
