// The meaning of policies at layer 7: api.md "Rules that peers got wrong", one test for each.
#include <catch2/catch.hpp>
#include <random>

#include "nodeproxy/http/path.h"
#include "nodeproxy/policy/judge.h"

using namespace weir;
using config::Action;
using config::Match;

namespace {

http::Head get(std::string path, std::string authority = "web.shop") {
  http::Head head;
  head.method = "GET";
  head.authority = std::move(authority);
  head.path = std::move(path);
  return head;
}

http::Head with(http::Head head, std::initializer_list<std::pair<const char*, const char*>> fields) {
  for (const auto& [name, value] : fields) head.headers.add(name, value);
  return head;
}

http::Head grpc(std::string path, const char* type = "application/grpc") {
  http::Head head = get(std::move(path));
  head.method = "POST";
  return with(std::move(head), {{"content-type", type}});
}

config::Workload bound(Action action, std::vector<config::Rule> rules, std::vector<uint16_t> ports = {}) {
  config::Workload workload;
  workload.policies.push_back(
      {std::make_shared<const config::Policy>(config::Policy{"shop/p", action, std::move(rules), false}),
       ports});
  return workload;
}

config::Workload bound(Action action, Match match) {
  return bound(action, {{"r", {}, {std::move(match)}, {}}});
}

// As the exchange does it: the target is normalised only where it is looked at.
policy::Verdict judge(const config::Workload& workload, const http::Head& head, uint16_t port = 80) {
  http::Head copy = head;
  const bool refused =
      policy::needs_path(workload, port) && http::normalise_target(copy.path) != http::PathFault::none;
  return policy::judge(workload, port, {"spiffe://td/ns/a/sa/b", *Ip::parse("10.0.0.1")},
                       {copy, http::path_of(copy.path), refused});
}

bool allows(const Match& match, const http::Head& head) {
  return judge(bound(Action::allow, match), head).allowed;
}
bool denies(const Match& match, const http::Head& head) {
  return !judge(bound(Action::deny, match), head).allowed;
}

// For requests that say everything once: Allow and Deny see the same.
bool matches(const Match& match, const http::Head& head) {
  const bool allowed = allows(match, head);
  CHECK(denies(match, head) == allowed);
  return allowed;
}

Match match_hosts(std::vector<std::string> hosts) {
  Match match;
  match.hosts = std::move(hosts);
  return match;
}
Match match_paths(std::vector<std::string> paths) {
  Match match;
  match.paths = std::move(paths);
  return match;
}
Match match_grpc(std::vector<std::string> methods) {
  Match match;
  match.grpc = std::move(methods);
  return match;
}
Match match_header(const char* name, std::vector<std::string> values,
                   std::vector<std::string> not_values = {}) {
  Match match;
  match.headers.push_back({name, std::move(values), std::move(not_values)});
  return match;
}

}  // namespace

TEST_CASE("hosts match without case, trailing dot and port, never as a regular expression") {
  for (const char* authority :
       {"web.shop", "WEB.Shop", "web.shop.", "web.shop:8080", "Web.SHOP.:80", "u@web.shop"}) {
    CAPTURE(authority);
    CHECK(matches(match_hosts({"web.shop"}), get("/", authority)));
  }
  for (const char* authority : {"webxshop", "web.shop.svc", "a.web.shop", "web.sho", ""}) {
    CAPTURE(authority);
    CHECK_FALSE(matches(match_hosts({"web.shop"}), get("/", authority)));
  }
  CHECK(matches(match_hosts({"[fd00::1]"}), get("/", "[FD00::1]:80")));
  CHECK(matches(match_hosts({"[fd00::1]"}), get("/", "[fd00::1]")));
}

TEST_CASE("a host matches by a trailing star or a leading star and dot, which stands for one label or more") {
  const Match leading = match_hosts({"*.example.com"}), trailing = match_hosts({"api.*"}),
              any = match_hosts({"*"});
  CHECK(matches(leading, get("/", "A.Example.com:443")));
  CHECK(matches(leading, get("/", "a.b.example.com.")));
  CHECK_FALSE(matches(leading, get("/", "example.com")));
  CHECK_FALSE(matches(leading, get("/", "xexample.com")));
  CHECK_FALSE(matches(leading, get("/", ".example.com.evil")));
  CHECK_FALSE(matches(leading, get("/", ".example.com")));
  CHECK(matches(trailing, get("/", "API.example.com")));
  CHECK_FALSE(matches(trailing, get("/", "ap")));
  CHECK_FALSE(matches(trailing, get("/", "apix.example.com")));
  CHECK(matches(any, get("/", "anything")));
  CHECK(matches(any, get("/", "")));
}

