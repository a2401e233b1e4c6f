// Making and removing the place on the BPF filesystem. Every step is saved before it is taken, so that uninstall
// removes exactly what Weir made: pins, schema directories, the mount, the directories around it.
#include "agent/redirect/pins.h"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cerrno>
#include <charconv>

namespace weir::agent::redirect {
namespace {

namespace fs = std::filesystem;

bool on_bpffs(const fs::path& path) {
  struct statfs kind{};
  return ::statfs(path.c_str(), &kind) == 0 && static_cast<uint64_t>(kind.f_type) == BPF_FS_MAGIC;
}

Status make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directory(path, error);
  if (error) return fail(Source::agent, Reason::io, "cannot make " + path.string(), error.value());
  return {};
}

}  // namespace

Pins::Pins(const fs::path& bpffs_dir, unsigned schema)
    : bpffs_dir_(fs::absolute(bpffs_dir)), directory_(bpffs_dir_ / ("v" + std::to_string(schema))) {}

std::vector<Pins> Pins::others() const {
  std::vector<Pins> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(bpffs_dir_, error)) {
    const std::string name = entry.path().filename();
    unsigned schema = 0;
    const auto [end, bad] = std::from_chars(name.data() + 1, name.data() + name.size(), schema);
    if (!name.starts_with("v") || bad != std::errc() || end != name.data() + name.size()) continue;
    if (entry.path() != directory_) found.emplace_back(bpffs_dir_, schema);
  }
  return found;
}

Status Pins::create(SavedState& state) {
  auto node = state.load_node();
  if (!node) return std::unexpected(node.error());
  std::vector<fs::path> missing;
  for (fs::path path = bpffs_dir_; !fs::exists(path); path = path.parent_path())
    missing.insert(missing.begin(), path);
  node->made_directories.insert(node->made_directories.end(), missing.begin(), missing.end());
  if (Status saved = state.save_node(*node); !saved) return saved;
  for (const fs::path& path : missing)
    if (Status made = make_directory(path); !made) return made;
  if (!on_bpffs(bpffs_dir_)) {
    node->mounted_bpffs = true;
    if (Status saved = state.save_node(*node); !saved) return saved;
    if (::mount("bpf", bpffs_dir_.c_str(), "bpf", 0, "mode=0700") < 0)
      return fail_errno(Source::kernel, "cannot mount a bpffs on " + bpffs_dir_.string(), errno);
  }
  return fs::exists(directory_) ? Status{} : make_directory(directory_);
}

Status Pins::remove_schema() {
  std::error_code error;
  std::vector<fs::path> pins;
  for (const auto& entry : fs::directory_iterator(directory_, error)) pins.push_back(entry.path());
  for (const fs::path& pin : pins) {
    const bool link = !pin.filename().string().starts_with("map_");
    if (Status removed = link ? remove_link(pin) : Status{}; !removed) return removed;
    fs::remove(pin, error);
  }
  fs::remove(directory_, error);
  if (error) return fail(Source::agent, Reason::io, "cannot remove " + directory_.string(), error.value());
  return {};
}

Status Pins::remove(SavedState& state) {
  auto node = state.load_node();
  if (!node) return std::unexpected(node.error());
  std::error_code error;
  if (on_bpffs(bpffs_dir_)) {
    for (Pins& other : others())
      if (Status removed = other.remove_schema(); !removed) return removed;
    if (fs::exists(directory_))
      if (Status removed = remove_schema(); !removed) return removed;
  }
  if (node->mounted_bpffs && on_bpffs(bpffs_dir_) && ::umount2(bpffs_dir_.c_str(), MNT_DETACH) < 0)
    return fail_errno(Source::kernel, "cannot unmount " + bpffs_dir_.string(), errno);
  for (auto path = node->made_directories.rbegin(); path != node->made_directories.rend(); ++path)
    fs::remove(*path, error);  // stays when somebody else has put something there
  return {};
}

Result<Fd> open_pin(const fs::path& path) {
  int fd = ::bpf_obj_get(path.c_str());
  if (fd < 0) return fail(Source::kernel, Reason::io, "no pin " + path.string(), -fd);
  return Fd(fd);
}

Status remove_link(const fs::path& path) {
  auto link = open_pin(path);
  if (!link && link.error().os_code == ENOENT) return {};
  if (!link) return std::unexpected(link.error());
  // A raw tracepoint's link ends with its last reference; and a namespace that is gone has detached its own.
  ::bpf_link_detach(link->get());
  std::error_code error;
  fs::remove(path, error);
  if (error) return fail(Source::agent, Reason::io, "cannot unpin " + path.string(), error.value());
  return {};
}

}  // namespace weir::agent::redirect
