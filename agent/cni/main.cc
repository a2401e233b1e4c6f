// weir-cni's main: environment and standard input in, standard output and exit code out. See plugin.h.
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/cni/plugin.h"

namespace {

std::string read_input() {
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || text.size() > 8 * 1024 * 1024) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;
    text.remove_prefix(static_cast<size_t>(put));
  }
}

}  // namespace

int main() {
  ::signal(SIGPIPE, SIG_IGN);
  weir::cni::Call call;
  for (const char* name :
       {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH"}) {
    if (const char* value = std::getenv(name)) call.environment[name] = value;
  }
  call.config = read_input();
  const weir::cni::Outcome outcome = weir::cni::run(call);
  write_all(STDERR_FILENO, outcome.note);
  write_all(STDOUT_FILENO, outcome.output);
  return outcome.code;
}
