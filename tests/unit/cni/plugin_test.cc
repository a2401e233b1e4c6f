// The plugin as a runtime sees it: environment and configuration in, result or error out, with a fake agent.
#include <nlohmann/json.hpp>

#include "agent/cni/enrolled_file.h"
#include "tests/unit/cni/fake_agent.h"

using namespace weir::cni;
using nlohmann::json;

namespace {

const json kPrevious = {
    {"cniVersion", "1.0.0"},
    {"interfaces",
     {{{"name", "cni0"}}, {{"name", "veth1"}}, {{"name", "eth0"}, {"sandbox", "/var/run/netns/cni-1"}}}},
    {"ips",
     {{{"address", "10.1.0.7/24"}, {"interface", 2}},
      {{"address", "10.1.0.1/24"}, {"interface", 0}},
      {{"address", "fd00:1::7/64"}, {"interface", 2}}}},
    {"dns", json::object()},
    {"other", "kept"}};

struct World {
  TempDirectory directory;
  json config = {{"cniVersion", "1.0.0"},
                 {"name", "net"},
                 {"type", "weir-cni"},
                 {"socket", (directory.path / "cni.sock").string()},
                 {"enrolledNamespaces", (directory.path / "enrolled").string()},
                 {"waitMs", 300},
                 {"restartMs", 0},
                 {"prevResult", kPrevious}};
  std::string ns = "shop";

  Outcome run(const std::string& command) const {
    Call call;
    call.environment = {{"CNI_COMMAND", command},
                        {"CNI_CONTAINERID", "c1"},
                        {"CNI_NETNS", "/var/run/netns/cni-1"},
                        {"CNI_IFNAME", "eth0"},
                        {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=" + ns +
                                         ";K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1"}};
    call.config = config.dump();
    return weir::cni::run(call);
  }
  std::filesystem::path socket() const { return directory.path / "cni.sock"; }
  void enrol(const std::set<std::string>& namespaces) const {
    directory.write("enrolled", enrolled_text(namespaces));
  }
};

json error_of(const Outcome& outcome) {
  CHECK(outcome.code == 1);
  return json::parse(outcome.output);
}

FakeAgent::Reply always(Verdict verdict, bool again = true, std::string message = "") {
  return [=](const Question&) { return to_line(Answer{verdict, again, message}); };
}

}  // namespace

TEST_CASE("the agent is asked about the pod, and the result before is passed on unchanged") {
  World world;
  FakeAgent agent(world.socket(), always(Verdict::captured));
  const Outcome outcome = world.run("ADD");
  CHECK(outcome.code == 0);
  CHECK(json::parse(outcome.output) == kPrevious);
  REQUIRE(agent.questions().size() == 1);
  Question asked = agent.questions()[0];
  CHECK(asked.wait_ms > 0);
  CHECK(asked.wait_ms <= 300);
  asked.wait_ms = 0;
  CHECK(asked ==
        Question{"ADD", "shop", "web-0", "u1", "c1", "/var/run/netns/cni-1", {"10.1.0.7", "fd00:1::7"}, 0});
}

TEST_CASE("a pod that is not enrolled starts, and one that is refused does not") {
  World world;
  {
    FakeAgent agent(world.socket(), always(Verdict::not_enrolled));
    CHECK(world.run("ADD").code == 0);
  }
  {
    FakeAgent agent(world.socket(), always(Verdict::refused, true, "no proxy"));
    const json error = error_of(world.run("ADD"));
    CHECK(error["code"] == 11);
    CHECK(error["msg"] == "weir: no proxy");
    CHECK(error["cniVersion"] == "1.0.0");
  }
  FakeAgent agent(world.socket(), always(Verdict::refused, false, "runs in a sandbox"));
  CHECK(error_of(world.run("ADD"))["code"] == 100);
  CHECK(error_of(world.run("CHECK"))["code"] == 100);
}

TEST_CASE("without an agent the pods of enrolled namespaces wait, and those of others start") {
  World world;
  world.enrol({"end", "shop"});
  const json error = error_of(world.run("ADD"));
  CHECK(error["code"] == 11);
  CHECK_THAT(error["msg"].get<std::string>(), Catch::Contains("namespace shop is enrolled"));
  world.ns = "end";
  CHECK(error_of(world.run("ADD"))["code"] == 11);
  world.ns = "other";
  const Outcome passed = world.run("ADD");
  CHECK(passed.code == 0);
  CHECK(json::parse(passed.output) == kPrevious);
  CHECK_THAT(passed.note, Catch::Contains("no answer from the agent"));
}

