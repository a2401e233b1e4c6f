// See turn.h.
#include "agent/turn.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

namespace weir::agent {

Turn::Turn(const std::filesystem::path& state_dir) : directory_(state_dir / "redirect") {}

// Nothing: somebody else has it, or it cannot be opened.
Fd Turn::locked(const char* file, int how) const {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  Fd fd(::open((directory_ / file).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (fd && ::flock(fd.get(), how | LOCK_NB) != 0) return {};
  return fd;
}

bool Turn::is_free() const {
  if (locked("lock", LOCK_SH)) return true;
  return errno != EWOULDBLOCK;
}

bool Turn::ask() {
  if (!asking_) asking_ = locked("next", LOCK_EX);
  return static_cast<bool>(asking_);
}

bool Turn::is_asked() const { return !locked("next", LOCK_SH) && errno == EWOULDBLOCK; }

}  // namespace weir::agent
