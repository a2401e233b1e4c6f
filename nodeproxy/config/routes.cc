// The index over a table's paths. See routes.h.
#include "nodeproxy/config/routes.h"

#include <algorithm>

namespace weir::config {

void index_matches(RouteTable& table) {
  table.by_exact.clear();
  table.by_prefix.clear();
  table.by_regex.clear();
  table.prefix_depth_max = 0;
  for (uint32_t i = 0; i < table.matches.size(); ++i) {
    const RouteMatch& match = table.matches[i];
    switch (match.path) {
      case RouteMatch::Path::exact: table.by_exact[match.path_value].push_back(i); break;
      case RouteMatch::Path::regex: table.by_regex.push_back(i); break;
      case RouteMatch::Path::prefix: {
        table.by_prefix[match.path_value].push_back(i);
        const auto slashes = std::count(match.path_value.begin(), match.path_value.end(), '/');
        if (match.path_value != "/")
          table.prefix_depth_max = std::max(table.prefix_depth_max, static_cast<uint32_t>(slashes));
        break;
      }
    }
  }
}

}  // namespace weir::config
