// JSON in, JSON out. See conflist.h.
#include "agent/enrol/conflist.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "agent/loop/files.h"

namespace weir::agent {
namespace {

using Json = nlohmann::ordered_json;

std::unexpected<Error> unusable(std::string why) {
  return fail(Source::config, Reason::bad_config, std::move(why));
}

bool is_text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() && !found->get_ref<const std::string&>().empty();
}

// Whether weir-cni is a plugin anywhere in it, delegates of other plugins included.
bool holds_weir(const Json& value) {
  if (value.is_object() && is_text(value, "type") && value["type"] == kPluginName) return true;
  return value.is_structured() && std::ranges::any_of(value, [](const Json& one) { return holds_weir(one); });
}

// Names of the files that libcni reads, in its order.
Result<std::vector<std::string>> configurations(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(directory, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const auto extension = entry->path().extension();
    std::error_code none;
    if ((extension == ".conf" || extension == ".conflist" || extension == ".json") &&
        entry->is_regular_file(none)) {
      names.push_back(entry->path().filename().string());
    }
  }
  if (error) return fail(Source::agent, Reason::io, directory.string(), error.value());
  std::ranges::sort(names);
  return names;
}

}  // namespace

Result<std::string> chain_with_weir(std::string_view text, const PluginConfig& plugin) {
  Json primary = Json::parse(text, nullptr, false);
  if (!primary.is_object()) return unusable("is no JSON object");
  if (!is_text(primary, "name")) return unusable("has no name");
  Json chain = Json::object();
  if (primary.contains("plugins")) {
    if (!primary["plugins"].is_array() || primary["plugins"].empty()) return unusable("has no plugins");
    chain = std::move(primary);
  } else {
    if (!is_text(primary, "type")) return unusable("is neither a chain nor a plugin: it has no type");
    chain["cniVersion"] = primary.value("cniVersion", Json("0.3.1"));
    chain["name"] = primary["name"];
    primary.erase("cniVersion");
    primary.erase("name");
    chain["plugins"] = Json::array({std::move(primary)});
  }
  // The plugin itself understands no older one, and runtimes translate results into the chain's version.
  if (!is_text(chain, "cniVersion") || chain["cniVersion"] < "0.3.1") chain["cniVersion"] = "0.3.1";
  for (const Json& one : chain["plugins"]) {
    if (!one.is_object() || !is_text(one, "type")) return unusable("has a plugin without a type");
  }
  chain["plugins"].push_back(
      {{"type", kPluginName}, {"socket", plugin.socket}, {"enrolledNamespaces", plugin.enrolled_file}});
  return chain.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::optional<Primary>> find_primary(const std::filesystem::path& directory, const std::string& own) {
  const auto names = configurations(directory);
  if (!names) return std::unexpected(names.error());
  for (const auto& name : *names) {
    if (name == own) continue;
    auto text = read_small_file(directory / name);
    if (!text && text.error().os_code == ENOENT) continue;
    if (!text) return std::unexpected(text.error());
    if (holds_weir(Json::parse(*text, nullptr, false))) continue;
    return Primary{name, std::move(*text)};
  }
  return std::nullopt;
}

std::string first_configuration(const std::filesystem::path& directory) {
  const auto names = configurations(directory);
  return names && !names->empty() ? names->front() : std::string();
}

}  // namespace weir::agent
