#pragma once
// The process log: one line per event on stderr, levelled, through spdlog (kept out of this header: it is heavy).
// Not for the path: per-connection facts go to the access log. Thread: any; the sink has its own lock.
#include <fmt/format.h>

#include <string_view>

namespace weir::log {

enum class Level { debug, info, warn, error };

// `name` is the program ("weir-proxy"); level one of debug, info, warn, error. Returns false for an unknown level.
bool init(std::string_view name, std::string_view level);
bool set_level(std::string_view level);
bool enabled(Level level);
void write(Level level, std::string_view message);

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace weir::log
