#pragma once
// The thread that writes the access log: workers hand it batches of lines at the end of their turns through a short lock
// that only they and it know. A full disk or a slow reader costs lines (counted), never traffic.
// Thread: owns one; submit() and reopen() from any. Lifetime: the app's; outlives the workers.
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

class LogWriter {
 public:
  // `path`: a file, opened for append, or "-" for stdout. Reopened by reopen() (log rotation: SIGHUP).
  static Result<std::unique_ptr<LogWriter>> open(const std::string& path);
  ~LogWriter();  // writes what is left

  // Leaves `batch` with whatever room is at hand, so that it need not grow anew.
  void submit(std::string&& batch);
  void reopen() { reopen_ = true; }
  uint64_t dropped_lines() const { return dropped_lines_; }

 private:
  LogWriter(std::string path, Fd fd);
  void run();
  void write_all(const std::string& batch);

  static constexpr size_t kQueueBytesMax = 16 * 1024 * 1024;
  static constexpr size_t kGatherBytesMax = kQueueBytesMax / 8;
  static constexpr auto kGather = std::chrono::milliseconds(10);
  std::string path_;
  Fd fd_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string queue_;
  bool stop_ = false;
  bool idle_ = false;  // the thread waits for lines, and must be woken for them
  std::atomic<bool> reopen_ = false;
  std::atomic<uint64_t> dropped_lines_ = 0;
  std::thread thread_;
};

}  // namespace weir::telemetry
