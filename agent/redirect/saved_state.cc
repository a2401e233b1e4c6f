// JSON files, each written whole: temporary file, fsync, rename, fsync of the directory.
#include "agent/redirect/saved_state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace weir::agent::redirect {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string boot_id() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

Status sync_directory(const fs::path& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) < 0)
    return fail_errno(Source::agent, "cannot sync " + directory.string(), errno);
  return {};
}

Status write_atomically(const fs::path& path, const std::string& text) {
  fs::path temporary = path;
  temporary += ".new";
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(Source::agent, "cannot write " + temporary.string(), errno);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::fsync(fd.get()) < 0 || ::rename(temporary.c_str(), path.c_str()) < 0)
    return fail_errno(Source::agent, "cannot write " + path.string(), errno);
  return sync_directory(path.parent_path());
}

// The object in a file; discarded (is_discarded) when it is not JSON. Files are renamed into place whole.
Result<json> read_json(const fs::path& path) {
  std::ifstream file(path);
  if (!file) return fail_errno(Source::agent, "cannot read " + path.string(), errno);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  json value = json::parse(text, nullptr, false);
  if (!value.is_object()) return fail(Source::agent, Reason::bad_config, path.string() + " is damaged");
  return value;
}

json to_json(const PodRecord& pod) {
  json addresses = json::array(), sysctls = json::array();
  for (const Ip& address : pod.addresses) addresses.push_back(address.to_string());
  for (const SavedSysctl& one : pod.sysctls) sysctls.push_back({{"name", one.name}, {"value", one.value}});
  return {{"boot", boot_id()},          {"uid", pod.uid},     {"netns", pod.netns_path.string()},
          {"cookie", pod.netns_cookie}, {"index", pod.index}, {"port", pod.port},
          {"addresses", addresses},     {"sysctls", sysctls}};
}

PodRecord pod_from_json(const json& value) {
  PodRecord pod;
  pod.uid = value.value("uid", "");
  pod.netns_path = value.value("netns", "");
  pod.netns_cookie = value.value("cookie", uint64_t{0});
  pod.index = value.value("index", 0u);
  pod.port = static_cast<uint16_t>(value.value("port", 0));
  for (const auto& text : value.value("addresses", std::vector<std::string>()))
    if (auto address = Ip::parse(text)) pod.addresses.push_back(*address);
  for (const auto& one : value.value("sysctls", json::array()))
    pod.sysctls.push_back({one.value("name", ""), one.value("value", "")});
  return pod;
}

}  // namespace

Result<SavedState> SavedState::open(const fs::path& state_dir) {
  fs::path directory = state_dir / "redirect";
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return fail(Source::agent, Reason::io, "cannot make " + directory.string(), error.value());
  fs::path lock_path = directory / "lock";
  Fd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return fail_errno(Source::agent, "cannot open " + lock_path.string(), errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0)
    return fail(Source::agent, Reason::bad_config,
                "another process holds " + lock_path.string() + ": an agent of this node is still running",
                errno);
  return SavedState(std::move(directory), std::move(lock));
}

fs::path SavedState::pod_path(const PodRecord& pod) const {
  return directory_ / ("pod-" + std::to_string(pod.index) + ".json");
}

Result<NodeRecord> SavedState::load_node() const {
  NodeRecord node;
  if (!fs::exists(directory_ / "node.json")) return node;
  auto value = read_json(directory_ / "node.json");
  if (!value) return std::unexpected(value.error());
  if (value->value("boot", "") != boot_id()) return node;
  node.mounted_bpffs = value->value("mounted_bpffs", false);
  for (const auto& path : value->value("made_directories", std::vector<std::string>()))
    node.made_directories.emplace_back(path);
  return node;
}

Status SavedState::save_node(const NodeRecord& node) {
  json made = json::array();
  for (const fs::path& path : node.made_directories) made.push_back(path.string());
  json value = {{"boot", boot_id()}, {"mounted_bpffs", node.mounted_bpffs}, {"made_directories", made}};
  return write_atomically(directory_ / "node.json", value.dump(2));
}

Result<std::vector<PodRecord>> SavedState::load_pods() const {
  std::vector<PodRecord> pods;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory_, error)) {
    std::string name = entry.path().filename();
    if (!name.starts_with("pod-") || !name.ends_with(".json")) continue;
    auto value = read_json(entry.path());
    if (!value) return std::unexpected(value.error());
    if (value->value("boot", "") == boot_id())
      pods.push_back(pod_from_json(*value));
    else
      fs::remove(entry.path(), error);
  }
  return pods;
}

Status SavedState::save_pod(const PodRecord& pod) {
  return write_atomically(pod_path(pod), to_json(pod).dump(2));
}

Status SavedState::erase_pod(const PodRecord& pod) {
  std::error_code error;
  fs::remove(pod_path(pod), error);
  if (error) return fail(Source::agent, Reason::io, "cannot remove " + pod_path(pod).string(), error.value());
  return sync_directory(directory_);
}

Status SavedState::erase_all() {
  std::error_code error;
  fs::remove_all(directory_, error);
  if (error) return fail(Source::agent, Reason::io, "cannot remove " + directory_.string(), error.value());
  return {};
}

}  // namespace weir::agent::redirect