TEST_CASE("methods match exactly, with their case, or by a trailing star") {
  Match match;
  match.methods = {"GET", "PRO*"};
  CHECK(matches(match, get("/")));
  for (const auto& [method, wanted] : {std::pair{"get", false},
                                       {"GETX", false},
                                       {"PROPFIND", true},
                                       {"PRO", true},
                                       {"PR", false},
                                       {"POST", false}}) {
    http::Head head = get("/");
    head.method = method;
    CAPTURE(method);
    CHECK(matches(match, head) == wanted);
  }
}

TEST_CASE("paths match on the normal form without query, exactly or by a trailing star") {
  const Match exact = match_paths({"/admin"}), begin = match_paths({"/admin*"}),
              below = match_paths({"/admin/*"});
  for (const char* path :
       {"/admin", "/admin?x=/", "//admin", "/%61dmin", "/x/../admin", "/./admin", "/x/%2e%2e/admin"}) {
    CAPTURE(path);
    CHECK(matches(exact, get(path)));
    CHECK(matches(begin, get(path)));
    CHECK_FALSE(matches(below, get(path)));
  }
  for (const char* path : {"/Admin", "/admin/", "/", "/x?/admin", "/admin%2561"}) {
    CAPTURE(path);
    CHECK_FALSE(matches(exact, get(path)));
  }
  CHECK(matches(begin, get("/administrator")));
  CHECK(matches(below, get("/admin/")));
  CHECK(matches(below, get("/admin//a/../b")));
  CHECK(matches(match_paths({"*"}), get("")));  // CONNECT has none, and is one of all
  CHECK_FALSE(matches(match_paths({"/*"}), get("*")));
}

TEST_CASE(
    "a path without a normal form is refused as a bad request where a policy looks at paths, and only "
    "there") {
  for (const char* path : {"/a%2fadmin", "/a\\admin", "/%zz", "/a%00", "/..;/admin"}) {
    CAPTURE(path);
    for (const Action action : {Action::allow, Action::deny, Action::audit}) {
      for (const Match& match : {match_paths({"/x"}), match_grpc({"a/b"}), match_paths({"*"})}) {
        const auto workload = bound(action, match);
        const auto verdict = judge(workload, get(path));
        CHECK_FALSE(verdict.allowed);
        CHECK(verdict.reason == Reason::bad_request);
        CHECK(verdict.policy == workload.policies[0].policy.get());
      }
    }
    Match method;
    method.methods = {"GET"};
    CHECK(judge(bound(Action::allow, method), get(path)).allowed);
    CHECK(judge(bound(Action::allow, {{"r", {}, {match_paths({"/x"})}, {}}}, {8080}), get(path)).allowed);
    CHECK(judge({}, get(path)).allowed);
  }
}

TEST_CASE("a header that comes twice is judged value by value: Deny sees any, Allow needs all") {
  const http::Head both = with(get("/"), {{"X-Role", "guest"}, {"x-role", "admin"}});
  const http::Head twice = with(get("/"), {{"x-role", "admin"}, {"x-other", "1"}, {"X-ROLE", "admin"}});
  const Match admin = match_header("x-role", {"admin"});
  CHECK(denies(admin, both));
  CHECK_FALSE(allows(admin, both));
  CHECK(matches(admin, twice));
  CHECK(allows(match_header("x-role", {"admin", "gu*"}), both));
  // Of values that must not be, likewise: a Deny of what is not a guest sees the admin, an Allow of no admin does too.
  CHECK(denies(match_header("x-role", {}, {"guest"}), both));
  CHECK_FALSE(allows(match_header("x-role", {}, {"admin"}), both));
  CHECK(denies(match_header("x-role", {"*"}, {"guest"}), both));
  CHECK_FALSE(allows(match_header("x-role", {"*"}, {"guest"}), both));
}

TEST_CASE("an Audit of a header that comes twice records what an Allow would let through") {
  const http::Head both = with(get("/"), {{"x", "1"}, {"x", "2"}});
  CHECK(judge(bound(Action::audit, match_header("x", {"1"})), both).audit_count == 0);
  CHECK(judge(bound(Action::audit, match_header("x", {"1", "2"})), both).audit_count == 1);
}

TEST_CASE("a header that is missing meets no value, and every value that it must not have") {
  const http::Head bare = get("/");
  CHECK_FALSE(matches(match_header("x", {"*"}), bare));
  CHECK_FALSE(matches(match_header("x", {"1"}), bare));
  CHECK(matches(match_header("x", {}, {"1"}), bare));
  CHECK(matches(match_header("x", {}, {"*"}), bare));
  CHECK_FALSE(matches(match_header("x", {"*"}, {"1"}), bare));
  CHECK_FALSE(matches(match_header("x", {}, {"*"}), with(bare, {{"x", ""}})));
  CHECK(matches(match_header("x", {"*"}), with(bare, {{"x", ""}})));
}