TEST_CASE("Weir's own pods are not even asked about, and those of kube-system are never held back") {
  World world;
  world.enrol({"kube-system", "weir-system"});
  FakeAgent agent(world.socket(), always(Verdict::refused, true, "no proxy"));
  world.ns = "weir-system";
  CHECK(world.run("ADD").code == 0);
  CHECK(agent.questions().empty());
  world.ns = "kube-system";
  const Outcome outcome = world.run("ADD");
  CHECK(outcome.code == 0);
  CHECK_THAT(outcome.note, Catch::Contains("no proxy"));
  CHECK(agent.questions().size() == 1);
}

TEST_CASE("a damaged list holds every namespace back, and a missing one nobody") {
  World world;
  CHECK(world.run("ADD").code == 0);
  CHECK_THAT(world.run("ADD").note, Catch::Contains("no list of enrolled namespaces"));
  world.directory.write("enrolled", "weir enrolled-namespaces 1\n- other\n");
  CHECK_THAT(error_of(world.run("ADD"))["msg"].get<std::string>(), Catch::Contains("is damaged"));
  world.ns = "kube-system";
  CHECK(world.run("ADD").code == 0);
}

TEST_CASE("an agent that dies over the question is waited for, and its successor asked") {
  World world;
  world.enrol({"shop"});
  world.config["restartMs"] = 5000;
  world.config["waitMs"] = 5000;
  int asked = 0;
  FakeAgent agent(world.socket(), [&](const Question&) {
    return ++asked < 3 ? std::string() : to_line(Answer{Verdict::captured, false, ""});
  });
  CHECK(world.run("ADD").code == 0);
  CHECK(agent.questions().size() == 3);
}

TEST_CASE("a silent agent holds up only pods of enrolled namespaces, and not for ever") {
  World world;
  world.config["waitMs"] = 50;
  world.config["restartMs"] = 5000;
  FakeAgent agent(world.socket(), [](const Question&) { return "silent"; });
  world.enrol({"other"});
  CHECK(world.run("ADD").code == 0);
  world.enrol({"shop"});
  CHECK(error_of(world.run("ADD"))["code"] == 11);
  CHECK(agent.questions().size() == 2);
}

TEST_CASE("an answer in no known words is no permission") {
  World world;
  world.enrol({"shop"});
  for (const char* text :
       {"{}\n", "captured\n", "{\"verdict\":\"fine\",\"again\":true,\"message\":\"\"}\n", "[]\n"}) {
    FakeAgent agent(world.socket(), [&](const Question&) { return text; });
    CHECK(error_of(world.run("ADD"))["code"] == 11);
  }
}

TEST_CASE("DEL never fails, whatever it is given") {
  World world;
  CHECK(world.run("DEL").code == 0);
  {
    FakeAgent agent(world.socket(), [](const Question&) { return ""; });
    CHECK(world.run("DEL").code == 0);
    REQUIRE(agent.questions().size() == 1);
    CHECK(agent.questions()[0].command == "DEL");
  }
  world.config.erase("prevResult");
  CHECK(world.run("DEL").code == 0);
  world.config["cniVersion"] = "9.9";
  CHECK(world.run("DEL").code == 0);
  CHECK(weir::cni::run({{{"CNI_COMMAND", "DEL"}}, "not json"}).code == 0);
}

TEST_CASE("versions are told, and others than those refused") {
  World world;
  const json told = json::parse(world.run("VERSION").output);
  CHECK(told["cniVersion"] == "1.0.0");
  CHECK(told["supportedVersions"] == json({"0.3.1", "0.4.0", "1.0.0", "1.1.0"}));
  CHECK(json::parse(weir::cni::run({{{"CNI_COMMAND", "VERSION"}}, ""}).output)["cniVersion"] == "1.1.0");
  for (const char* version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    world.config["cniVersion"] = version;
    CHECK(world.run("ADD").code == 0);
  }
  for (const char* version : {"0.2.0", "2.0.0", ""}) {
    world.config["cniVersion"] = version;
    CHECK(error_of(world.run("ADD"))["code"] == 1);
  }
}

TEST_CASE("what is no call of a chained plugin gets the specification's error") {
  World world;
  CHECK(error_of(weir::cni::run({{{"CNI_COMMAND", "ADD"}}, "{"}))["code"] == 6);
  CHECK(error_of(weir::cni::run({{{"CNI_COMMAND", "JUMP"}}, "{}"}))["code"] == 4);
  CHECK(error_of(weir::cni::run({{}, "{}"}))["code"] == 4);
  world.config.erase("prevResult");
  CHECK(error_of(world.run("ADD"))["code"] == 7);
  CHECK(world.run("STATUS").code == 0);
  CHECK(world.run("GC").code == 0);
}

TEST_CASE("a container that is no pod of Kubernetes passes without a question") {
  World world;
  world.enrol({"shop", ""});
  Call call;
  call.environment = {{"CNI_COMMAND", "ADD"}, {"CNI_ARGS", "IgnoreUnknown=1"}};
  call.config = world.config.dump();
  CHECK(weir::cni::run(call).code == 0);
}
