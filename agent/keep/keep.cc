// Starting, waiting, starting again. See keep.h.
#include "agent/keep/keep.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <optional>
#include <utility>

namespace weir::keep {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kCannotRun = 127;  // as a shell tells it

// In the form of the programs' own logs.
void say(const char* level, const std::string& text) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  std::tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  char stamp[32];
  stamp[std::strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &parts)] = '\0';
  std::fprintf(stderr, "%s.%03ld+00:00 %s weir-keep: %s\n", stamp, now.tv_nsec / 1'000'000, level,
               text.c_str());
}

// What this process waits for in place of being interrupted.
sigset_t waited_for() {
  sigset_t set;
  sigemptyset(&set);
  for (const int one : {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&set, one);
  return set;
}

bool means_end(int signal) { return signal == SIGTERM || signal == SIGINT || signal == SIGQUIT; }

// The child's pid; -1: there is none.
pid_t start(char* const argv[], const sigset_t& unblocked) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(kCannotRun);  // it died between the two
  ::sigprocmask(SIG_SETMASK, &unblocked, nullptr);
  ::execv(argv[0], argv);
  say("error", std::string("cannot run ") + argv[0] + ": " + std::strerror(errno));
  ::_exit(kCannotRun);
}

// How the program ended, if it has.
std::optional<Ending> reap(pid_t program) {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(program, &status, WNOHANG)) < 0 && errno == EINTR) {
  }
  return pid == program ? std::optional(Ending(status)) : std::nullopt;
}

// Until the program ends; `told`: this process was asked to end, and so is the program.
Ending watch(pid_t program, const sigset_t& signals, bool& told) {
  for (;;) {
    const int signal = ::sigwaitinfo(&signals, nullptr);
    if (signal < 0) continue;  // EINTR: stopped and continued
    if (signal == SIGCHLD) {
      if (const auto ended = reap(program)) return *ended;
      continue;
    }
    told |= means_end(signal);
    ::kill(program, signal);
  }
}

// The signal to end that came within that time, or 0.
int ended_within(milliseconds wait, const sigset_t& signals) {
  const auto until = Clock::now() + wait;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(until - Clock::now()).count();
    const timespec timeout{.tv_sec = std::max<long>(left, 0) / 1'000'000'000,
                           .tv_nsec = std::max<long>(left, 0) % 1'000'000'000};
    const int signal = ::sigtimedwait(&signals, nullptr, &timeout);
    if (signal > 0 && means_end(signal)) return signal;
    if (left <= 0) return 0;
  }
}

}  // namespace

milliseconds Pace::before_next(milliseconds ran) {
  if (ran >= ran_well) next_ = milliseconds(0);
  return std::exchange(next_, std::clamp(next_ * 2, first, longest));
}

bool Ending::by_signal() const { return WIFSIGNALED(status_); }

int Ending::exit_code() const { return by_signal() ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_); }

std::string Ending::text() const {
  if (!by_signal()) return "ended with exit code " + std::to_string(exit_code());
  return "was ended by signal " + std::to_string(WTERMSIG(status_));
}

int keep(char* const argv[]) {
  const sigset_t signals = waited_for();
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  Pace pace;
  for (;;) {
    const auto begun = Clock::now();
    const pid_t program = start(argv, before);
    if (program < 0) {
      say("error", std::string("fork: ") + std::strerror(errno));
      return kCannotRun;
    }
    bool told = false;
    const Ending ended = watch(program, signals, told);
    if (told || !ended.by_signal()) return ended.exit_code();
    const auto ran = std::chrono::duration_cast<milliseconds>(Clock::now() - begun);
    const auto wait = pace.before_next(ran);
    say("error", std::string(argv[0]) + " " + ended.text() + " after " + std::to_string(ran.count()) +
                     " ms; it is started again in " + std::to_string(wait.count()) + " ms");
    if (const int signal = ended_within(wait, signals)) return 128 + signal;
  }
}

}  // namespace weir::keep
