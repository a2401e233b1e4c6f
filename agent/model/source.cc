// See source.h.
#include "agent/model/source.h"

#include <fmt/format.h>

namespace weir::agent {

std::string SourceError::text() const {
  return line > 0 ? fmt::format("{}:{}: {}", file, line, reason) : fmt::format("{}: {}", file, reason);
}

}  // namespace weir::agent
