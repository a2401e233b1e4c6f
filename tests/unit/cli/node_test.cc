// What a node must have, and the order of requests that come from many.
#include <catch2/catch.hpp>
#include <cerrno>

#include "agent/cli/graph.h"
#include "agent/cli/install_check.h"
#include "agent/cli/tap_merge.h"

using namespace weir::agent;
using Json = nlohmann::json;
using std::chrono::milliseconds;

namespace {

NodeFacts good() {
  NodeFacts facts;
  facts.kernel = "6.1.0-18-amd64";
  facts.btf = facts.bpffs = facts.cni_dir = true;
  facts.cgroup2 = "/sys/fs/cgroup";
  facts.cni = {"00-weir.conflist"};
  facts.weir_cni = true;
  return facts;
}

// "kernel FAIL" of all that is not well.
std::string wrong(const NodeFacts& facts) {
  std::string out;
  for (const Finding& one : judge_node(facts)) {
    if (one.level == Level::ok) continue;
    CHECK_FALSE(one.todo.empty());
    out += one.about + (one.level == Level::fail ? " FAIL;" : " warn;");
  }
  return out;
}

}  // namespace

TEST_CASE("a node that has everything is well, and each thing that it lacks is said with what to do") {
  CHECK(wrong(good()).empty());
  const auto without = [](auto change) {
    NodeFacts facts = good();
    change(facts);
    return wrong(facts);
  };
  CHECK(without([](NodeFacts& f) { f.kernel = "5.15.0"; }) == "kernel FAIL;");
  CHECK(without([](NodeFacts& f) { f.kernel = "odd"; }) == "kernel warn;");
  CHECK(without([](NodeFacts& f) { f.btf = false; }) == "BTF FAIL;");
  CHECK(without([](NodeFacts& f) { f.bpffs = false; }) == "BPF FAIL;");
  CHECK(without([](NodeFacts& f) { f.bpf_errno = EPERM; }) == "BPF warn;");
  CHECK(without([](NodeFacts& f) { f.bpf_errno = ENOSYS; }) == "BPF FAIL;");
  CHECK(without([](NodeFacts& f) { f.cgroup2.clear(); }) == "cgroup v2 FAIL;");
  CHECK(without([](NodeFacts& f) { f.io_uring_errno = EPERM; }) == "io_uring warn;");
  CHECK(without([](NodeFacts& f) { f.io_uring_disabled = 2; }) == "io_uring warn;");
  CHECK(without([](NodeFacts& f) { f.io_uring_errno = ENOSYS; }) == "io_uring warn;");
  CHECK(without([](NodeFacts& f) { f.kernel = "5.17.0"; }) == "kernel warn;");
  CHECK(without([](NodeFacts& f) { f.cni.clear(); }) == "CNI FAIL;");
  CHECK(without([](NodeFacts& f) { f.cni_dir = false; }) == "CNI warn;");
  CHECK(without([](NodeFacts& f) {
          f.weir_cni = false;
          f.cni = {"10-x.conf"};
        }) == "CNI warn;");
}

TEST_CASE("a proxy that runs proves io_uring, whatever this process may do") {
  NodeFacts facts = good();
  facts.io_uring_errno = EPERM;
  facts.driver = "io_uring";
  CHECK(wrong(facts).empty());
}

TEST_CASE("versions are compared by their numbers, with what stands around them") {
  CHECK(version_number("v1.34.2+k3s1") == VersionNumber{1, 34});
  CHECK(version_number("6.18.44-fc") == VersionNumber{6, 18});
  CHECK(version_number("6.18.44") > version_number("6.9"));
  CHECK(version_number("x") == VersionNumber{});
}

TEST_CASE("requests of several nodes come out by their own time, once they were held long enough") {
  const TapMerge::TimePoint begin{};
  TapMerge merge(milliseconds(100));
  merge.add({{"time", "10:02"}}, begin);
  CHECK(merge.take(begin + milliseconds(50)).empty());
  merge.add({{"time", "10:01"}}, begin + milliseconds(60));
  merge.add({{"time", "10:03"}}, begin + milliseconds(60));
  const auto taken = merge.take(begin + milliseconds(110));
  REQUIRE(taken.size() == 2);
  CHECK(taken[0]["time"] == "10:01");
  CHECK(taken[1]["time"] == "10:02");
  CHECK(merge.take(begin + milliseconds(120)).empty());
  CHECK(merge.take(begin + milliseconds(120), true).size() == 1);
}

TEST_CASE("rates of one edge at several proxies are added, with their latencies, each over its own time") {
  const auto edge = [](int count, double upper) {
    return Json{{"source", "a/a"},      {"destination", "b/b"},
                {"reporter", "source"}, {"requests", count},
                {"failures", 0},        {"bytes_sent", 0},
                {"bytes_received", 0},  {"buckets", Json::array({Json::array({upper / 2, upper, count})})}};
  };
  const auto of = [](Json edge) { return Json{{"edges", Json::array({std::move(edge)})}}; };
  const auto rates = merged_rates({{of(edge(100, 10)), of(edge(120, 10)), 2},
                                   {of(edge(500, 100)), of(edge(10, 100)), 1},  // restarted: 10 since
                                   {Json(), Json(), 0}});
  REQUIRE(rates.size() == 1);
  CHECK(rates[0].per_second == Approx(20));
  CHECK(rates[0].success_percent == Approx(100));
  CHECK(rates[0].p50_ms <= 10);
  CHECK(rates[0].p99_ms > 50);
}
