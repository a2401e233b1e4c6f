// The app's part around capture: what it is opened with, the watch over it, and the CNI plugin's other side. See app.h.
#include "agent/app_capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "agent/app.h"
#include "agent/loop/files.h"
#include "nodeproxy/base/log.h"

namespace weir::agent {
namespace {

constexpr auto kCaptureCheck = std::chrono::seconds(1);
constexpr size_t kChecksAtOnce = 2;  // each costs about 6 ms of this thread
constexpr auto kBeforeTelling = std::chrono::milliseconds(300);
constexpr auto kReconcile = std::chrono::seconds(60);

// Below the mount point of cgroup v2: said, else where this process is itself, else where kubelets usually keep it.
std::vector<std::filesystem::path> kubepods_of(const AgentOptions& options) {
  if (!options.kubepods_cgroup.empty())
    return {options.kubepods_cgroup.lexically_relative(options.cgroup_root)};
  return kubepods_candidates(read_small_file("/proc/self/cgroup").value_or(""));
}

}  // namespace

NetnsFinder::Options finder_options(const AgentOptions& options) {
  NetnsFinder::Options finder;
  // In a cluster whoever writes a pod could name another's namespace.
  if (!options.in_cluster()) finder.netns_dir = options.netns_dir;
  finder.host_proc = options.host_proc;
  finder.cgroups = {hierarchies_beside(options.cgroup_root), kubepods_of(options)};
  return finder;
}

RedirectOptions redirect_options(const AgentOptions& options, const NetnsFinder& finder) {
  RedirectOptions redirect;
  redirect.cgroup_root = options.cgroup_root;
  redirect.bpffs_dir = options.bpffs_dir;
  redirect.state_dir = options.state_dir;
  redirect.schema = options.schema;
  redirect.node_name = options.node;
  redirect.listeners_per_direction =
      options.listeners != 0 ? options.listeners : std::max(1u, std::thread::hardware_concurrency());
  redirect.kubepods_cgroup = options.kubepods_cgroup;
  for (const auto& candidate : kubepods_of(options)) {
    std::error_code none;
    if (!redirect.kubepods_cgroup.empty()) break;
    if (std::filesystem::is_directory(options.cgroup_root / candidate, none)) {
      redirect.kubepods_cgroup = options.cgroup_root / candidate;
    }
  }
  redirect.node_netns = options.node_netns;
  if (redirect.node_netns.empty() && options.in_cluster())
    redirect.node_netns = options.host_proc / "1/ns/net";
  redirect.find_netns = [&finder](const PodSpec& pod) -> Result<Fd> {
    LocalPodSpec spec;
    spec.uid = spec.cgroup_uid = pod.uid;
    spec.addresses = pod.addresses;
    auto found = finder.find(spec, {});
    if (!found) return std::unexpected(found.error());
    return std::move(found->fd);
  };
  return redirect;
}

CniInstall::Options cni_install_options(const AgentOptions& options) {
  CniInstall::Options install;
  install.plugin = options.cni_plugin;
  if (install.plugin.empty()) {
    std::error_code none;
    install.plugin = std::filesystem::read_symlink("/proc/self/exe", none).parent_path() / kPluginName;
  }
  install.bin_dir = options.cni_bin_dir;
  install.conf_dir = options.cni_conf_dir;
  install.told = {options.cni_socket, options.state_dir / "enrolled-namespaces"};
  return install;
}

Status join_node_cgroup_namespace(const AgentOptions& options) {
  const auto id = [](const std::filesystem::path& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
  };
  const auto path = options.host_proc / "1/ns/cgroup";
  if (id(path) != 0 && id(path) == id("/proc/self/ns/cgroup")) return {};
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::setns(fd.get(), CLONE_NEWCGROUP) != 0) {
    return fail_errno(Source::kernel,
                      "entering the node's cgroup namespace by " + path.string() +
                          " (the agent needs hostPID and the capabilities SYS_ADMIN and SYS_PTRACE)",
                      errno);
  }
  return {};
}

