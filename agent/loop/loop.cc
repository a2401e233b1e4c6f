// poll, timers in a map, an eventfd for other threads. See loop.h.
#include "agent/loop/loop.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>

namespace weir::agent {

Loop::Loop() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void Loop::watch(int fd, short events, Handler handler) {
  watched_[fd] = {events, next_id_++, std::move(handler)};
}

void Loop::set_events(int fd, short events) {
  const auto found = watched_.find(fd);
  if (found != watched_.end()) found->second.events = events;
}

void Loop::unwatch(int fd) { watched_.erase(fd); }

Loop::TimerId Loop::after(std::chrono::milliseconds delay, Task task) {
  const TimerId id = next_id_++;
  const auto at = Clock::now() + delay;
  timers_.emplace(std::pair(at, id), std::move(task));
  due_.emplace(id, at);
  return id;
}

void Loop::cancel(TimerId timer) {
  const auto found = due_.find(timer);
  if (found == due_.end()) return;
  timers_.erase({found->second, timer});
  due_.erase(found);
}

void Loop::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void Loop::stop() {
  post([this] { stopping_ = true; });
}

void Loop::run() {
  stopping_ = false;
  while (!stopping_) run_once(std::chrono::hours(1));
}

void Loop::run_once(std::chrono::milliseconds wait) {
  struct Polled {
    int fd;
    uint64_t generation;
  };
  std::vector<pollfd> fds{{wake_.get(), POLLIN, 0}};
  std::vector<Polled> polled{{-1, 0}};
  for (const auto& [fd, watched] : watched_) {
    fds.push_back({fd, watched.events, 0});
    polled.push_back({fd, watched.generation});
  }
  if (!timers_.empty()) {
    const auto until =
        std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first.first - Clock::now());
    wait = std::clamp(until, std::chrono::milliseconds(0), wait);
  }
  ::poll(fds.data(), fds.size(), static_cast<int>(wait.count()));

  if (fds[0].revents != 0) {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof(count));
    std::vector<Task> tasks;
    {
      const std::lock_guard lock(mutex_);
      tasks.swap(posted_);
    }
    for (auto& task : tasks) task();
  }
  for (size_t i = 1; i < fds.size(); ++i) {
    if (fds[i].revents == 0) continue;
    const auto found = watched_.find(polled[i].fd);
    if (found == watched_.end() || found->second.generation != polled[i].generation) continue;
    const Handler handler = found->second.handler;  // a copy: it may unwatch itself
    handler(fds[i].revents);
  }
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto node = timers_.extract(timers_.begin());
    due_.erase(node.key().second);
    node.mapped()();
  }
}

}  // namespace weir::agent
