// What objects are called, where they are kept and who comes first.
#include "agent/model/objects.h"

#include <catch2/catch.hpp>

using namespace weir::agent;

namespace {

Meta meta(const std::string& name) {
  Meta meta;
  meta.name = name;
  meta.ns = "shop";
  return meta;
}

}  // namespace

TEST_CASE("every kind is called by its Kubernetes name") {
  CHECK(describe(Namespace{}) == "Namespace ");
  Pod pod;
  pod.meta = meta("a");
  CHECK(describe(pod) == "Pod shop/a");
  CHECK(describe(MeshSettings{}) == "ConfigMap ");
  CHECK(describe(TrafficPolicy{}) == "TrafficPolicy ");
  CHECK(describe(HttpRoute{meta("a"), {}}) == "HTTPRoute shop/a");
  CHECK(describe(GrpcRoute{meta("a"), {}}) == "GRPCRoute shop/a");
  CHECK(describe(ReferenceGrant{meta("a"), {}, {}}) == "ReferenceGrant shop/a");
}

TEST_CASE("an object that is added again takes the place of the first, kinds do not meet") {
  Objects objects;
  objects.add(HttpRoute{meta("a"), {}});
  objects.add(GrpcRoute{meta("a"), {}});
  objects.add(ReferenceGrant{meta("a"), {}, {}});
  RouteSpec spec;
  spec.hostnames = {"x"};
  objects.add(HttpRoute{meta("a"), spec});
  CHECK(objects.http_routes.size() == 1);
  CHECK(objects.http_routes.at({"shop", "a"}).spec.hostnames.size() == 1);
  CHECK(objects.grpc_routes.size() == 1);
  CHECK(objects.reference_grants.size() == 1);
}

TEST_CASE("the older goes first, without a time last, and then by namespace and name") {
  Meta old = meta("z"), young = meta("a"), ageless = meta("a"), other = meta("z");
  old.created_at = 1;
  young.created_at = 2;
  other.ns = "app";
  CHECK(old.seniority() < young.seniority());
  CHECK(young.seniority() < ageless.seniority());
  CHECK(other.seniority() < ageless.seniority());
  CHECK(ageless.seniority() < meta("b").seniority());
}

TEST_CASE("each condition on a request makes a match one of layer 7, and no other does") {
  Match match;
  match.principals = {"*"};
  match.ports = {80};
  CHECK_FALSE(match.l7());
  for (auto list : {&Match::hosts, &Match::not_hosts, &Match::methods, &Match::not_methods, &Match::paths,
                    &Match::not_paths, &Match::grpc, &Match::not_grpc}) {
    Match other;
    (other.*list).push_back("x");
    CHECK(other.l7());
  }
  match.headers.push_back({"x", {"y"}, {}});
  CHECK(match.l7());
}
