#pragma once
// Asking the administration socket of the agent or the proxy, with a sentence and a hint when that fails. Blocking.
// Thread: any.
#include <nlohmann/json.hpp>
#include <string>

namespace weir::agent {

struct Asked {
  std::string body;
  std::string error;  // why there is none
  int status = 0;     // HTTP's; 0: none came
};
// `who`: "agent" or "proxy".
Asked ask(const char* who, const std::string& socket_path, const std::string& target);

struct AskedJson {
  nlohmann::json answer;  // null when there is none
  std::string error;
  int status = 0;
};
AskedJson ask_json(const char* who, const std::string& socket_path, const std::string& target);

}  // namespace weir::agent
