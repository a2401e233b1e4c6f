// Comparing what is there with what should be. See cni_install.h.
#include "agent/enrol/cni_install.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "agent/loop/files.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

constexpr auto kRetry = std::chrono::seconds(1);

Result<std::string> read_binary(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), {}};
  if (!file || content.empty()) return fail(Source::agent, Reason::io, "cannot read " + path.string());
  return content;
}

}  // namespace

CniInstall::CniInstall(Loop& loop, Options options) : loop_(loop), options_(std::move(options)) {
  watch_ = std::make_unique<DirectoryWatch>(
      loop_, options_.conf_dir, [this](const auto&, bool) { keep(); }, false, options_.debounce);
  // What an agent before us left is no repair when it differs.
  if (auto text = read_small_file(options_.conf_dir / options_.file)) written_ = std::move(*text);
  keep();
}

CniInstall::~CniInstall() { loop_.cancel(timer_); }

void CniInstall::keep() {
  loop_.cancel(timer_);
  const Status done = bring_up_to_date();
  const std::string why = done                  ? std::string()
                          : done.error().detail ? *done.error().detail
                                                : done.error().describe();
  const std::string before = std::exchange(error_, why);
  if (done && !primary_.empty()) {
    const std::string first = first_configuration(options_.conf_dir);
    if (first != options_.file) {
      error_ = fmt::format("{} is before {} in {}, and runtimes take the first: pods start without Weir",
                           first, options_.file, options_.conf_dir.string());
    }
  }
  if (!error_.empty() && error_ != before) log::error("the CNI plugin: {}", error_);
  if (error_.empty() && !before.empty()) log::info("the CNI plugin is installed again");
  timer_ = loop_.after(done ? options_.check : kRetry, [this] { keep(); });
}

Status CniInstall::install_binary() {
  const auto wanted = read_binary(options_.plugin);
  if (!wanted) return std::unexpected(wanted.error());
  const auto target = options_.bin_dir / kPluginName;
  struct stat status{};
  const bool runs = ::stat(target.c_str(), &status) == 0 && (status.st_mode & 0777) == 0755;
  if (runs) {
    if (const auto there = read_binary(target); there && *there == *wanted) return {};
  }
  if (auto ok = make_directories(options_.bin_dir, 0755); !ok) return ok;
  log::info("installing {}", target.string());
  return write_atomically(target, *wanted, 0755);
}

Status CniInstall::bring_up_to_date() {
  if (auto ok = install_binary(); !ok) return ok;
  const auto path = options_.conf_dir / options_.file;
  auto there = read_small_file(path);
  if (!there && there.error().os_code != ENOENT) return std::unexpected(there.error());
  const std::string now = there ? std::move(*there) : std::string();

  auto primary = find_primary(options_.conf_dir, options_.file);
  if (!primary && primary.error().os_code == ENOENT) primary = std::optional<Primary>();
  if (!primary) return std::unexpected(primary.error());
  if (!*primary) {
    const std::string before = std::exchange(primary_, {});
    if (now.empty()) return {};  // the node has no network yet; the watch tells when it comes
    log::warn("{} is removed: {} is gone, and its network with it", path.string(),
              before.empty() ? "the primary CNI configuration" : before);
    written_.clear();
    return remove_durably(path);
  }
  const auto wanted = chain_with_weir((*primary)->text, options_.told);
  if (!wanted) {
    return fail(Source::config, Reason::bad_config,
                fmt::format("{} {}; {} stays as it is", (*primary)->file, *wanted.error().detail,
                            now.empty() ? "nothing" : options_.file));
  }
  primary_ = (*primary)->file;
  if (now == *wanted) {
    written_ = now;
    return {};
  }
  if (!written_.empty() && now != written_) {
    ++repairs_;
    log::warn("{} was {} by somebody else: put back", path.string(), now.empty() ? "removed" : "changed");
  } else {
    log::info("{}: the chain of {}, and {} after it", path.string(), primary_, kPluginName);
  }
  // Readable only by root: a primary's may hold credentials, whatever its own mode.
  if (auto ok = write_atomically(path, *wanted, 0600); !ok) return ok;
  written_ = *wanted;
  return {};
}

Status CniInstall::uninstall(const Options& options) {
  Status first = remove_durably(options.conf_dir / options.file);
  if (!first && first.error().os_code == ENOENT) first = {};  // not even the directory
  Status second = remove_durably(options.bin_dir / kPluginName);
  if (!second && second.error().os_code == ENOENT) second = {};
  return first ? second : first;
}

}  // namespace weir::agent
