// The table of epoll_watches.h.
#include "nodeproxy/io/epoll_watches.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace weir::io {
namespace {

constexpr uint32_t kEverything = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr uint32_t kReadOn = EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR;
constexpr uint32_t kWriteOn = EPOLLHUP | EPOLLERR;
constexpr uint64_t kWake = UINT64_MAX;

}  // namespace

int EpollWatches::open(int wake_fd) {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return -errno;
  // Edge-triggered: each write is an edge, whatever the counter says (eventfd(2) wakes at every write).
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = kWake}};
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_fd, &event) == 0 ? 0 : -errno;
}

EpollWatch& EpollWatches::of(int fd) {
  const auto index = static_cast<size_t>(fd);
  if (index >= watches_.size()) watches_.resize(index + 1);
  return watches_[index];
}

int EpollWatches::watch(int fd) {
  EpollWatch& watch = of(fd);
  if (watch.registered) return 0;
  const uint64_t data = (uint64_t{watch.generation} << 32) | static_cast<uint32_t>(fd);
  epoll_event event{.events = kEverything, .data = {.u64 = data}};
  int result = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  // Left over by somebody who closed this number while the file was open elsewhere, too: it is ours now.
  if (result != 0 && errno == EEXIST) result = ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  if (result != 0) return -errno;
  watch.registered = true;
  return 0;
}

void EpollWatches::forget(int fd) {
  if (of(fd).registered) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  renew(fd);
}

void EpollWatches::renew(int fd) {
  EpollWatch& watch = of(fd);
  watch = EpollWatch{.generation = watch.generation + 1};
}

std::span<const epoll_event> EpollWatches::wait(int timeout_ms) {
  const int count = ::epoll_wait(epoll_.get(), events_, static_cast<int>(std::size(events_)), timeout_ms);
  return {events_, static_cast<size_t>(std::max(count, 0))};
}

std::optional<int> EpollWatches::take(const epoll_event& event) {
  if (event.data.u64 == kWake) return {};
  const auto fd = static_cast<int>(static_cast<uint32_t>(event.data.u64));
  EpollWatch& watch = of(fd);
  if (watch.generation != event.data.u64 >> 32) return {};
  if ((event.events & kReadOn) != 0) watch.read_on = true;
  if ((event.events & kWriteOn) != 0) watch.write_on = true;
  if ((event.events & (EPOLLIN | kReadOn)) != 0) watch.readable = true;
  if ((event.events & (EPOLLOUT | kWriteOn)) != 0) watch.writable = true;
  return fd;
}

}  // namespace weir::io
