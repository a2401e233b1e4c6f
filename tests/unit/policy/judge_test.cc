// The meaning of policies at layer 4, as tables: api.md "Weir's kinds", with the rules that peers got wrong.
#include "nodeproxy/policy/judge.h"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>
#include <random>

using namespace weir;
using config::Action;
using config::Policy;
using config::Rule;
using config::TlsMode;

namespace {

const char kWeb[] = "spiffe://cluster.local/ns/shop/sa/web";

Ip ip(std::string_view text) { return *Ip::parse(text); }

config::Match match() { return {}; }

config::Match principals(std::vector<std::string> values) {
  config::Match match;
  match.principals = std::move(values);
  return match;
}

Rule rule(std::vector<config::Match> from, std::vector<config::Match> to = {},
          std::vector<config::Match> when = {}) {
  return {"rule 0", std::move(from), std::move(to), std::move(when)};
}

Policy policy_of(Action action, std::vector<Rule> rules, bool invalid = false) {
  return {"shop/policy", action, std::move(rules), invalid};
}

config::Workload workload(std::vector<Policy> policies, std::vector<uint16_t> ports = {}) {
  config::Workload workload;
  for (Policy& each : policies)
    workload.policies.push_back({std::make_shared<const Policy>(std::move(each)), ports});
  return workload;
}

bool allowed(const config::Workload& destination, std::string_view identity,
             std::string_view from = "10.0.0.1", uint16_t port = 80) {
  return policy::judge(destination, port, {identity, ip(from)}).allowed;
}

// Whether a rule with only `from` matches, asked through an Allow.
bool matches(const config::Match& from, std::string_view identity, std::string_view address = "10.0.0.1",
             uint16_t port = 80) {
  return allowed(workload({policy_of(Action::allow, {rule({from})})}), identity, address, port);
}

}  // namespace

TEST_CASE("no policy: allowed; any Allow: what none allows is denied; Deny comes before Allow") {
  const auto everybody = rule({});
  const auto nobody = rule({principals({"cluster.local/ns/other/sa/other"})});
  struct Row {
    std::vector<Policy> policies;
    bool allowed;
    Reason reason;
  };
  const auto allow = [](Rule r) { return policy_of(Action::allow, {std::move(r)}); };
  const auto deny = [](Rule r) { return policy_of(Action::deny, {std::move(r)}); };
  for (const Row& row : {
           Row{{}, true, Reason::none},
           Row{{allow(everybody)}, true, Reason::none},
           Row{{allow(nobody)}, false, Reason::not_allowed},
           Row{{allow(nobody), allow(everybody)}, true, Reason::none},
           Row{{deny(everybody)}, false, Reason::denied},
           Row{{deny(nobody)}, true, Reason::none},
           Row{{allow(everybody), deny(everybody)}, false, Reason::denied},
           Row{{deny(nobody), allow(nobody)}, false, Reason::not_allowed},
           Row{{allow(nobody), deny(everybody)}, false, Reason::denied},
           Row{{policy_of(Action::allow, {})}, false, Reason::not_allowed},  // "allow nothing"
           Row{{policy_of(Action::deny, {})}, true, Reason::none},
           Row{{policy_of(Action::audit, {everybody})}, true, Reason::none},
       }) {
    const auto verdict = policy::judge(workload(row.policies), 80, {kWeb, ip("10.0.0.1")});
    CHECK(verdict.allowed == row.allowed);
    CHECK(verdict.reason == row.reason);
  }
}

TEST_CASE("a verdict names the policy and the rule that decided it") {
  const auto destination = workload({policy_of(Action::allow, {rule({})}),
                                     {"shop/lock",
                                      Action::deny,
                                      {{"first", {principals({"x/y"})}, {}, {}}, {"second", {}, {}, {}}},
                                      false}});
  const auto verdict = policy::judge(destination, 80, {kWeb, ip("10.0.0.1")});
  REQUIRE(verdict.policy != nullptr);
  REQUIRE(verdict.rule != nullptr);
  CHECK(verdict.policy->name == "shop/lock");
  CHECK(verdict.rule->name == "second");
  const auto none = policy::judge(workload({policy_of(Action::allow, {})}), 80, {kWeb, ip("10.0.0.1")});
  CHECK(none.policy == nullptr);
  CHECK(none.rule == nullptr);
}