bool is_keeper_of(int keeper, int pid) {
  const auto stat = [](int of) { return read_small_file(fmt::format("/proc/{}/stat", of)).value_or(""); };
  const std::string program = stat(keeper), kept = stat(pid);
  // "PID (NAME) STATE PARENT ..."; the name may hold anything, but its last bracket is the last of all.
  const size_t end = kept.rfind(')');
  return program.starts_with(fmt::format("{} (weir-keep) ", keeper)) && end != std::string::npos &&
         kept.substr(end).find(fmt::format(" {} ", keeper)) == 3;
}

Enrolment::Options App::enrolment_options() {
  Enrolment::Options enrolment;
  enrolment.find_netns = [this](const LocalPodSpec& pod, const std::filesystem::path& known) {
    return finder_->find(pod, known);
  };
  enrolment.changed = [this](const std::string&) { cni_->enrolment_changed(); };
  enrolment.found = [this](FoundAs found, uint64_t older_ended, uint64_t older_left) {
    metrics_.add("weir_capture_found_total", 1, {{"found", label(found)}});
    metrics_.add("weir_capture_older_connections_total", static_cast<double>(older_ended),
                 {{"then", "ended"}});
    metrics_.add("weir_capture_older_connections_total", static_cast<double>(older_left), {{"then", "left"}});
  };
  return enrolment;
}

// The plugin may ask from here on.
Status App::open_cni() {
  Cni::Options options;
  options.socket = options_.cni_socket;
  options.enrolled_file = options_.state_dir / "enrolled-namespaces";
  Cni::Hooks hooks;
  hooks.objects = [this]() -> const Objects& { return source_.source->objects(); };
  hooks.source_connected = [this] {
    return source_.source->not_synced().empty() && source_.source->connected();
  };
  hooks.derive = [this] { derive_again(); };
  hooks.pod = [this](const std::string& uid) { return enrolment_->status_of(uid); };
  hooks.recheck = [this](const std::string& uid) { enrolment_->recheck(uid); };
  hooks.answered = [this](const char* verdict) {
    metrics_.add("weir_agent_cni_answers_total", 1, {{"verdict", verdict}});
  };
  cni_ = std::make_unique<Cni>(loop_, *finder_, std::move(options), std::move(hooks));
  return cni_->listen();
}

// Once the list of enrolled namespaces is on disk.
void App::keep_cni_installed() {
  if (options_.cni_conf_dir.empty() || cni_install_ != nullptr || !cni_->listed()) return;
  cni_install_ = std::make_unique<CniInstall>(loop_, cni_install_options(options_));
}

void App::refresh_cni_metrics() {
  keep_cni_installed();
  metrics_.set("weir_agent_cni_waiting", static_cast<double>(cni_->waiting()));
  metrics_.set("weir_agent_cni_errors",
               (cni_->file_error().empty() ? 0 : 1) +
                   (cni_install_ == nullptr || cni_install_->error().empty() ? 0 : 1));
  if (cni_install_ != nullptr) {
    metrics_.set("weir_agent_cni_repairs", static_cast<double>(cni_install_->repairs()));
  }
}

// The names of the checks that fail at a pod, with what they found.
std::map<std::string, std::string> App::broken_parts(const std::string& uid) {
  std::map<std::string, std::string> broken;
  for (const auto& check : redirect_->check(uid)) {
    if (!check.ok) broken[check.name] = check.detail;
  }
  return broken;
}

