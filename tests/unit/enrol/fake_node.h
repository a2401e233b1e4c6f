#pragma once
// A node for the tests of enrolment: a capture that only writes down what it was asked, a channel to no proxy, and
// symbolic links to our own namespaces in place of pods'. Owner: the test. Thread: the test's, which turns the loop.
#include "agent/enrol/enrolment.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>

namespace weir::agent {

struct FakeCapture : Capture {
  std::vector<std::string>& log;
  std::map<std::string, std::string> failing;  // step → error
  std::vector<KnownPod> known;
  std::map<std::string, bool> holds;  // uid → has listeners here
  uint64_t older = 0;
  std::vector<CheckResult> checks;
  bool served_elsewhere = false;  // the listeners live in a proxy: prepare opens none
  Fd listener{::eventfd(0, 0)}, netns{::open("/proc/self/ns/net", O_RDONLY)};

  explicit FakeCapture(std::vector<std::string>& to) : log(to) {}
  Status step(const std::string& name, const std::string& uid) {
    log.push_back(name + " " + uid);
    const auto found = failing.find(name);
    return found == failing.end() ? Status() : fail(Source::kernel, Reason::io, found->second);
  }
  std::vector<KnownPod> known_pods() const override { return known; }
  Status prepare(const PodSpec& pod) override {
    auto done = step("prepare", pod.uid);
    if (done && !served_elsewhere) holds[pod.uid] = true;
    return done;
  }
  Status arm(const std::string& uid) override { return step("arm", uid); }
  Status disarm(const std::string& uid) override { return step("disarm", uid); }
  Status remove(const std::string& uid) override { return step("remove", uid); }
  Result<PodListeners> listeners(const std::string& uid) const override {
    const auto held = holds.find(uid);
    if (held == holds.end() || !held->second) return fail(Source::agent, Reason::internal, "none held");
    return PodListeners{netns.get(), 1, 15001, {listener.get()}, {listener.get()}};
  }
  Status adopt_listeners(const std::string& uid, const std::vector<int>& outbound,
                         const std::vector<int>& inbound) override {
    for (const int fd : outbound) ::close(fd);
    for (const int fd : inbound) ::close(fd);
    auto done = step("adopt", uid);
    if (done) holds[uid] = true;
    return done;
  }
  bool served(const std::string&) const override { return served_elsewhere; }
  Status reopen_listeners(const std::string& uid) override {
    holds[uid] = true;
    return step("reopen", uid);
  }
  Result<uint64_t> destroy_old_connections(const std::string& uid) override {
    log.push_back("destroy_old " + uid);
    return older;
  }
  Result<uint64_t> old_connections(const std::string&) override { return older; }
  std::vector<CheckResult> check(const std::string&) override { return checks; }
};

// Which namespace it is, is all that counts in these tests: whose addresses it has is NetnsFinder's to ask.
inline Result<FoundNetns> named_netns(const std::filesystem::path& directory, const LocalPodSpec& pod) {
  const auto file = directory / pod.netns;
  const auto id = namespace_id(file);
  if (!id) return fail(Source::agent, Reason::io, file.string() + " is not there (yet)");
  return FoundNetns{file, Fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC)), *id, false, true};
}

struct TestNode {
  std::filesystem::path path;
  std::vector<std::string> log, reports, changes;
  Loop loop;
  FakeCapture capture{log};
  std::optional<SharedDirectory> announcements;
  std::function<Result<FoundNetns>(const LocalPodSpec&)> find;  // in place of the directory, where it is set
  bool connected = true;
  std::optional<Enrolment> enrolment;

  TestNode() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-enrol-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
    std::filesystem::create_directory(path / "netns");
    link("pod1");
    start();
  }
  ~TestNode() {
    enrolment.reset();
    std::filesystem::remove_all(path);
  }
  void start() {
    enrolment.reset();
    announcements.reset();
    auto opened = SharedDirectory::open(path / "shared", "n1");
    REQUIRE(opened);
    announcements = std::move(*opened);
    Enrolment::Options options;
    options.find_netns = [this](const LocalPodSpec& pod, const std::filesystem::path&) {
      return find ? find(pod) : named_netns(path / "netns", pod);
    };
    options.found = [this](FoundAs found, uint64_t ended, uint64_t left) {
      reports.push_back(std::string(label(found)) + " " + std::to_string(ended) + " " + std::to_string(left));
    };
    options.changed = [this](const std::string& uid) { changes.push_back(uid); };
    options.adoption_wait = options.accept_wait = std::chrono::milliseconds(60);
    options.grace = std::chrono::milliseconds(60);
    options.drain_wait = options.removed_wait = std::chrono::milliseconds(150);
    options.netns_check = std::chrono::milliseconds(20);
    PodChannel channel;
    channel.connected = [this] { return connected; };
    channel.offer = [this](const PodDescriptors& pod) {
      log.push_back("offer " + pod.uid + " as " + pod.identity);
      return connected;
    };
    channel.gone = [this](const std::string& uid, bool removed) {
      log.push_back((removed ? "removed " : "unenrolled ") + uid);
      return connected;
    };
    enrolment.emplace(loop, capture, *announcements, std::move(channel), options);
  }
  // A proxy has its configuration; what is offered to it alone is told with "to it".
  void proxy_synced() {
    enrolment->proxy_synced([this](const PodDescriptors& pod) {
      log.push_back("offer " + pod.uid + " to it");
      return connected;
    });
  }
  // A symbolic link to our own namespace stands for the pod's file.
  void link(const std::string& name, const char* target = "/proc/self/ns/net") const {
    std::filesystem::remove(path / "netns" / name);
    std::filesystem::create_symlink(target, path / "netns" / name);
  }
  void wait(int ms) {
    const auto end = Loop::Clock::now() + std::chrono::milliseconds(ms);
    while (Loop::Clock::now() < end) loop.run_once(std::chrono::milliseconds(5));
  }
  std::string did() {
    std::string out;
    for (const auto& one : log) out += (out.empty() ? "" : ", ") + one;
    log.clear();
    return out;
  }
  bool announced(const std::string& uid) const {
    return std::filesystem::exists(path / "shared" / "captured" / SharedDirectory::file_name(uid));
  }
  PodStatus pod() const {
    const auto all = enrolment->status();
    REQUIRE(all.size() == 1);
    return all[0];
  }
};

inline LocalPodSpec web(bool guarded = false) {
  return {"shop/web", {"shop", "web"}, "spiffe://x", {"10.0.0.1"}, "pod1", Mode::permissive, guarded};
}
inline const std::set<std::string> kAlive{"shop/web"};

}  // namespace weir::agent
