// Files of a shared directory. See announcements.h.
#include "agent/enrol/announcements.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/loop/files.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {

SharedDirectory::SharedDirectory(std::filesystem::path directory, std::string node)
    : directory_(std::move(directory)), node_(std::move(node)) {}

Result<SharedDirectory> SharedDirectory::open(const std::filesystem::path& shared_dir, std::string node) {
  const auto directory = shared_dir / "captured";
  if (auto ok = make_directories(directory, 0755); !ok) return std::unexpected(ok.error());
  SharedDirectory announcements(directory, std::move(node));
  announcements.read();
  return announcements;
}

std::string SharedDirectory::file_name(const std::string& uid) {
  std::string name = uid;
  std::ranges::replace(name, '/', '~');
  return name;
}

bool SharedDirectory::read() {
  std::map<std::string, std::string> found;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory_, error);
  if (error) {
    // Unreadable is not empty: peers would be spoken to in plaintext.
    log::error("announcements in {} cannot be read: {}", directory_.string(), error.message());
    return false;
  }
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.')) continue;  // being written
    const auto content = read_small_file(entry.path());
    if (!content) continue;  // withdrawn between listing and reading
    const auto json = nlohmann::json::parse(*content, nullptr, false);
    std::string uid = name, node;
    std::ranges::replace(uid, '~', '/');
    if (json.is_object()) node = json.value("node", "");
    found[uid] = node;
  }
  node_of_ = std::move(found);
  std::set<std::string> uids;
  for (const auto& [uid, node] : node_of_) uids.insert(uid);
  const bool changed = uids != uids_;
  uids_ = std::move(uids);
  return changed;
}

std::set<std::string> SharedDirectory::own() const {
  std::set<std::string> out;
  for (const auto& [uid, node] : node_of_) {
    if (node == node_) out.insert(uid);
  }
  return out;
}

Status SharedDirectory::write(const LocalPodSpec& pod) const {
  const nlohmann::json content{
      {"uid", pod.uid}, {"node", node_}, {"pod", pod.name.text()}, {"addresses", pod.addresses}};
  return write_atomically(directory_ / file_name(pod.uid), content.dump() + "\n", 0644);
}

Status SharedDirectory::remove(const std::string& uid) const {
  return remove_durably(directory_ / file_name(uid));
}

}  // namespace weir::agent
