// open, fsync, rename. See files.h.
#include "agent/loop/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "nodeproxy/base/fd.h"

namespace weir::agent {
namespace {

constexpr size_t kFileMaxBytes = 1024 * 1024;

Status sync_directory(const std::filesystem::path& path) {
  const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return fail_errno(Source::agent, path.string(), errno);
  return {};
}

}  // namespace

Result<std::string> read_small_file(const std::filesystem::path& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(Source::agent, path.string(), errno);
  std::string content;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(Source::agent, path.string(), errno);
    if (got == 0) return content;
    content.append(buffer, static_cast<size_t>(got));
    if (content.size() > kFileMaxBytes) {
      return fail(Source::agent, Reason::bad_config, path.string() + " is longer than 1 MiB");
    }
  }
}

Status write_atomically(const std::filesystem::path& path, std::string_view content, unsigned mode) {
  const auto temporary = path.parent_path() / fmt::format(".{}.{}", path.filename().string(), ::getpid());
  ::unlink(temporary.c_str());  // of an earlier process with this pid
  const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) return fail_errno(Source::agent, temporary.string(), errno);
  const auto give_up = [&](int code) {
    ::unlink(temporary.c_str());
    return fail_errno(Source::agent, path.string(), code);
  };
  while (!content.empty()) {
    const ssize_t put = ::write(fd.get(), content.data(), content.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return give_up(errno);
    content.remove_prefix(static_cast<size_t>(put));
  }
  if (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0) return give_up(errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return give_up(errno);
  return sync_directory(path.parent_path());
}

Status remove_durably(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(Source::agent, path.string(), errno);
  }
  return sync_directory(path.parent_path());
}

Status make_directories(const std::filesystem::path& path, unsigned mode) {
  std::filesystem::path so_far;
  for (const auto& part : path) {
    so_far /= part;
    if (::mkdir(so_far.c_str(), mode) != 0 && errno != EEXIST) {
      return fail_errno(Source::agent, "making directory " + so_far.string(), errno);
    }
  }
  return {};
}

}  // namespace weir::agent
