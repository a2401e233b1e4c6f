// The node's CNI configuration with weir-cni in it, and keeping it there.
#include "agent/enrol/conflist.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "agent/enrol/cni_install.h"

using namespace weir;
using namespace weir::agent;
using nlohmann::json;

namespace {

const PluginConfig kTold{"/run/weir/cni.sock", "/var/lib/weir/state/enrolled-namespaces"};
const char* const kChain = R"({"cniVersion": "1.0.0", "name": "net", "disableCheck": true, "plugins": [
  {"type": "bridge", "ipam": {"type": "host-local"}}, {"type": "portmap", "capabilities": {"portMappings": true}}]})";

json chained(const std::string& text) {
  const auto done = chain_with_weir(text, kTold);
  REQUIRE(done);
  return json::parse(*done);
}

std::string why_not(const std::string& text) {
  const auto done = chain_with_weir(text, kTold);
  REQUIRE_FALSE(done);
  return *done.error().detail;
}

struct CniNode {
  std::filesystem::path path;
  Loop loop;
  CniInstall::Options options;

  CniNode() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-cni-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
    std::filesystem::create_directory(path / "conf");
    write("weir-cni", "the program");
    options.plugin = path / "weir-cni";
    options.bin_dir = path / "bin";
    options.conf_dir = path / "conf";
    options.told = kTold;
    options.check = std::chrono::milliseconds(5000);
    options.debounce = std::chrono::milliseconds(5);
  }
  ~CniNode() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
  std::string read(const std::string& name) const {
    std::ifstream file(path / name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  bool exists(const std::string& name) const { return std::filesystem::exists(path / name); }
  void wait(int ms = 60) {
    const auto end = Loop::Clock::now() + std::chrono::milliseconds(ms);
    while (Loop::Clock::now() < end) loop.run_once(std::chrono::milliseconds(5));
  }
  std::vector<std::string> plugins() const {
    std::vector<std::string> out;
    const json chain = json::parse(read("conf/00-weir.conflist"));
    for (const auto& one : chain["plugins"]) out.push_back(one["type"]);
    return out;
  }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a chain keeps its name, version and plugins, and gets weir-cni as its last") {
  const json before = json::parse(kChain);
  json after = chained(kChain);
  CHECK(after["plugins"].size() == 3);
  CHECK(after["plugins"][2] == json({{"type", "weir-cni"},
                                     {"socket", "/run/weir/cni.sock"},
                                     {"enrolledNamespaces", "/var/lib/weir/state/enrolled-namespaces"}}));
  after["plugins"].erase(2);
  CHECK(after == before);
}

TEST_CASE("the configuration of one plugin becomes a chain of its name") {
  const json after = chained(
      R"({"cniVersion": "0.4.0", "name": "net", "type": "calico", "mtu": 0, "ipam": {"type": "calico-ipam"}})");
  CHECK(after["cniVersion"] == "0.4.0");
  CHECK(after["name"] == "net");
  REQUIRE(after["plugins"].size() == 2);
  CHECK(after["plugins"][0] == json({{"type", "calico"}, {"mtu", 0}, {"ipam", {{"type", "calico-ipam"}}}}));
  // Versions whose results the plugin cannot read are raised.
  CHECK(chained(R"({"name": "net", "type": "x"})")["cniVersion"] == "0.3.1");
  CHECK(chained(R"({"cniVersion": "0.2.0", "name": "net", "plugins": [{"type": "x"}]})")["cniVersion"] ==
        "0.3.1");
}

TEST_CASE("what is no configuration is refused with the reason") {
  CHECK(why_not("{\"name\": \"net\", ") == "is no JSON object");
  CHECK(why_not("[]") == "is no JSON object");
  CHECK(why_not(R"({"plugins": [{"type": "x"}]})") == "has no name");
  CHECK(why_not(R"({"name": "net", "plugins": []})") == "has no plugins");
  CHECK(why_not(R"({"name": "net", "plugins": [{"kind": "x"}]})") == "has a plugin without a type");
  CHECK(why_not(R"({"name": "net"})") == "is neither a chain nor a plugin: it has no type");
}

TEST_CASE("the primary is the first by name that is not ours and does not hold us already") {
  CniNode node;
  const auto primary = [&] {
    const auto found = find_primary(node.path / "conf", "00-weir.conflist");
    REQUIRE(found);
    return *found ? (*found)->file : std::string();
  };
  CHECK(primary().empty());
  node.write("conf/00-weir.conflist", kChain);
  node.write("conf/README", kChain);
  node.write("conf/.10-hidden.conf.123", kChain);
  CHECK(primary().empty());
  node.write("conf/20-late.conf", R"({"name": "late", "type": "x"})");
  node.write("conf/10-early.conflist", kChain);
  CHECK(primary() == "10-early.conflist");
  // Multus, made while our file was there: it has our chain among its delegates.
  node.write("conf/05-multus.conf",
             R"({"name": "m", "type": "multus", "delegates": [{"plugins": [{"type": "weir-cni"}]}]})");
  CHECK(primary() == "10-early.conflist");
  CHECK(first_configuration(node.path / "conf") == "00-weir.conflist");
}

TEST_CASE("binary and configuration are installed, and nothing is written twice") {
  CniNode node;
  node.write("conf/10-net.conflist", kChain);
  const CniInstall install(node.loop, node.options);
  CHECK(install.error().empty());
  CHECK(install.primary() == "10-net.conflist");
  CHECK(node.plugins() == Names{"bridge", "portmap", "weir-cni"});
  CHECK(node.read("bin/weir-cni") == "the program");
  struct stat binary{}, configuration{};
  REQUIRE(::stat((node.path / "bin/weir-cni").c_str(), &binary) == 0);
  CHECK((binary.st_mode & 0777) == 0755);
  REQUIRE(::stat((node.path / "conf/00-weir.conflist").c_str(), &configuration) == 0);
  CHECK((configuration.st_mode & 0777) == 0600);
  node.wait();
  struct stat later{};
  REQUIRE(::stat((node.path / "conf/00-weir.conflist").c_str(), &later) == 0);
  CHECK(later.st_ino == configuration.st_ino);
  CHECK(install.repairs() == 0);
  CHECK(std::distance(std::filesystem::directory_iterator(node.path / "conf"), {}) == 2);
}

TEST_CASE("the primary is followed: changed, replaced by another, gone and back") {
  CniNode node;
  const CniInstall install(node.loop, node.options);
  CHECK_FALSE(node.exists("conf/00-weir.conflist"));
  CHECK(install.error().empty());
  node.write("conf/10-net.conflist", kChain);
  node.wait();
  CHECK(node.plugins() == Names{"bridge", "portmap", "weir-cni"});
  node.write("conf/10-net.conflist", R"({"name": "net", "type": "ptp"})");
  node.wait();
  CHECK(node.plugins() == Names{"ptp", "weir-cni"});
  node.write("conf/05-other.conf", R"({"name": "other", "type": "cilium-cni"})");
  node.wait();
  CHECK(node.plugins() == Names{"cilium-cni", "weir-cni"});
  CHECK(json::parse(node.read("conf/00-weir.conflist"))["name"] == "other");
  std::filesystem::remove(node.path / "conf/05-other.conf");
  std::filesystem::remove(node.path / "conf/10-net.conflist");
  node.wait();
  CHECK_FALSE(node.exists("conf/00-weir.conflist"));
  node.write("conf/10-net.conflist", kChain);
  node.wait();
  CHECK(node.plugins() == Names{"bridge", "portmap", "weir-cni"});
  CHECK(install.repairs() == 0);
}

TEST_CASE("ours is put back when somebody removes or changes it, and that is counted") {
  CniNode node;
  node.write("conf/10-net.conflist", kChain);
  const CniInstall install(node.loop, node.options);
  const std::string whole = node.read("conf/00-weir.conflist");
  std::filesystem::rename(node.path / "conf/00-weir.conflist",
                          node.path / "conf/00-weir.conflist.cilium_bak");
  node.wait();
  CHECK(node.read("conf/00-weir.conflist") == whole);
  CHECK(install.repairs() == 1);
  node.write("conf/00-weir.conflist", "{}");
  node.wait();
  CHECK(node.read("conf/00-weir.conflist") == whole);
  CHECK(install.repairs() == 2);
}

TEST_CASE("a primary that cannot be read leaves ours as it is, and the error says which") {
  CniNode node;
  node.write("conf/10-net.conflist", kChain);
  const CniInstall install(node.loop, node.options);
  const std::string whole = node.read("conf/00-weir.conflist");
  node.write("conf/10-net.conflist", "{\"name\": ");
  node.wait();
  CHECK(node.read("conf/00-weir.conflist") == whole);
  CHECK_THAT(install.error(), Catch::Contains("10-net.conflist is no JSON object"));
  node.write("conf/10-net.conflist", kChain);
  node.wait();
  CHECK(install.error().empty());
}

TEST_CASE("a configuration that sorts before ours is said to defeat it") {
  CniNode node;
  node.write("conf/10-net.conflist", kChain);
  node.write("conf/00-multus.conf", R"({"name": "m", "type": "multus"})");
  const CniInstall install(node.loop, node.options);
  CHECK_THAT(install.error(), Catch::Contains("00-multus.conf is before 00-weir.conflist"));
}

TEST_CASE("another program of the same name is replaced by the one that came with this agent") {
  CniNode node;
  std::filesystem::create_directory(node.path / "bin");
  node.write("bin/weir-cni", "an older program");
  node.write("conf/10-net.conflist", kChain);
  const CniInstall install(node.loop, node.options);
  CHECK(node.read("bin/weir-cni") == "the program");
}

TEST_CASE("without the program nothing is installed, and without a directory neither is there an error") {
  CniNode node;
  node.write("conf/10-net.conflist", kChain);
  std::filesystem::remove(node.path / "weir-cni");
  {
    const CniInstall install(node.loop, node.options);
    CHECK_THAT(install.error(), Catch::Contains("cannot read"));
    CHECK_FALSE(node.exists("conf/00-weir.conflist"));
    node.write("weir-cni", "the program");
    node.wait(1100);
    CHECK(install.error().empty());
    CHECK(node.exists("conf/00-weir.conflist"));
  }
  node.options.conf_dir = node.path / "not-there";
  const CniInstall install(node.loop, node.options);
  CHECK(install.error().empty());
}

TEST_CASE("uninstalling removes both and nothing else, also twice") {
  CniNode node;
  node.write("conf/10-net.conflist", kChain);
  {
    const CniInstall install(node.loop, node.options);
  }
  CHECK(node.exists("conf/00-weir.conflist"));
  for (int times = 0; times < 2; ++times) {
    CHECK(CniInstall::uninstall(node.options));
    CHECK_FALSE(node.exists("conf/00-weir.conflist"));
    CHECK_FALSE(node.exists("bin/weir-cni"));
    CHECK(node.exists("conf/10-net.conflist"));
  }
  node.options.conf_dir = node.path / "not-there";
  CHECK(CniInstall::uninstall(node.options));
}