// Tests one pod's capture and puts back what somebody took away.
void App::check_and_mend(const PodStatus& pod) {
  const std::string &uid = pod.spec.uid, name = pod.spec.name.text();
  const auto found = broken_parts(uid);
  if (found.empty()) {
    broken_.erase(uid);
    return;
  }
  PodSpec spec{uid, pod.netns_path, pod.spec.addresses};
  // The namespace that is captured, whatever its path leads to by now: of that Enrolment takes care.
  const auto held = redirect_->listeners(uid);
  if (held) spec.netns_fd = held->netns_fd;
  auto mended = redirect_->prepare(spec);
  if (mended) mended = redirect_->arm(uid);
  // Mended at once, told a moment later: of a pod that ends the kernel takes IPv6 routes away before the address, and its
  // object stays for some time after both.
  loop_.after(kBeforeTelling, [this, uid, name, found, mended] { tell_of_broken(uid, name, found, mended); });
}

void App::tell_of_broken(const std::string& uid, const std::string& name,
                         const std::map<std::string, std::string>& found, const Status& mended) {
  const auto held = redirect_->listeners(uid);
  const auto pods = enrolment_->status();
  const auto pod = std::ranges::find_if(
      pods, [&](const PodStatus& each) { return each.spec.uid == uid && each.state == PodState::captured; });
  if (pod == pods.end() || !held || !owns_addresses(held->netns_fd, pod->spec.addresses)) {
    log::debug("pod {}: its network has been taken down", name);
    broken_.erase(uid);
    return;
  }
  auto& known = broken_[uid];
  auto left = broken_parts(uid);
  if (found != known) {
    for (const auto& [check, detail] : found) log::error("pod {}: {}: {}", name, check, detail);
    if (!mended) log::error("pod {}: capture cannot be mended: {}", name, mended.error().describe());
  }
  if (left.empty()) log::warn("pod {}: capture mended", name);
  known = std::move(left);
}

// Every second the capture of some pods is tested, in turn; of changed rules and routes the agent hears at once.
void App::watch_over_capture() {
  loop_.after(kCaptureCheck, [this] { watch_over_capture(); });
  if (const auto retired = redirect_->retire_other_schemas(); !retired)
    log::error("{}", retired.error().describe());
  std::vector<PodStatus> captured;
  std::map<std::string, RouteWatch::Namespace> namespaces;
  for (auto& pod : enrolment_->status()) {
    if (pod.state != PodState::captured) continue;
    if (const auto held = redirect_->listeners(pod.spec.uid)) {
      namespaces[pod.spec.uid] = {held->netns_cookie, held->netns_fd};
    }
    captured.push_back(std::move(pod));
  }
  if (auto ok = route_watch_->follow(namespaces); !ok) log::warn("{}", ok.error().describe());
  std::erase_if(broken_, [&](const auto& entry) {
    return std::ranges::none_of(captured, [&](const auto& pod) { return pod.spec.uid == entry.first; });
  });
  for (size_t n = 0; n < std::min(captured.size(), kChecksAtOnce); ++n) {
    check_and_mend(captured[next_check_++ % captured.size()]);
  }
  std::map<std::string, int> failed;
  for (const auto& [uid, parts] : broken_) {
    for (const auto& [name, detail] : parts) ++failed[name];
  }
  metrics_.clear("weir_capture_check_failed");
  for (const auto& [name, count] : failed)
    metrics_.set("weir_capture_check_failed", count, {{"check", name}});
}

void App::reconcile() {
  loop_.after(kReconcile, [this] { reconcile(); });
  const auto done = redirect_->reconcile();
  if (!done) return log::error("reconciling the maps with the kernel's sockets: {}", done.error().describe());
  metrics_.add("weir_capture_reconciled_total", static_cast<double>(done->listen_counts_corrected),
               {{"kind", "listen_counts"}});
  metrics_.add("weir_capture_reconciled_total", static_cast<double>(done->exempt_entries_swept),
               {{"kind", "exempt_entries"}});
  if (done->listen_counts_corrected + done->exempt_entries_swept > 0) {
    log::warn("reconciled: {} listen counts, {} exemptions", done->listen_counts_corrected,
              done->exempt_entries_swept);
  }
}

}  // namespace weir::agent
