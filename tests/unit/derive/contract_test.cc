// The contract itself: whatever is derived, the proxy takes. What it refused would stand in quarantine, with all routes
// of a service for the sake of one.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "nodeproxy/config/build.h"
#include "tests/unit/derive/yaml_world.h"

using namespace weir::agent;

namespace {

// What the proxy says of everything derived; empty: it took it.
std::string refusal_of(const World& world) {
  pb::Update update;
  update.set_version(1);
  update.set_full_state(true);
  for (const auto& [id, bytes] : world.derived().resources) {
    REQUIRE(update.add_changed()->ParseFromString(bytes));
  }
  weir::config::Builder builder;
  const auto applied = builder.apply(update);
  return applied ? "" : weir::config::describe(applied.error());
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("the proxy takes what the README's manifests become") {
  const std::string text = text_of("README.md");
  const std::string fence = "```yaml\n";
  YamlWorld world;
  world.web();
  for (size_t at = text.find(fence); at != std::string::npos; at = text.find(fence, at + 1)) {
    world.add(text.substr(at + fence.size(), text.find("```", at + fence.size()) - at - fence.size()));
  }
  CHECK(refusal_of(world).empty());
  CHECK(world.tables() == "shop/web:80");
}

TEST_CASE("the proxy takes every manifest of the fuzzer's corpus that the agent takes") {
  size_t taken = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/corpus/agent_yaml_fuzz")) {
    CAPTURE(entry.path().string());
    Parsed parsed = parse_yaml("a.yaml", text_of(entry.path()));
    World world;
    for (const auto& policy : parsed.refused_policies) world.objects.add(policy);
    for (auto& object : parsed.objects) world.objects.add(std::move(object));
    CHECK(refusal_of(world).empty());
    ++taken;
  }
  CHECK(taken > 5);
}

TEST_CASE("the proxy takes the largest and the oddest that the schemas allow") {
  YamlWorld world;
  world.web();
  std::string rules;
  for (int i = 0; i < 16; ++i) {
    rules += (i == 0 ? "" : ", ") + std::string("{matches: [");
    for (int j = 0; j < 8; ++j) {
      rules += (j == 0 ? "" : ", ") + std::string("{path: {type: RegularExpression, value: '/") +
               std::string(1000, 'a') + std::to_string(i * 8 + j) + "'}, headers: [{name: Host, value: a}]}";
    }
    rules += "]}";
  }
  world.rules("large", rules);
  world.rules("odd", R"({matches: [{path: {value: "/%7E%c3%a4;x=1/@:,"}, method: CONNECT,
      headers: [{name: "!#$%&'*+-.^_`|~", value: "~ !\t\"x"}, {type: RegularExpression, name: a, value: '[\x{e4}]?'}],
      queryParams: [{name: content-length, value: "\xc3\xa4 "}]}],
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: ""}}},
      {type: CORS, cors: {allowOrigins: ["https://*:65535", "http://*.a-b.C"], allowHeaders: [Content-Length]}}],
    timeouts: {request: 1193h, backendRequest: 0s}, retry: {codes: [400, 599], attempts: 100, backoff: 1193h},
    sessionPersistence: {cookie: {name: "__Host-a"}, absoluteTimeout: 1h}})");
  world.rules("odd", "{matches: [{method: {type: RegularExpression, service: 'a|(b)', method: '.'}}]}", 0,
              "GRPCRoute");
  CHECK(refusal_of(world).empty());
}
