// Making and removing the place on the BPF filesystem. Every step is saved before it is taken, so that uninstall
// removes exactly what Weir made: pins, schema directories, the mount, the directories around it.
#include "agent/redirect/pins.h"

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cerrno>
#include <vector>

#include "bpf/abi.h"

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

Pins::Pins(const fs::path& bpffs_dir)
    : bpffs_dir_(fs::absolute(bpffs_dir)), directory_(bpffs_dir_ / ("v" + std::to_string(WEIR_SCHEMA))) {}

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

Status Pins::remove(SavedState& state) {
  auto node = state.load_node();
  if (!node) return std::unexpected(node.error());
  std::error_code error;
  if (on_bpffs(bpffs_dir_)) {
    std::vector<fs::path> schemas;
    for (const auto& entry : fs::directory_iterator(bpffs_dir_, error)) {
      std::string name = entry.path().filename();
      if (name.starts_with("v") && name.find_first_not_of("0123456789", 1) == std::string::npos)
        schemas.push_back(entry.path());
    }
    for (const fs::path& schema : schemas) {
      std::vector<fs::path> pins;
      for (const auto& entry : fs::directory_iterator(schema, error)) pins.push_back(entry.path());
      for (const fs::path& pin : pins) {
        bool link = !pin.filename().string().starts_with("map_");
        if (Status removed = link ? remove_link(pin) : Status{}; !removed) return removed;
        fs::remove(pin, error);
      }
      fs::remove(schema, error);
      if (error) return fail(Source::agent, Reason::io, "cannot remove " + schema.string(), error.value());
    }
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
