// Lines of text. See enrolled_file.h.
#include "agent/cni/enrolled_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "nodeproxy/base/fd.h"

namespace weir::cni {
namespace {

constexpr std::string_view kFirstLine = "weir enrolled-namespaces 1", kLastLine = "end";

EnrolledFile damaged(std::string why) { return {EnrolledFile::State::damaged, {}, std::move(why)}; }

bool is_namespace_name(std::string_view name) {
  if (name.empty() || name.size() > 63) return false;
  for (const char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

}  // namespace

std::string enrolled_text(const std::set<std::string>& namespaces) {
  std::string text(kFirstLine);
  text += '\n';
  // "end" may be a namespace's name: a name is written with a dash before it.
  for (const auto& ns : namespaces) text += "- " + ns + "\n";
  text += kLastLine;
  return text += '\n';
}

EnrolledFile parse_enrolled(std::string_view text) {
  EnrolledFile file;
  file.state = EnrolledFile::State::read;
  bool first = true, ended = false;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    if (newline == std::string_view::npos) return damaged("its last line is cut off");
    const std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline + 1);
    if (std::exchange(first, false)) {
      if (line != kFirstLine) return damaged("it does not begin as such a file");
    } else if (ended) {
      return damaged("it goes on after its end");
    } else if (line == kLastLine) {
      ended = true;
    } else if (line.starts_with("- ") && is_namespace_name(line.substr(2))) {
      file.namespaces.emplace(line.substr(2));
    } else {
      return damaged("it has a line that is no namespace's name");
    }
  }
  return ended ? file : damaged("its end is missing");
}

EnrolledFile read_enrolled(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno == ENOENT ? EnrolledFile() : damaged(std::strerror(errno));
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return damaged(std::strerror(errno));
    if (got == 0) return parse_enrolled(text);
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > 16 * 1024 * 1024) return damaged("it is longer than 16 MiB");
  }
}

}  // namespace weir::cni
