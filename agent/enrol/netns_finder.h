#pragma once
// Where a pod's network namespace is.
//
// Concept: three ways, the surest first. With files, the annotation weir.dev/netns names it (never in Kubernetes, where
// whoever writes a pod could name another's). While the pod starts, the CNI plugin names it. A pod that runs has
// processes, found by its cgroup (pod_cgroup.h), and they are in it. Whichever way, what was found must be a namespace
// of this kernel, not the node's, and own the pod's addresses; else the pod is not captured at all. Pods in a sandbox
// with a kernel or a TCP stack of its own (gVisor, Kata) have no sockets here and are refused for good: bad_config.
// Owner: the app. Thread: the loop's; blocking, some milliseconds. Lifetime: outlives Enrolment.
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/derive/derive.h"
#include "agent/enrol/netns.h"
#include "agent/enrol/pod_cgroup.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent {

struct FoundNetns {
  std::filesystem::path path;  // leads to it now; where a file is gone it does not any more
  Fd fd;
  NamespaceId id;
  bool starting = false;  // told by the CNI plugin: no process is in the pod yet
  bool by_file = false;   // by annotation: the file decides, and its end is the namespace's end
};

class NetnsFinder {
 public:
  struct Options {
    std::filesystem::path netns_dir;            // of annotated names; empty: annotations say nothing
    std::filesystem::path host_proc = "/proc";  // of the node's pid namespace
    CgroupTree cgroups;
  };
  explicit NetnsFinder(Options options) : options_(std::move(options)) {}

  // `known`: where it was found before, if it was.
  Result<FoundNetns> find(const LocalPodSpec& pod, const std::filesystem::path& known) const;

  // What the plugin says of a pod by its uid: the path as the host sees it. It counts until forgotten.
  void give(const std::string& uid, const std::string& host_path);
  void forget(const std::string& uid) { given_.erase(uid); }
  // Whether this very path, as the plugin says it, was the last that was given.
  bool was_given(const std::string& uid, const std::string& host_path) const {
    const auto found = given_.find(uid);
    return found != given_.end() && found->second == host_path;
  }
  // As this process sees it; empty: nothing was said.
  std::filesystem::path given(const std::string& uid) const;

  // Whether a runtime class is known to bring a kernel or a TCP stack of its own.
  static bool is_sandbox(const std::string& runtime_class);
  // The same of the program that a sandbox runs as.
  static bool is_sandbox_program(const std::string& program);

 private:
  Result<FoundNetns> by_annotation(const LocalPodSpec& pod) const;
  Result<FoundNetns> by_path(const std::filesystem::path& path, const LocalPodSpec& pod) const;
  Result<FoundNetns> by_cgroup(const LocalPodSpec& pod) const;
  Status belongs(const FoundNetns& found, const LocalPodSpec& pod) const;

  const Options options_;
  std::map<std::string, std::string> given_;  // uid → path on the host
};

}  // namespace weir::agent
