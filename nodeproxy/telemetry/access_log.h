#pragma once
// The access log: one JSON line for the end of every connection. A worker formats into its own batch; the batch goes
// to one writer thread at the end of the turn through a short lock that only those two know. A full disk or a slow
// reader costs lines (counted), never traffic.
// Thread: AccessLog is a worker's; LogWriter owns its thread.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::telemetry {

struct Facts;

struct Ended {
  bool was_open = false;
  uint64_t sent_bytes = 0, received_bytes = 0;
  std::chrono::nanoseconds duration{};
  Error why;
};

class LogWriter {
 public:
  // `path`: a file, opened for append, or "-" for stdout. Reopened by reopen() (log rotation: SIGHUP).
  static Result<std::unique_ptr<LogWriter>> open(const std::string& path);
  ~LogWriter();  // writes what is left

  void submit(std::string&& batch);
  void reopen() { reopen_ = true; }
  uint64_t dropped_lines() const { return dropped_lines_; }

 private:
  LogWriter(std::string path, Fd fd);
  void run();
  void write_all(const std::string& batch);

  static constexpr size_t kQueueBytesMax = 16 * 1024 * 1024;
  std::string path_;
  Fd fd_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string queue_;
  bool stop_ = false;
  std::atomic<bool> reopen_ = false;
  std::atomic<uint64_t> dropped_lines_ = 0;
  std::thread thread_;
};

class AccessLog {
 public:
  explicit AccessLog(LogWriter* writer) : writer_(writer) {}
  void write(const Facts& facts, const Ended& ended);
  bool pending() const { return !batch_.empty(); }
  void flush();

 private:
  LogWriter* writer_;  // null: no log
  std::string batch_;
};

// Appends `text` as a JSON string with its quotes (RFC 8259 section 7).
void append_json_string(std::string& out, std::string_view text);

}  // namespace weir::telemetry
