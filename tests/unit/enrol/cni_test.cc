// Which starting pods are told to start, and when: the agent's side of the CNI plugin without a kernel or a source.
#include "agent/enrol/cni.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "agent/cni/enrolled_file.h"
#include "nodeproxy/base/message_socket.h"

using namespace weir;
using namespace weir::agent;

namespace {

struct CniNode {
  std::filesystem::path path;
  Loop loop;
  std::optional<NetnsFinder> finder;
  Objects objects;
  bool connected = true;
  int derived = 0;
  std::map<std::string, PodStatus> pods;
  std::vector<std::string> rechecked, verdicts;
  std::optional<Cni> cni;

  CniNode() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-cni-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
    std::filesystem::create_directories(path / "proc/1");
    std::filesystem::create_symlink("/", path / "proc/1/root");
    finder.emplace(NetnsFinder::Options{"", path / "proc", {}});
    Cni::Hooks hooks;
    hooks.objects = [this]() -> const Objects& { return objects; };
    hooks.source_connected = [this] { return connected; };
    hooks.derive = [this] { ++derived; };
    hooks.pod = [this](const std::string& uid) {
      return pods.contains(uid) ? std::optional(pods[uid]) : std::nullopt;
    };
    hooks.recheck = [this](const std::string& uid) { rechecked.push_back(uid); };
    hooks.answered = [this](const char* verdict) { verdicts.emplace_back(verdict); };
    cni.emplace(loop, *finder,
                Cni::Options{path / "cni.sock", path / "enrolled", "n1", std::chrono::milliseconds(60)},
                hooks);
    REQUIRE(cni->listen());
  }
  ~CniNode() {
    cni.reset();
    std::filesystem::remove_all(path);
  }
  void add_namespace(const std::string& name, Labels labels = {}) {
    Namespace ns;
    ns.meta.name = name;
    ns.meta.labels = std::move(labels);
    objects.namespaces[name] = ns;
  }
  Pod& add_pod(Labels labels = {}, const std::string& uid = "u1") {
    Pod pod;
    pod.meta.name = "web";
    pod.meta.ns = "shop";
    pod.meta.uid = uid;
    pod.meta.labels = std::move(labels);
    return objects.pods[{"shop", "web"}] = pod;
  }
  void capture(NamespaceId id, bool announced = true, const std::string& error = {}) {
    PodStatus status;
    status.state = PodState::captured;
    status.armed = true;
    status.announced = announced;
    status.error = error;
    status.netns = id;
    pods["u1"] = status;
    cni->enrolment_changed();
  }
  void wait(int ms = 15) {
    const auto end = Loop::Clock::now() + std::chrono::milliseconds(ms);
    while (Loop::Clock::now() < end) loop.run_once(std::chrono::milliseconds(2));
  }
};

const Labels kEnabled{{"weir.dev/mesh", "enabled"}}, kDisabled{{"weir.dev/mesh", "disabled"}};
// Our own namespace stands for the pod's.
const char* const kNetns = "/proc/self/ns/net";
NamespaceId netns_id() { return namespace_id(kNetns).value(); }

struct Plugin {
  CniNode& node;
  Fd socket;
  Plugin(CniNode& on, const std::string& command = "ADD", int wait_ms = 5000) : node(on) {
    auto connected = connect_unix(node.path / "cni.sock");
    REQUIRE(connected);
    socket = std::move(*connected);
    send(cni::to_line({command, "shop", "web", "u1", "c1", kNetns, {"10.0.0.9"}, wait_ms}));
  }
  void send(const std::string& text) const {
    REQUIRE(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(text.size()));
  }
  // "": none yet; "closed": the agent hung up.
  std::string answer() {
    node.wait();
    char buffer[4096];
    const ssize_t got = ::recv(socket.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
    if (got < 0) return {};
    if (got == 0) return "closed";
    const auto read = cni::read_answer({buffer, static_cast<size_t>(got)});
    REQUIRE(read);
    const char* verdict = read->verdict == cni::Verdict::captured       ? "captured"
                          : read->verdict == cni::Verdict::not_enrolled ? "not_enrolled"
                          : read->again                                 ? "again"
                                                                        : "never";
    return verdict + (read->message.empty() ? "" : ": " + read->message);
  }
};

}  // namespace

TEST_CASE("an enrolled pod is told to enrolment and may start once it is captured where the plugin said") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod();
  Plugin plugin(node);
  CHECK(plugin.answer().empty());
  CHECK(node.derived == 1);
  CHECK(node.rechecked == std::vector<std::string>{"u1"});
  CHECK(node.cni->addresses() == StandInAddresses{{"u1", {"10.0.0.9"}}});
  const auto given = node.finder->given("u1");
  CHECK(given.string().starts_with((node.path / "proc/1/root/proc").string()));
  CHECK(namespace_id(given) == namespace_id(kNetns));
  node.capture({1, 1});  // of an earlier sandbox
  CHECK(plugin.answer().empty());
  node.capture(netns_id());
  CHECK(plugin.answer() == "captured");
  CHECK(plugin.answer() == "closed");
  CHECK(node.cni->waiting() == 0);
  CHECK(node.derived == 1);
  CHECK(node.verdicts == std::vector<std::string>{"captured"});
}

