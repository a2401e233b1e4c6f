// See duration.h.
#include "agent/loop/duration.h"

#include <stdexcept>

namespace weir::agent {

std::optional<std::chrono::seconds> parse_duration(const std::string& text) {
  size_t end = 0;
  long value = 0;
  try {
    value = std::stol(text, &end);
  } catch (const std::exception&) {
    return std::nullopt;
  }
  const std::string unit = text.substr(end);
  const long factor = unit.empty() || unit == "s" ? 1
                      : unit == "m"               ? 60
                      : unit == "h"               ? 3600
                      : unit == "d"               ? 86400
                                                  : 0;
  if (factor == 0 || value <= 0 || value > 100L * 365 * 86400 / factor) return std::nullopt;
  return std::chrono::seconds(value * factor);
}

}  // namespace weir::agent
