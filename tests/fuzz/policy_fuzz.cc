// Policies and requests, whatever a client sends. Three things must hold for any match: a Deny of it refuses whatever an
// Allow of it lets through; what is refused to (or let through for) opaque traffic, of which nothing is known, agrees with
// what is known of the request; and a path without a normal form is refused where the match looks at paths.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "nodeproxy/http/path.h"
#include "nodeproxy/policy/judge.h"
#include "tests/fuzz/bytes.h"

namespace {

using namespace weir;
using config::Action;

constexpr std::string_view kHosts[] = {"a", "*.a", "a*", "*", "b.a"};
constexpr std::string_view kMethods[] = {"GET", "POST", "P*", "*"};
constexpr std::string_view kPaths[] = {"/", "/a", "/a/*", "/a*", "*", "/a/b"};
constexpr std::string_view kGrpc[] = {"a/b", "a/*", "*"};
constexpr std::string_view kValues[] = {"1", "1*", "*"};
constexpr std::string_view kNames[] = {"x", "content-type", "host"};
constexpr std::string_view kTypes[] = {"application/grpc", "application/grpc+proto", "text/plain", ""};

void require(bool holds) {
  if (!holds) std::abort();
}

template <size_t kCount>
void some(fuzz::Bytes& bytes, std::vector<std::string>& list, const std::string_view (&words)[kCount]) {
  for (size_t n = bytes.below(6); n > 3; --n) list.emplace_back(bytes.one_of(words));
}

config::Match match(fuzz::Bytes& bytes) {
  config::Match match;
  some(bytes, match.hosts, kHosts);
  some(bytes, match.not_hosts, kHosts);
  some(bytes, match.methods, kMethods);
  some(bytes, match.not_methods, kMethods);
  some(bytes, match.paths, kPaths);
  some(bytes, match.not_paths, kPaths);
  some(bytes, match.grpc, kGrpc);
  some(bytes, match.not_grpc, kGrpc);
  for (size_t n = bytes.below(3); n > 0; --n) {
    config::HeaderCondition& condition = match.headers.emplace_back();
    condition.name = bytes.one_of(kNames);
    some(bytes, condition.values, kValues);
    some(bytes, condition.not_values, kValues);
  }
  match.l7 = bytes.below(8) == 1;
  return match;
}

config::Workload bound(Action action, const config::Match& match) {
  config::Workload workload;
  workload.policies.push_back(
      {std::make_shared<const config::Policy>(config::Policy{"p", action, {{"r", {}, {match}, {}}}, false}),
       {}});
  return workload;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Bytes bytes(data, size);
  const config::Match one = match(bytes);
  http::Head head;
  head.method = bytes.one_of(kMethods);
  bool twice = false;
  for (size_t n = bytes.below(3); n > 0; --n) head.headers.add("content-type", bytes.one_of(kTypes));
  for (size_t n = bytes.below(3); n > 0; --n) head.headers.add("X", bytes.text());
  twice = head.headers.count("content-type") > 1 || head.headers.count("x") > 1;
  head.authority = bytes.text();
  head.path = bytes.text();

  const config::Workload allow = bound(Action::allow, one), deny = bound(Action::deny, one);
  const policy::Peer peer{"spiffe://td/ns/a/sa/b", *Ip::parse("10.0.0.1")};
  require(policy::needs_path(allow, 80) == policy::needs_path(deny, 80));
  require(!policy::needs_path(allow, 80) || policy::needs_request(allow, 80));
  bool refused = false;
  if (policy::needs_path(allow, 80)) refused = http::normalise_target(head.path) != http::PathFault::none;
  const policy::Request request{head, http::path_of(head.path), refused};
  const policy::Verdict allowed = policy::judge(allow, 80, peer, request);
  const policy::Verdict denied = policy::judge(deny, 80, peer, request);
  if (refused) {
    require(allowed.reason == Reason::bad_request && denied.reason == Reason::bad_request);
    return 0;
  }
  require(!allowed.allowed || !denied.allowed);
  const bool known = one.has_l7_conditions();
  if (!twice && (known || !one.l7)) require(allowed.allowed == !denied.allowed);
  // Opaque: more is denied and less is allowed, never the other way round.
  const bool opaque_allows = policy::judge(allow, 80, peer).allowed;
  const bool opaque_denies = !policy::judge(deny, 80, peer).allowed;
  require(!opaque_allows || allowed.allowed);
  require(denied.allowed || opaque_denies);
  if (!policy::needs_request(allow, 80)) require(opaque_allows == allowed.allowed);
  return 0;
}