TEST_CASE("a captured pod may start once it is announced, or when that has failed") {
  for (const bool fails : {false, true}) {
    CniNode node;
    node.add_namespace("shop", kEnabled);
    node.add_pod();
    Plugin plugin(node);
    node.capture(netns_id(), false);
    CHECK(plugin.answer().empty());
    node.capture(netns_id(), !fails, fails ? "announcing: no API server" : "");
    CHECK(plugin.answer() == "captured");
  }
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod();
  Plugin plugin(node, "ADD", 50);
  node.capture(netns_id(), false);
  node.wait(60);
  CHECK(plugin.answer().find("not yet announced") != std::string::npos);
}

TEST_CASE("a pod that an earlier agent captured at its start keeps those addresses until the API has any") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod();
  KnownPod known{.spec = {.uid = "u1", .netns_path = {}, .addresses = {"10.0.0.9"}}, .armed = true};
  KnownPod gone = known, never = known;
  gone.spec.uid = "u2";
  never.armed = false;
  node.cni->remember({gone, never});
  CHECK(node.cni->addresses().empty());
  node.cni->remember({gone, known});
  node.cni->settle(node.objects);
  CHECK(node.cni->addresses() == StandInAddresses{{"u1", {"10.0.0.9"}}});
  node.objects.pods[{"shop", "web"}].addresses = {"10.0.0.9"};
  node.cni->settle(node.objects);
  CHECK(node.cni->addresses().empty());
  node.cni->remember({known});
  CHECK(node.cni->addresses().empty());  // the API's word counts
}

TEST_CASE("labels of pod and namespace decide, the pod's first, and what is not enrolled starts at once") {
  for (const auto& [of_namespace, of_pod, enrolled] : {std::tuple{kEnabled, Labels{}, true},
                                                       {Labels{}, Labels{}, false},
                                                       {kEnabled, kDisabled, false},
                                                       {Labels{}, kEnabled, true}}) {
    CniNode node;
    node.add_namespace("shop", of_namespace);
    node.add_pod(of_pod);
    Plugin plugin(node);
    CHECK(plugin.answer() == (enrolled ? "" : "not_enrolled"));
    CHECK(node.derived == (enrolled ? 1 : 0));
  }
}

TEST_CASE("a pod or its namespace that the source has not seen is waited for, then sent away") {
  CniNode node;
  Plugin plugin(node);
  CHECK(plugin.answer().empty());
  node.add_pod();
  node.cni->objects_changed(node.objects);
  CHECK(plugin.answer().empty());
  CHECK(node.derived == 0);
  node.add_namespace("shop");
  node.cni->objects_changed(node.objects);
  CHECK(plugin.answer() == "not_enrolled");

  CniNode blind;
  Plugin unseen(blind);
  CHECK(unseen.answer().empty());
  blind.wait(60);
  CHECK(unseen.answer() == "again: the agent has not seen this pod yet");
}

TEST_CASE("an object of the same name with another uid is a predecessor, unless it mirrors a static pod") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod({}, "older");
  Plugin plugin(node);
  CHECK(plugin.answer().empty());
  CHECK(node.derived == 0);
  node.add_pod({}, "mirror").meta.annotations["kubernetes.io/config.mirror"] = "u1";
  node.cni->objects_changed(node.objects);
  CHECK(plugin.answer().empty());
  CHECK(node.rechecked == std::vector<std::string>{"mirror"});
}

TEST_CASE("without the source only pods of namespaces known to be enrolled are held back") {
  CniNode node;
  node.connected = false;
  std::ofstream(node.path / "enrolled") << cni::enrolled_text({"other"});
  const auto answer = [&] {
    Plugin plugin(node);
    CHECK(plugin.answer().empty());
    node.wait(60);
    return plugin.answer();
  };
  CHECK_THAT(answer(), Catch::StartsWith("not_enrolled"));
  std::ofstream(node.path / "enrolled") << cni::enrolled_text({"shop"});
  CHECK_THAT(answer(), Catch::StartsWith("again: namespace shop is enrolled"));
}

TEST_CASE("what enrolment says of the failure is what the runtime is told when the time is over") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod();
  Plugin plugin(node, "ADD", 100);
  CHECK(plugin.answer().empty());
  node.pods["u1"].error = "no route";
  node.wait(90);
  CHECK(plugin.answer() == "again: the pod cannot be captured yet: no route");

  Plugin refused(node);
  CHECK(refused.answer().empty());
  node.pods["u1"].refused = true;
  node.pods["u1"].error = "runs in a sandbox";
  node.cni->enrolment_changed();
  CHECK(refused.answer() == "never: runs in a sandbox");
}

TEST_CASE("CHECK asks whether the pod is captured and starts nothing") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod();
  CHECK_THAT(Plugin(node, "CHECK").answer(), Catch::StartsWith("again"));
  node.capture(netns_id());
  CHECK(Plugin(node, "CHECK").answer() == "captured");
  CHECK(node.derived == 0);
}