TEST_CASE("principals match whole, or by a trailing star, never as a regular expression") {
  struct Row {
    const char* pattern;
    bool web, other_case, none;
  };
  for (const Row& row : {
           Row{"cluster.local/ns/shop/sa/web", true, false, false},
           Row{"cluster.local/ns/shop/sa/we", false, false, false},
           Row{"cluster.local/ns/shop/sa/web2", false, false, false},
           Row{"cluster.local/ns/shop/sa/*", true, true, false},
           Row{"cluster.local/ns/shop/sa/web*", true, false, false},
           Row{"cluster.local/*", true, true, false},
           Row{"*", true, true, false},
           Row{"cluster.local/ns/shop/sa/.eb", false, false, false},
           Row{"cluster.local/ns/.*", false, false, false},
           Row{"clusterxlocal/ns/shop/sa/web", false, false, false},
           Row{"web", false, false, false},
       }) {
    CAPTURE(row.pattern);
    CHECK(matches(principals({row.pattern}), kWeb) == row.web);
    CHECK(matches(principals({row.pattern}), "spiffe://cluster.local/ns/shop/sa/Web") == row.other_case);
    CHECK(matches(principals({row.pattern}), "") == row.none);
  }
}

TEST_CASE("a star is any authenticated peer, and its not-twin everybody else") {
  CHECK(matches(principals({"*"}), kWeb));
  CHECK_FALSE(matches(principals({"*"}), ""));
  config::Match unauthenticated;
  unauthenticated.not_principals = {"*"};
  CHECK_FALSE(matches(unauthenticated, kWeb));
  CHECK(matches(unauthenticated, ""));
}

TEST_CASE("namespaces are those of the peer's identity, whole or by a trailing star") {
  config::Match shop, not_shop, star;
  shop.namespaces = {"shop"};
  not_shop.not_namespaces = {"shop"};
  star.namespaces = {"sh*"};
  struct Row {
    const char* identity;
    bool in_shop, in_not_shop, in_star;
  };
  for (const Row& row : {
           Row{kWeb, true, false, true},
           Row{"spiffe://cluster.local/ns/shop2/sa/web", false, true, true},
           Row{"spiffe://cluster.local/ns/other/sa/shop", false, true, false},
           Row{"spiffe://shop/ns/other/sa/web", false, true, false},
           Row{"spiffe://cluster.local/vm/ns/shop/sa/web", false, true, false},
           Row{"spiffe://cluster.local/ns/shop/sa/web/extra", false, true, false},
           Row{"spiffe://cluster.local/ns/shop", false, true, false},
           Row{"", false, true, false},
       }) {
    CAPTURE(row.identity);
    CHECK(matches(shop, row.identity) == row.in_shop);
    CHECK(matches(not_shop, row.identity) == row.in_not_shop);
    CHECK(matches(star, row.identity) == row.in_star);
  }
}

TEST_CASE("IP blocks and ports, and their not-twins, judge the client's address and the workload's port") {
  config::Match blocks, not_blocks, ports, not_ports;
  blocks.ip_blocks = {*Prefix::parse("10.0.0.0/24"), *Prefix::parse("fd00::/16")};
  not_blocks.not_ip_blocks = blocks.ip_blocks;
  ports.ports = {80, 443};
  not_ports.not_ports = ports.ports;
  for (const auto& [address, inside] :
       {std::pair{"10.0.0.77", true}, {"10.0.1.77", false}, {"fd00::9", true}, {"fe00::9", false}}) {
    CAPTURE(address);
    CHECK(matches(blocks, "", address) == inside);
    CHECK(matches(not_blocks, "", address) == !inside);
  }
  for (const auto& [port, listed] :
       {std::pair{uint16_t{80}, true}, {uint16_t{443}, true}, {uint16_t{8080}, false}}) {
    CAPTURE(port);
    CHECK(matches(ports, "", "10.0.0.1", port) == listed);
    CHECK(matches(not_ports, "", "10.0.0.1", port) == !listed);
  }
}

