#pragma once
// The node's CNI configuration, with weir-cni as the last of the chain: what 00-weir.conflist says. Pure, but for
// reading a directory.
//
// Concept: runtimes take the first file of the directory by name (libcni's .conf, .conflist and .json). The primary is
// the first that is not ours; ours holds its whole chain, its name and its version, and one plugin more. The name must be
// the primary's: plugins such as host-local keep what they have handed out below it.
// Source: CNI specification 1.1.0, section 1; libcni's ConfFiles. Thread: any.
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "nodeproxy/base/error.h"

namespace weir::agent {

inline constexpr const char* kPluginName = "weir-cni";

// What weir-cni is told in the chain (agent/cni/plugin.cc reads it).
struct PluginConfig {
  std::string socket, enrolled_file;  // as the host sees them
};

// `text`: a conflist, or the configuration of one plugin, which becomes a chain. Errors name what is wrong with it.
Result<std::string> chain_with_weir(std::string_view text, const PluginConfig& plugin);

struct Primary {
  std::string file;  // its name in the directory
  std::string text;
};
// The first configuration of the directory that is not `own` and does not hold weir-cni already. Nothing: there is none.
Result<std::optional<Primary>> find_primary(const std::filesystem::path& directory, const std::string& own);
// The first file of the directory that a runtime would take; empty: none.
std::string first_configuration(const std::filesystem::path& directory);

}  // namespace weir::agent
