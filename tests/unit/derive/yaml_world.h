#pragma once
// A World that is written as YAML, and its derived resources as protobuf text. For the tests of routes, which are easier
// to check against the specification in its own words. Thread: the test's.
#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "agent/files/parse.h"
#include "tests/unit/derive/world.h"

namespace weir::agent {

struct YamlWorld : World {
  explicit YamlWorld(const std::string& yaml = {}) { add(yaml); }

  void add(const std::string& yaml) {
    Parsed parsed = parse_yaml("a.yaml", yaml);
    INFO(yaml << (parsed.error ? parsed.error->text() : ""));
    REQUIRE_FALSE(parsed.error);
    for (auto& object : parsed.objects) objects.add(std::move(object));
  }
  // A service with an address of its own, and ports "http" 80 and "alt" 8080.
  void web(const std::string& name = "web", const std::string& ns = "shop") {
    auto& web = service(name, {{"app", name}}, ns);
    web.addresses = {"10.96.0.1"};
    web.ports.push_back({.name = "alt", .target_name = "", .port = 8080});
  }
  // `spec` in YAML, of route shop/NAME unless it says "ns/name"; `created`: the day in January 2026, 0: unknown.
  void route(const std::string& name, const std::string& spec, int created = 0,
             const char* kind = "HTTPRoute") {
    const size_t slash = name.find('/');
    const std::string ns = slash == std::string::npos ? "shop" : name.substr(0, slash);
    std::string meta =
        "name: " + name.substr(slash == std::string::npos ? 0 : slash + 1) + ", namespace: " + ns;
    if (created > 0) {
      meta += ", creationTimestamp: \"2026-01-" + std::string(created < 10 ? "0" : "") +
              std::to_string(created) + "T00:00:00Z\"";
    }
    add("apiVersion: gateway.networking.k8s.io/v1\nkind: " + std::string(kind) + "\nmetadata: {" + meta +
        "}\nspec: " + spec);
  }
  // The same, attached to Service shop/web, with these rules.
  void rules(const std::string& name, const std::string& rules, int created = 0,
             const char* kind = "HTTPRoute") {
    route(name,
          "{parentRefs: [{group: \"\", kind: Service, name: web, namespace: shop}], rules: [" + rules + "]}",
          created, kind);
  }

  pb::RouteTable table(const std::string& name) const {
    const auto found = resource(pb::ROUTES, name);
    INFO(name << " is not among " << tables());
    REQUIRE(found);
    return found->routes();
  }
  // Names of all tables, with blanks between.
  std::string tables() const {
    std::string out;
    for (const auto& [id, bytes] : derived().resources) {
      if (id.kind == pb::ROUTES) out += (out.empty() ? "" : " ") + id.name;
    }
    return out;
  }
  // The names of the rules that matches lead to, in the order of precedence, each with its path.
  std::string order(const std::string& name = "shop/web") const {
    std::string out;
    const pb::RouteTable found = table(name);
    for (const auto& match : found.matches())
      out += (out.empty() ? "" : " ") + found.rules(match.rule()).name();
    return out;
  }
  // "HTTPRoute shop/a: …", a line each.
  std::string notes() const {
    std::string out;
    for (const auto& note : derived().notes) out += note.object + ": " + note.text + "\n";
    return out;
  }
};

// The message as text, and what it is expected to be.
template <typename Message>
void check_text(const Message& got, const std::string& expected) {
  Message wanted;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(expected, &wanted));
  CHECK(got.DebugString() == wanted.DebugString());
}

}  // namespace weir::agent