TEST_CASE(
    "lists within a match are and-ed, values of a list or-ed, matches of from and to or-ed, of when and-ed") {
  config::Match both = principals({"x/y", "cluster.local/ns/shop/sa/web"});
  both.ip_blocks = {*Prefix::parse("10.0.0.0/24")};
  CHECK(matches(both, kWeb, "10.0.0.1"));
  CHECK_FALSE(matches(both, kWeb, "10.0.1.1"));
  CHECK_FALSE(matches(both, "", "10.0.0.1"));
  both.not_principals = {"cluster.local/ns/shop/*"};
  CHECK_FALSE(matches(both, kWeb, "10.0.0.1"));

  config::Match on_80, on_81;
  on_80.ports = {80};
  on_81.ports = {81};
  const auto yes = principals({"*"}), no = principals({"x/y"});
  struct Row {
    Rule rule;
    bool matches;
  };
  for (const Row& row : {
           Row{rule({no, yes}), true},
           Row{rule({no, no}), false},
           Row{rule({yes}, {on_81, on_80}), true},
           Row{rule({yes}, {on_81}), false},
           Row{rule({no}, {on_80}), false},
           Row{rule({}, {on_80}), true},
           Row{rule({}, {}, {yes, on_80}), true},
           Row{rule({}, {}, {yes, on_81}), false},
           Row{rule({match()}), true},
       }) {
    CHECK(allowed(workload({policy_of(Action::allow, {row.rule})}), kWeb) == row.matches);
    CHECK(allowed(workload({policy_of(Action::deny, {row.rule})}), kWeb) == !row.matches);
  }
}

TEST_CASE("a binding counts on its ports only, also for the question whether any Allow is in force") {
  const auto closed = workload({policy_of(Action::allow, {})}, {8080, 9090});
  CHECK_FALSE(allowed(closed, kWeb, "10.0.0.1", 8080));
  CHECK_FALSE(allowed(closed, kWeb, "10.0.0.1", 9090));
  CHECK(allowed(closed, kWeb, "10.0.0.1", 80));
  const auto locked = workload({policy_of(Action::deny, {rule({})})}, {8080});
  CHECK_FALSE(allowed(locked, kWeb, "10.0.0.1", 8080));
  CHECK(allowed(locked, kWeb, "10.0.0.1", 80));
}

TEST_CASE(
    "a policy that was never accepted: its Allow matches nothing, its Deny everything, whatever its rules "
    "say") {
  for (const auto& rules :
       {std::vector<Rule>{}, std::vector<Rule>{rule({})}, std::vector<Rule>{rule({principals({"x/y"})})}}) {
    const auto deny =
        policy::judge(workload({policy_of(Action::deny, rules, true)}), 80, {kWeb, ip("10.0.0.1")});
    CHECK(deny.reason == Reason::denied);
    REQUIRE(deny.policy != nullptr);
    CHECK(deny.rule == nullptr);
    const auto allow =
        policy::judge(workload({policy_of(Action::allow, rules, true)}), 80, {kWeb, ip("10.0.0.1")});
    CHECK(allow.reason == Reason::not_allowed);
    const auto audit =
        policy::judge(workload({policy_of(Action::audit, rules, true)}), 80, {kWeb, ip("10.0.0.1")});
    CHECK(audit.allowed);
    CHECK(audit.audit_count == 0);
  }
  const auto elsewhere = workload({policy_of(Action::deny, {}, true)}, {8080});
  CHECK(allowed(elsewhere, kWeb));
}