TEST_CASE("header values match exactly or by a trailing star, with their case, and Host is the authority") {
  const http::Head head = with(get("/", "Web.shop:80"), {{"x-id", "Alice"}});
  CHECK(matches(match_header("X-ID", {"Alice"}), head));
  CHECK(matches(match_header("x-id", {"Al*"}), head));
  for (const char* value : {"alice", "Alic", "Alice2", ".*", "A.ice"})
    CHECK_FALSE(matches(match_header("x-id", {value}), head));
  CHECK(matches(match_header("Host", {"Web.shop:80"}), head));
  CHECK_FALSE(matches(match_header("host", {"other"}), head));
}

TEST_CASE("all header conditions of a match must be met") {
  Match match = match_header("a", {"1"});
  match.headers.push_back({"b", {"2"}, {}});
  CHECK(matches(match, with(get("/"), {{"a", "1"}, {"b", "2"}})));
  CHECK_FALSE(matches(match, with(get("/"), {{"a", "1"}})));
}

TEST_CASE("gRPC conditions match service and method of a gRPC request, and of no other") {
  const Match method = match_grpc({"pkg.Svc/Get"}), service = match_grpc({"pkg.Svc/*"}),
              any = match_grpc({"*"});
  for (const char* type :
       {"application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc-web"}) {
    CAPTURE(type);
    CHECK(matches(method, grpc("/pkg.Svc/Get", type)));
    CHECK(matches(service, grpc("/pkg.Svc/Put", type)));
    CHECK(matches(any, grpc("/x/y", type)));
  }
  CHECK_FALSE(matches(method, grpc("/pkg.Svc/Put")));
  CHECK_FALSE(matches(method, grpc("/pkg.Svc/get")));
  CHECK_FALSE(matches(service, grpc("/pkg.Svc2/Get")));
  CHECK_FALSE(matches(service, grpc("/pkg.Svc/a/Get")));
  for (const char* path : {"/pkg.Svc", "/pkg.Svc/", "/", "//Get"}) CHECK_FALSE(matches(any, grpc(path)));
  for (const char* type : {"application/json", "text/application/grpc", "application/grp"})
    CHECK_FALSE(matches(method, grpc("/pkg.Svc/Get", type)));
  http::Head wrong_method = grpc("/pkg.Svc/Get");
  wrong_method.method = "PUT";
  CHECK_FALSE(matches(any, wrong_method));
  http::Head no_type = get("/pkg.Svc/Get");
  no_type.method = "POST";
  CHECK_FALSE(matches(any, no_type));
  CHECK(matches(method, grpc("/pkg.Svc/x/../Get?q")));
}

TEST_CASE("a request with two content types is gRPC to a Deny and is not to an Allow") {
  const http::Head two = with(grpc("/a.B/C"), {{"Content-Type", "text/plain"}});
  CHECK(denies(match_grpc({"a.B/C"}), two));
  CHECK_FALSE(allows(match_grpc({"a.B/C"}), two));
  Match not_grpc;
  not_grpc.not_grpc = {"a.B/C"};
  CHECK(denies(not_grpc, two));
  CHECK_FALSE(allows(not_grpc, two));
}

TEST_CASE("every list has a twin that matches when none of its values does") {
  Match match;
  match.not_hosts = {"other", "*.example.com"};
  match.not_methods = {"POST"};
  match.not_paths = {"/private*"};
  match.not_grpc = {"a.B/*"};
  CHECK(matches(match, get("/public")));
  CHECK_FALSE(matches(match, get("/public", "OTHER:80")));
  CHECK_FALSE(matches(match, get("/public", "x.example.com")));
  CHECK_FALSE(matches(match, get("/private/x")));
  CHECK_FALSE(matches(match, get("/public/../private")));
  http::Head post = get("/public");
  post.method = "POST";
  CHECK_FALSE(matches(match, post));
  match.not_methods.clear();
  CHECK(matches(match, grpc("/c.D/E")));
  CHECK_FALSE(matches(match, grpc("/a.B/C")));
}

TEST_CASE("conditions of layer 4 and 7 in one match must all be met") {
  Match match = match_paths({"/a"});
  match.ports = {81};
  CHECK_FALSE(matches(match, get("/a")));
  match.ports = {80};
  CHECK(matches(match, get("/a")));
  match.principals = {"td/ns/a/sa/other"};
  CHECK_FALSE(matches(match, get("/a")));
}

TEST_CASE("an L7 Deny on opaque traffic denies and an L7 Allow never matches, whatever they ask") {
  for (const Match& match :
       {match_paths({"/a"}), match_hosts({"a"}), match_grpc({"*"}), match_header("a", {}, {"b"})}) {
    const policy::Peer peer{"spiffe://td/ns/a/sa/b", *Ip::parse("10.0.0.1")};
    CHECK_FALSE(policy::judge(bound(Action::deny, match), 80, peer).allowed);
    CHECK_FALSE(policy::judge(bound(Action::allow, match), 80, peer).allowed);
    CHECK(policy::judge(bound(Action::audit, match), 80, peer).audit_count == 0);
  }
}