TEST_CASE("DEL forgets what was told of that sandbox, and not what was told of its successor") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod();
  const auto del = [&](const std::string& netns) {
    auto connected = connect_unix(node.path / "cni.sock");
    REQUIRE(connected);
    const std::string line = cni::to_line({"DEL", "shop", "web", "u1", "c1", netns, {}, 1000});
    REQUIRE(::send(connected->get(), line.data(), line.size(), 0) > 0);
    node.wait();
  };
  Plugin plugin(node);
  node.capture(netns_id());
  CHECK(plugin.answer() == "captured");
  del("/run/netns/older");
  CHECK(node.cni->addresses().contains("u1"));
  del(kNetns);
  CHECK(node.cni->addresses().empty());
  CHECK(node.finder->given("u1").empty());
}

TEST_CASE("the plugin's addresses stand in until the API says them, or the pod is no more") {
  Objects objects;
  StartingPods starting;
  Pod pod;
  pod.meta.ns = "shop";
  pod.meta.name = "web";
  pod.meta.uid = "u1";
  objects.pods[{"shop", "web"}] = pod;
  starting.add("u1", {"10.0.0.9", "fd00::9"});
  const auto settled = [&](std::vector<std::string> addresses, const std::string& phase = "Pending") {
    objects.pods.begin()->second.addresses = std::move(addresses);
    objects.pods.begin()->second.phase = phase;
    const bool gone = !starting.settle(objects).empty();
    CHECK(gone == !starting.contains("u1"));
    starting.add("u1", {"10.0.0.9", "fd00::9"});
    return gone;
  };
  CHECK_FALSE(settled({}));
  CHECK_FALSE(settled({"10.0.0.8"}));  // of the sandbox before
  CHECK(settled({"10.0.0.9"}));
  CHECK(settled({"fd00:0::9", "10.0.0.9"}));
  CHECK(settled({}, "Failed"));
  objects.pods.clear();
  CHECK(starting.settle(objects) == std::vector<std::string>{"u1"});
}

TEST_CASE("a sandbox made anew with the addresses the API knows already is found where the plugin said") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod().addresses = {"10.0.0.9"};
  Plugin plugin(node);
  CHECK(plugin.answer().empty());
  node.cni->settle(node.objects);
  CHECK(node.cni->addresses().empty());
  CHECK_FALSE(node.finder->given("u1").empty());
  node.capture(netns_id());
  CHECK(plugin.answer() == "captured");
  CHECK(node.finder->given("u1").empty());
}

TEST_CASE("the list on disk names the namespaces of which some pod may be enrolled, never Weir's own") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_namespace("bare");
  node.add_namespace("off", kDisabled);
  node.add_namespace("weir-system", kEnabled);
  Pod pod;
  pod.meta.ns = "bare";
  pod.meta.name = "one";
  pod.meta.labels = kEnabled;
  node.objects.pods[{"bare", "one"}] = pod;
  node.cni->objects_changed(node.objects);
  const auto file = cni::read_enrolled(node.path / "enrolled");
  CHECK(file.state == cni::EnrolledFile::State::read);
  CHECK(file.namespaces == std::set<std::string>{"bare", "shop"});
  node.objects.pods.clear();
  node.cni->objects_changed(node.objects);
  CHECK(cni::read_enrolled(node.path / "enrolled").namespaces == std::set<std::string>{"shop"});
  node.objects.settings = MeshSettings();
  node.objects.settings->enrol_nobody = true;
  node.cni->objects_changed(node.objects);
  CHECK(cni::read_enrolled(node.path / "enrolled").namespaces.empty());
}

TEST_CASE("a list that cannot be written is said and tried again") {
  CniNode node;
  std::filesystem::create_directory(node.path / "enrolled");  // a rename onto it fails
  node.add_namespace("shop", kEnabled);
  node.cni->objects_changed(node.objects);
  CHECK_FALSE(node.cni->file_error().empty());
  std::filesystem::remove(node.path / "enrolled");
  node.wait(2100);
  CHECK(node.cni->file_error().empty());
  CHECK(cni::read_enrolled(node.path / "enrolled").namespaces == std::set<std::string>{"shop"});
}

TEST_CASE("what is no question is hung up on, and a plugin that goes is forgotten") {
  CniNode node;
  node.add_namespace("shop", kEnabled);
  node.add_pod();
  {
    auto connected = connect_unix(node.path / "cni.sock");
    REQUIRE(connected);
    REQUIRE(::send(connected->get(), "hello\n", 6, 0) == 6);
    node.wait();
    char byte = 0;
    CHECK(::recv(connected->get(), &byte, 1, MSG_DONTWAIT) == 0);
  }
  {
    Plugin plugin(node);
    CHECK(plugin.answer().empty());
    CHECK(node.cni->waiting() == 1);
  }
  node.wait();
  CHECK(node.cni->waiting() == 0);
  node.capture(netns_id());
  node.wait();
}
