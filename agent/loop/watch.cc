// inotify on one directory, debounced. See watch.h.
#include "agent/loop/watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF |
                             IN_MOVE_SELF | IN_ATTRIB | IN_CREATE | IN_ONLYDIR;
constexpr auto kLookAgain = std::chrono::seconds(1);

}  // namespace

DirectoryWatch::DirectoryWatch(Loop& loop, std::filesystem::path path, Changed changed, bool creations,
                               std::chrono::milliseconds debounce)
    : loop_(loop),
      path_(std::move(path)),
      changed_(std::move(changed)),
      creations_(creations),
      debounce_(debounce),
      inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (!inotify_)
    log::error("inotify: no instance left (fs.inotify.max_user_instances); changes are not seen");
  if (inotify_) loop_.watch(inotify_.get(), POLLIN, [this](short) { read_events(); });
  attach(true);
}

DirectoryWatch::~DirectoryWatch() {
  loop_.cancel(tell_timer_);
  loop_.cancel(attach_timer_);
  loop_.unwatch(inotify_.get());
}

void DirectoryWatch::attach(bool first) {
  attach_timer_ = 0;
  descriptor_ = ::inotify_add_watch(inotify_.get(), path_.c_str(), kEvents);
  if (descriptor_ < 0) {
    attach_timer_ = loop_.after(kLookAgain, [this] { attach(false); });
  } else if (!first) {
    all_ = true;
    tell_later();
  }
}

void DirectoryWatch::read_events() {
  alignas(inotify_event) char buffer[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(inotify_.get(), buffer, sizeof(buffer));
    if (got <= 0) return;
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      const bool self = (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0;
      if (self && event->wd == descriptor_) {
        ::inotify_rm_watch(inotify_.get(), descriptor_);
        descriptor_ = -1;
        all_ = true;
        if (attach_timer_ == 0) attach_timer_ = loop_.after(debounce_, [this] { attach(false); });
      } else if ((event->mask & IN_Q_OVERFLOW) != 0) {
        all_ = true;
      } else if (event->len > 0) {
        const std::string name(event->name);
        if (name.starts_with("..")) all_ = true;
        if ((event->mask & IN_CREATE) == 0 || creations_ || is_finished(name)) names_.insert(name);
      }
      if (all_ || !names_.empty()) tell_later();
    }
  }
}

// Whether a file just created will not be heard of again: a link, or a symbolic link. One that is being written will be
// closed.
bool DirectoryWatch::is_finished(const std::string& name) const {
  struct stat found{};
  if (::lstat((path_ / name).c_str(), &found) != 0) return false;
  return !S_ISREG(found.st_mode) || found.st_nlink > 1;
}

void DirectoryWatch::tell_later() {
  if (tell_timer_ != 0) return;
  tell_timer_ = loop_.after(debounce_, [this] {
    tell_timer_ = 0;
    std::set<std::string> names;
    names.swap(names_);
    const bool all = std::exchange(all_, false);
    changed_(names, all);
  });
}

}  // namespace weir::agent
