// The spdlog side of log.h; the only file that includes spdlog.
#include "nodeproxy/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace weir::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

bool init(std::string_view name, std::string_view level) {
  auto logger = spdlog::get(std::string(name));
  if (!logger) logger = spdlog::stderr_logger_mt(std::string(name));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %n: %v");
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
  return set_level(level);
}

bool set_level(std::string_view level) {
  for (const auto& [name, value] : {std::pair<std::string_view, Level>{"debug", Level::debug},
                                    {"info", Level::info},
                                    {"warn", Level::warn},
                                    {"error", Level::error}}) {
    if (name == level) {
      spdlog::default_logger()->set_level(to_spdlog(value));
      return true;
    }
  }
  return false;
}

bool enabled(Level level) { return spdlog::default_logger_raw()->should_log(to_spdlog(level)); }

void write(Level level, std::string_view message) {
  spdlog::default_logger_raw()->log(to_spdlog(level), message);
}

}  // namespace weir::log
