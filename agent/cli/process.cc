// posix_spawn, pipes and poll. See process.h.
#include "agent/cli/process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

extern char** environ;

namespace weir::agent {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kOutputMaxBytes = size_t{256} << 20;

struct Pipe {
  Fd read, write;
};

std::optional<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

int wait_ms(Clock::time_point until) {
  const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

// Waits until one of the children has something to say, and reads it.
void poll_children(const std::vector<Child*>& children, int wait) {
  std::vector<pollfd> polled;
  std::vector<std::pair<Child*, bool>> of;  // and whether it is its errors
  for (Child* child : children) {
    for (const bool errors : {false, true}) {
      const Fd& fd = errors ? child->err : child->out;
      if (!fd) continue;
      polled.push_back({fd.get(), POLLIN, 0});
      of.emplace_back(child, errors);
    }
  }
  if (polled.empty()) return;
  if (::poll(polled.data(), polled.size(), wait) <= 0) return;
  for (size_t i = 0; i < polled.size(); ++i) {
    if (polled[i].revents == 0) continue;
    auto [child, errors] = of[i];
    child->read_from(errors ? child->err : child->out, errors ? child->ran.err : child->ran.out);
  }
}

}  // namespace

Child::Child(const Command& command, bool hold_input) {
  auto input = hold_input ? make_pipe() : Pipe{Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), {}};
  auto output = make_pipe(), errors = make_pipe();
  if (!input || !output || !errors) {
    ran.start_errno = errno;
    return;
  }
  std::vector<char*> arguments;
  for (const auto& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input->read.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output->write.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors->write.get(), STDERR_FILENO);
  ran.start_errno = ::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (ran.start_errno != 0) {
    pid_ = -1;
    return;
  }
  in_ = std::move(input->write);
  out = std::move(output->read);
  err = std::move(errors->read);
}

Child::Child(Child&& other) noexcept
    : ran(std::move(other.ran)),
      out(std::move(other.out)),
      err(std::move(other.err)),
      pid_(std::exchange(other.pid_, -1)),
      in_(std::move(other.in_)) {}

Child::~Child() { kill(); }

void Child::read_from(Fd& from, std::string& into) const {
  char buffer[64 * 1024];
  const ssize_t got = ::read(from.get(), buffer, sizeof(buffer));
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0 || into.size() > kOutputMaxBytes) return from.reset();
  into.append(buffer, static_cast<size_t>(got));
}

void Child::finish() {
  in_.reset();
  const auto until = Clock::now() + std::chrono::seconds(1);
  while (running()) {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == 0 && Clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(2));
      continue;
    }
    if (ended == 0) return kill();
    if (ended == pid_ && WIFEXITED(status)) ran.exit_code = WEXITSTATUS(status);
    pid_ = -1;
  }
}

void Child::kill() {
  in_.reset();
  out.reset();
  err.reset();
  if (!running()) return;
  ::kill(pid_, SIGTERM);
  const auto until = Clock::now() + std::chrono::seconds(1);
  while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (Clock::now() >= until) ::kill(pid_, SIGKILL);
    std::this_thread::sleep_for(milliseconds(5));
  }
  pid_ = -1;
}

std::vector<Ran> run_all(const std::vector<Command>& commands, milliseconds time_max, size_t at_once) {
  struct Running {
    size_t index;
    Clock::time_point until;
    std::unique_ptr<Child> child;
  };
  std::vector<Ran> out(commands.size());
  std::vector<Running> running;
  for (size_t next = 0; next < commands.size() || !running.empty();) {
    while (next < commands.size() && running.size() < at_once) {
      running.push_back({next, Clock::now() + time_max, std::make_unique<Child>(commands[next], false)});
      ++next;
    }
    std::vector<Child*> children;
    children.reserve(running.size());
    for (const auto& one : running) children.push_back(one.child.get());
    auto first = Clock::time_point::max();
    for (const auto& one : running) first = std::min(first, one.until);
    poll_children(children, wait_ms(first));
    std::erase_if(running, [&](Running& one) {
      Child& child = *one.child;
      if (!child.out && !child.err) {
        child.finish();
      } else if (Clock::now() >= one.until) {
        child.ran.timed_out = true;
        child.kill();
      } else {
        return false;
      }
      out[one.index] = std::move(child.ran);
      return true;
    });
  }
  return out;
}

Ran run(const Command& command, milliseconds time_max) { return std::move(run_all({command}, time_max)[0]); }

LineStreams::LineStreams(const std::vector<Command>& commands) : told_(commands.size()) {
  children_.reserve(commands.size());
  for (const Command& command : commands) children_.emplace_back(command, true);
}

bool LineStreams::read(milliseconds wait, const OnLine& on_line) {
  std::vector<Child*> children;
  for (Child& child : children_) {
    if (child.out || child.err) children.push_back(&child);
  }
  if (children.empty()) return false;
  poll_children(children, static_cast<int>(wait.count()));
  for (size_t i = 0; i < children_.size(); ++i) {
    std::string& text = children_[i].ran.out;
    size_t at = 0;
    for (size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      on_line(i, text.substr(at, end - at));
    }
    text.erase(0, at);
  }
  return true;
}

int LineStreams::take_ended() {
  for (size_t i = 0; i < children_.size(); ++i) {
    if (told_[i] || children_[i].out || children_[i].err) continue;
    children_[i].finish();
    told_[i] = true;
    return static_cast<int>(i);
  }
  return -1;
}

}  // namespace weir::agent