TEST_CASE(
    "an L7 condition of a kind that this proxy does not know counts as met by a Deny only, also for "
    "requests") {
  Match unknown;
  unknown.l7 = true;
  CHECK(denies(unknown, get("/")));
  CHECK_FALSE(allows(unknown, get("/")));
}

TEST_CASE("whether requests and their paths are needed follows the policies in force on the port") {
  Match l4, method, only_says;
  l4.ports = {80};
  method.not_methods = {"GET"};
  only_says.l7 = true;
  const auto needs = [](const config::Workload& workload, uint16_t port = 80) {
    return std::pair{policy::needs_request(workload, port), policy::needs_path(workload, port)};
  };
  using Needs = std::pair<bool, bool>;
  CHECK(needs({}) == Needs{false, false});
  CHECK(needs(bound(Action::deny, l4)) == Needs{false, false});
  CHECK(needs(bound(Action::deny, method)) == Needs{true, false});
  CHECK(needs(bound(Action::audit, only_says)) == Needs{true, false});
  CHECK(needs(bound(Action::deny, match_paths({"/a"}))) == Needs{true, true});
  CHECK(needs(bound(Action::allow, match_grpc({"*"}))) == Needs{true, true});
  CHECK(needs(bound(Action::allow, {{"r", {}, {}, {match_paths({"/a"})}}})) == Needs{true, true});
  CHECK(needs(bound(Action::allow, {{"r", {match_header("a", {"*"})}, {}, {}}})) == Needs{true, false});
  const auto elsewhere = bound(Action::deny, {{"r", {}, {match_paths({"/a"})}, {}}}, {8080});
  CHECK(needs(elsewhere) == Needs{false, false});
  CHECK(needs(elsewhere, 8080) == Needs{true, true});
}

TEST_CASE("a verdict on a request names the policy and the rule, and Deny still goes first") {
  config::Workload workload = bound(Action::allow, match_paths({"*"}));
  workload.policies.push_back(
      {std::make_shared<const config::Policy>(config::Policy{
           "shop/lock",
           Action::deny,
           {{"first", {}, {match_hosts({"x"})}, {}}, {"second", {}, {match_paths({"/a"})}, {}}},
           false}),
       {}});
  const auto verdict = judge(workload, get("/a"));
  CHECK(verdict.reason == Reason::denied);
  REQUIRE(verdict.rule != nullptr);
  CHECK(verdict.rule->name == "second");
  CHECK(judge(workload, get("/b")).allowed);
  CHECK(judge(bound(Action::allow, match_paths({"/a"})), get("/b")).reason == Reason::not_allowed);
}

TEST_CASE("a Deny never lets through what its Allow twin would match, for random matches and requests") {
  const unsigned seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto one_of = [&](std::vector<std::string> values) { return values[random() % values.size()]; };
  const auto coin = [&](unsigned sides) { return random() % sides == 0; };
  for (int round = 0; round < 5000; ++round) {
    Match match;
    const auto some = [&](std::vector<std::string>& list, std::vector<std::string> values) {
      if (coin(3)) list.push_back(one_of(std::move(values)));
    };
    some(match.hosts, {"a", "*.a", "a*", "*"});
    some(match.not_hosts, {"b", "*.a"});
    some(match.methods, {"GET", "P*"});
    some(match.not_methods, {"POST"});
    some(match.paths, {"/a", "/a/*", "*"});
    some(match.not_paths, {"/a/b"});
    some(match.grpc, {"a/b", "a/*", "*"});
    some(match.not_grpc, {"a/b", "*"});
    if (coin(2)) match.headers.push_back({"x", {}, {}});
    for (auto& condition : match.headers) {
      some(condition.values, {"1", "2*", "*"});
      some(condition.not_values, {"1", "*"});
    }
    http::Head head = get(one_of({"/a", "/a/b", "/a//b?c", "/%61/c", "/"}), one_of({"a", "x.a", "b", ""}));
    head.method = one_of({"GET", "POST"});
    for (size_t n = random() % 3; n > 0; --n) head.headers.add("x", one_of({"1", "2", "23", ""}));
    for (size_t n = random() % 3; n > 0; --n)
      head.headers.add("content-type", one_of({"application/grpc", "text/plain"}));
    const bool twice = head.headers.count("x") > 1 || head.headers.count("content-type") > 1;
    const bool allowed = allows(match, head), denied = denies(match, head);
    REQUIRE((!allowed || denied));
    if (!twice) REQUIRE(allowed == denied);
  }
}
