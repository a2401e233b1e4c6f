// Cutting targets at their query. See path.h.
#include "nodeproxy/http/path.h"

namespace weir::http {

std::string_view path_of(std::string_view target) { return target.substr(0, target.find('?')); }

std::string_view query_of(std::string_view target) {
  const size_t mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

PathFault normalise_target(std::string& target) {
  if (target.empty() || target == "*") return PathFault::none;
  const std::string_view path = path_of(target);
  std::string instead;
  const PathFault fault = http_syntax::normalise_path(path, instead);
  if (fault == PathFault::none && !instead.empty()) target.replace(0, path.size(), instead);
  return fault;
}

}  // namespace weir::http
