// The queue and the file. See log_writer.h.
#include "nodeproxy/telemetry/log_writer.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "nodeproxy/base/log.h"

namespace weir::telemetry {
namespace {

Result<Fd> open_log(const std::string& path) {
  if (path == "-") return Fd(::dup(STDOUT_FILENO));
  Fd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640));
  if (!fd) return fail_errno(Source::local, "access log " + path, errno);
  return fd;
}

}  // namespace

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
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + batch.size() > kQueueBytesMax) {
      dropped_lines_ += static_cast<uint64_t>(std::count(batch.begin(), batch.end(), '\n'));
    } else if (queue_.empty()) {
      queue_.swap(batch);
    } else {
      queue_ += batch;
    }
    wake = idle_ || queue_.size() > kGatherBytesMax;
  }
  batch.clear();
  if (wake) wake_.notify_one();
}

void LogWriter::run() {
  std::string batch;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      // What comes soon after a write is gathered: a wake-up for each turn of a busy worker would cost more than lines.
      wake_.wait_for(lock, kGather, [this] { return stop_ || queue_.size() > kGatherBytesMax; });
      idle_ = true;
      wake_.wait(lock, [this] { return stop_ || !queue_.empty(); });
      idle_ = false;
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
