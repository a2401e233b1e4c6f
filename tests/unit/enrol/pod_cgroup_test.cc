// A pod's cgroup in both drivers' forms and in every hierarchy, and its processes, in trees of plain files.
#include "agent/enrol/pod_cgroup.h"

#include <stdlib.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "agent/enrol/netns_finder.h"

using namespace weir::agent;

namespace {

const std::string kUid = "0f6d2a11-93b1-4c6e-8b7a-0d5e1f2a3b4c";
const std::string kEscaped = "0f6d2a11_93b1_4c6e_8b7a_0d5e1f2a3b4c";

struct Tree {
  std::filesystem::path path;
  CgroupTree cgroups;

  Tree() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-cgroup-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
    cgroups = {{path / "cgroup/unified"}, {"kubepods.slice", "kubepods"}};
  }
  ~Tree() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path / name).parent_path());
    std::ofstream(path / name) << text;
  }
  void process(int pid, uint64_t started, const std::string& program = "/app") const {
    const std::string directory = "proc/" + std::to_string(pid);
    write(directory + "/stat", std::to_string(pid) +
                                   " (a) b) (c) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 " +
                                   std::to_string(started) + " 1 2 3\n");
    write(directory + "/cmdline", program + std::string(1, '\0') + "--flag" + std::string(1, '\0'));
  }
  std::vector<int> pids(const std::string& uid = kUid) const {
    std::vector<int> out;
    for (const auto& one : pod_processes(cgroups, uid, path / "proc")) out.push_back(one.pid);
    return out;
  }
};

using Pids = std::vector<int>;

}  // namespace

TEST_CASE("a pod's cgroup is found in each form that a kubelet gives it") {
  const std::string systemd = "kubepods.slice/";
  for (const std::string& form :
       {"kubepods/pod" + kUid, "kubepods/burstable/pod" + kUid, "kubepods/besteffort/pod" + kUid,
        systemd + "kubepods-pod" + kEscaped + ".slice",
        systemd + "kubepods-burstable.slice/kubepods-burstable-pod" + kEscaped + ".slice",
        systemd + "kubepods-besteffort.slice/kubepods-besteffort-pod" + kEscaped + ".slice"}) {
    Tree tree;
    CAPTURE(form);
    tree.process(7, 100);
    tree.write("cgroup/unified/" + form + "/cri-containerd-abc.scope/cgroup.procs", "7\n");
    CHECK(pod_cgroups(tree.cgroups, kUid) == std::vector{tree.path / "cgroup/unified" / form});
    CHECK(tree.pids() == Pids{7});
    CHECK(tree.pids("0f6d2a11-93b1-4c6e-8b7a-0d5e1f2a3b4d").empty());
  }
}

TEST_CASE("a kubelet below another cgroup is found when that is known, or our own pod is there") {
  Tree tree;
  const std::string deep = "kubelet.slice/kubelet-kubepods.slice";
  const std::string slice =
      deep + "/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + kEscaped + ".slice";
  tree.process(7, 100);
  tree.write("cgroup/unified/" + slice + "/cgroup.procs", "7\n");
  CHECK(tree.pids().empty());
  tree.cgroups.kubepods = {deep};
  CHECK(tree.pids() == Pids{7});

  const auto candidates = kubepods_candidates(
      "12:pids:/kt-n1/kubepods/besteffort/podother/abc\n"
      "4:memory:/kt-n1/kubepods/besteffort/podother/abc\n"
      "0::/node/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podother.slice/abc\n");
  REQUIRE(candidates.size() >= 4);
  CHECK(candidates[0] == "kt-n1/kubepods");
  CHECK(candidates[1] == "node/kubelet.slice/kubelet-kubepods.slice");
  CHECK(kubepods_candidates("0::/../../kubepods/burstable/podx\n") == kubepods_candidates(""));
  CHECK(kubepods_candidates("garbage\n0::/system.slice/weir.service\n") == kubepods_candidates(""));
}

TEST_CASE("a cgroup's name inside another pod does not make that pod's processes this one's") {
  Tree tree;
  tree.process(7, 100);
  tree.write("cgroup/unified/kubepods/burstable/podother/kubepods/burstable/pod" + kUid + "/cgroup.procs",
             "7\n");
  tree.write("cgroup/unified/kubepods/burstable/podother/pod" + kUid + "/cgroup.procs", "7\n");
  CHECK(tree.pids().empty());
}

TEST_CASE("cgroup v1 beside v2 is searched as well, and a link to a hierarchy is not another") {
  Tree tree;
  tree.process(7, 100);
  tree.process(8, 90);
  for (const char* name : {"unified", "memory", "cpu,cpuacct"}) {
    tree.write(std::string("cgroup/") + name + "/cgroup.procs", "1\n");
  }
  std::filesystem::create_symlink("cpu,cpuacct", tree.path / "cgroup/cpu");
  std::filesystem::create_directory(tree.path / "cgroup/no-hierarchy");
  const auto found = hierarchies_beside(tree.path / "cgroup/unified");
  CHECK(found == std::vector{tree.path / "cgroup/unified", tree.path / "cgroup/cpu,cpuacct",
                             tree.path / "cgroup/memory"});
  tree.cgroups.hierarchies = found;
  tree.write("cgroup/memory/kubepods/burstable/pod" + kUid + "/app/cgroup.procs", "7\n8\n");
  CHECK(tree.pids() == Pids{8, 7});
}

TEST_CASE(
    "processes come oldest first, with their program, and those of a foreign pid namespace not at all") {
  Tree tree;
  tree.process(7, 300);
  tree.process(9, 100, "/pause");
  tree.process(8, 200);
  const std::string pod = "cgroup/unified/kubepods/burstable/pod" + kUid;
  tree.write(pod + "/cgroup.procs", "");
  tree.write(pod + "/sandbox/cgroup.procs", "9\n");
  tree.write(pod + "/app/cgroup.procs", "0\n7\n0\n");
  tree.write(pod + "/app/nested/deeper/cgroup.procs", "8\n7\n");
  CHECK(tree.pids() == Pids{9, 8, 7});
  CHECK(pod_processes(tree.cgroups, kUid, tree.path / "proc").front().program == "/pause");
  std::filesystem::remove_all(tree.path / "proc/9");  // ended between the list and the look
  CHECK(tree.pids() == Pids{8, 7});
  tree.write("proc/8/stat", "8 (half");
  CHECK(tree.pids() == Pids{7});
}

TEST_CASE("a uid that is no plain name has no cgroup, wherever it would lead") {
  Tree tree;
  tree.process(7, 100);
  tree.write("cgroup/unified/kubepods/podx/cgroup.procs", "7\n");
  tree.write("cgroup/unified/kubepods/pod/cgroup.procs", "7\n");
  tree.write("cgroup/unified/kubepods/pod../cgroup.procs", "7\n");
  CHECK(tree.pids("x") == Pids{7});
  for (const char* uid : {"", "..", "shop/web", "x/../x", "x/"}) CHECK(tree.pids(uid).empty());
}

TEST_CASE("sandboxed runtimes are known by class and by program") {
  for (const char* name : {"gvisor", "kata-qemu", "Kata", "my-runsc"}) CHECK(NetnsFinder::is_sandbox(name));
  for (const char* name : {"", "runc", "nvidia", "crun-wasm"}) CHECK_FALSE(NetnsFinder::is_sandbox(name));
  CHECK(NetnsFinder::is_sandbox_program("/usr/bin/qemu-system-x86_64"));
  CHECK(NetnsFinder::is_sandbox_program("runsc-sandbox"));
  CHECK_FALSE(NetnsFinder::is_sandbox_program("/pause"));
}