TEST_CASE(
    "an L7 Deny on opaque traffic denies, an L7 Allow on it never matches, an L7 Audit records nothing") {
  config::Match get;
  get.l7 = true;
  for (const bool in_to : {true, false}) {
    const Rule l7 = in_to ? rule({}, {get}) : rule({}, {}, {get});
    CHECK_FALSE(allowed(workload({policy_of(Action::deny, {l7})}), kWeb));
    CHECK_FALSE(allowed(workload({policy_of(Action::allow, {l7})}), kWeb));
    CHECK(policy::judge(workload({policy_of(Action::audit, {l7})}), 80, {kWeb, ip("10.0.0.1")}).audit_count ==
          0);
  }
  // Its layer 4 conditions still count.
  config::Match get_81 = get;
  get_81.ports = {81};
  CHECK(allowed(workload({policy_of(Action::deny, {rule({}, {get_81})})}), kWeb));
  CHECK(allowed(workload({policy_of(Action::deny, {rule({principals({"x/y"})}, {get})})}), kWeb));
  // One alternative that needs no request is enough for an Allow.
  CHECK(allowed(workload({policy_of(Action::allow, {rule({}, {get, match()})})}), kWeb));
}

TEST_CASE("Audit records what it matches and changes no verdict; more than fit are counted") {
  std::vector<Policy> policies{policy_of(Action::deny, {rule({})})};
  for (int i = 0; i < 6; ++i) policies.push_back(policy_of(Action::audit, {rule({})}));
  policies.push_back(policy_of(Action::audit, {rule({principals({"x/y"})})}));
  const auto destination = workload(policies);
  const auto verdict = policy::judge(destination, 80, {kWeb, ip("10.0.0.1")});
  CHECK(verdict.reason == Reason::denied);
  CHECK(verdict.audit_count == 6);
  REQUIRE(verdict.audits().size() == policy::Verdict::kAuditsMax);
  CHECK(verdict.audits()[0].policy == destination.policies[1].policy.get());
  CHECK(verdict.audits()[0].rule == &destination.policies[1].policy->rules[0]);
}

TEST_CASE("a Deny never lets through what its Allow twin would match, for random rules and peers") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto coin = [&](unsigned sides) { return random() % sides == 0; };
  const std::vector<std::string> names{"cluster.local/ns/shop/sa/web", "cluster.local/ns/shop/*", "*",
                                       "td/ns/b/sa/c", "t*"};
  const std::vector<std::string> identities{"", kWeb, "spiffe://td/ns/b/sa/c",
                                            "spiffe://cluster.local/ns/shop/sa/db"};
  for (int round = 0; round < 5000; ++round) {
    config::Match m;
    if (coin(2)) m.principals.push_back(names[random() % names.size()]);
    if (coin(3)) m.not_principals.push_back(names[random() % names.size()]);
    if (coin(3)) m.ports.push_back(static_cast<uint16_t>(80 + random() % 2));
    if (coin(4)) m.not_namespaces.push_back("shop");
    m.l7 = coin(4);
    const Rule r = coin(2) ? rule({m}) : rule({}, {m});
    const std::string& identity = identities[random() % identities.size()];
    const bool allow = allowed(workload({policy_of(Action::allow, {r})}), identity);
    const bool denied = !allowed(workload({policy_of(Action::deny, {r})}), identity);
    REQUIRE((!allow || denied));
    if (!m.l7) REQUIRE(allow == denied);
  }
}

TEST_CASE("Strict refuses what did not come secured; the other modes refuse nothing") {
  CHECK(policy::admit(TlsMode::strict, true));
  REQUIRE_FALSE(policy::admit(TlsMode::strict, false));
  CHECK(policy::admit(TlsMode::strict, false).error().reason == Reason::plaintext_refused);
  for (const bool secured : {true, false}) {
    CHECK(policy::admit(TlsMode::permissive, secured));
    CHECK(policy::admit(TlsMode::disabled, secured));
  }
}

TEST_CASE("the mode of a port goes before the workload's own, both ways") {
  config::Workload workload;
  workload.mode = TlsMode::strict;
  workload.port_modes = {{8080, TlsMode::disabled}, {9090, TlsMode::permissive}};
  CHECK_FALSE(policy::admit(workload.mode_of(80), false));
  CHECK(policy::admit(workload.mode_of(8080), false));
  CHECK(policy::admit(workload.mode_of(9090), false));
  workload.mode = TlsMode::permissive;
  workload.port_modes = {{8080, TlsMode::strict}};
  CHECK(policy::admit(workload.mode_of(80), false));
  CHECK_FALSE(policy::admit(workload.mode_of(8080), false));
}
