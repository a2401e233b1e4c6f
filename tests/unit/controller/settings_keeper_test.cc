// Whose identities are signed: the ConfigMap's word, else the command line's, and never a guess.
#include "agent/controller/settings_keeper.h"

#include <nlohmann/json.hpp>

#include "tests/unit/controller/fake_api.h"

using namespace weir;
using namespace weir::agent;
using namespace weir::agent::controller;
using Json = nlohmann::json;

namespace {

struct World {
  FakeApi api;
  int changes = 0;
  SettingsKeeper settings{"flag.example", api.ask(), [this] { ++changes; }};

  const std::string& after(Result<kube::Answer> answer) {
    api.answer = [answer](const FakeApi::Asked&) { return answer; };
    settings.tick();
    return settings.trust_domain();
  }

  static kube::Answer map(const Json& data) {
    return {200, Json{{"apiVersion", "v1"},
                      {"kind", "ConfigMap"},
                      {"metadata", {{"name", "weir"}, {"namespace", "weir-system"}}},
                      {"data", data}}
                     .dump()};
  }
};

}  // namespace

TEST_CASE("the settings' trust domain counts, and the command line's where they name none") {
  World world;
  CHECK(world.after(World::map({{"trustDomain", "one.example"}})) == "one.example");
  CHECK(world.api.asked.back().path == "/api/v1/namespaces/weir-system/configmaps/weir");
  CHECK(world.after(World::map({{"trustDomain", "two.example"}})) == "two.example");
  CHECK(world.after(World::map({{"clusterName", "west"}})) == "flag.example");
  CHECK(world.changes == 3);
  CHECK(world.after(kube::Answer{404, "{}"}) == "flag.example");
  CHECK(world.changes == 3);
}

TEST_CASE(
    "until the settings have been read there is no trust domain, and what cannot be read leaves what was") {
  const Result<kube::Answer> away = fail(Source::kernel, Reason::io, "connection refused");
  const Result<kube::Answer> broken[] = {away,
                                         kube::Answer{403, "forbidden"},
                                         kube::Answer{200, "{"},
                                         kube::Answer{200, R"({"kind": "List"})"},
                                         World::map({{"trustDomain", "Example.org"}}),
                                         World::map({{"trustDomian", "two.example"}})};
  World world;
  for (const auto& answer : broken) {
    CHECK(world.after(answer).empty());
    CHECK_FALSE(world.settings.trouble().empty());
  }
  CHECK(world.changes == 0);
  REQUIRE(world.after(World::map({{"trustDomain", "one.example"}})) == "one.example");
  CHECK(world.settings.trouble().empty());
  for (const auto& answer : broken) CHECK(world.after(answer) == "one.example");
  CHECK(world.changes == 1);
}
