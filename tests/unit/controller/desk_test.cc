// Who is signed for and who is refused, without a cluster.
#include "agent/controller/desk.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "tests/unit/controller/fake_api.h"

using namespace weir;
using namespace weir::agent;
using namespace weir::agent::controller;
using Json = nlohmann::json;
using Code = Refusal::Code;

namespace {

const std::string kWeb = "spiffe://cluster.local/ns/shop/sa/web";

// Tokens are "USER AUDIENCE NODE"; pods are ns/account@node.
struct World {
  std::chrono::steady_clock::time_point now{std::chrono::hours(1)};
  int64_t unix_now = std::time(nullptr);
  std::optional<Authority> authority = make_authority("test", unix_now);
  std::vector<std::string> pods{"shop/web@n1"}, seen_late;
  std::string domain = "cluster.local";
  int status = 0;  // of the API server's answers; 0: as it should be
  FakeApi api;
  Desk desk;

  World()
      : desk({std::chrono::hours(24)},
             {api.ask(), [this] { return authority ? &*authority : nullptr; }, [this] { return domain; },
              [this] { return now; }, [this] { return unix_now; }}) {
    api.answer = [this](const FakeApi::Asked& asked) -> Result<kube::Answer> {
      if (status != 0) return kube::Answer{status, "no"};
      return asked.method == "POST" ? review(asked) : list(asked);
    };
  }

  static kube::Answer review(const FakeApi::Asked& asked) {
    const std::string token = Json::parse(asked.body)["spec"]["token"];
    std::istringstream words(token);
    std::string user, audience, node;
    words >> user >> audience >> node;
    Json out{{"authenticated", user != "nobody"},
             {"audiences", {audience}},
             {"user", {{"username", user}, {"extra", Json::object()}}}};
    if (!node.empty()) out["user"]["extra"]["authentication.kubernetes.io/node-name"] = {node};
    return {201, Json{{"status", out}}.dump()};
  }

  kube::Answer list(const FakeApi::Asked& asked) const {
    Json items = Json::array();
    const auto look = [&](const std::vector<std::string>& among) {
      for (const auto& pod : among) {
        const auto slash = pod.find('/'), at = pod.find('@');
        const std::string path = "/api/v1/namespaces/" + pod.substr(0, slash) +
                                 "/pods?fieldSelector=spec.nodeName%3D" + pod.substr(at + 1) +
                                 "%2Cspec.serviceAccountName%3D" + pod.substr(slash + 1, at - slash - 1) +
                                 "%2C";
        if (asked.path.starts_with(path)) items.push_back(Json::object());
      }
    };
    look(pods);
    if (!asked.path.ends_with("resourceVersion=0")) look(seen_late);
    return {200, Json{{"items", items}}.dump()};
  }

  Desk::Signed sign(const std::string& token, const std::string& identity, const std::string& csr) {
    Desk::Signed out = refuse(Code::unavailable, "never answered");
    desk.sign(token, identity, csr, [&](Desk::Signed done) { out = std::move(done); });
    return out;
  }
};

const std::string kAgent = "system:serviceaccount:weir-system:weir-node weir-ca ";

}  // namespace

TEST_CASE("a node's agent is signed for the pods of its node and for nothing else") {
  World world;
  const std::string csr = request_for({"URI:" + kWeb});
  CHECK(world.sign(kAgent + "n1", kWeb, csr));
  struct Row {
    std::string token, identity, csr;
    Code code;
    std::string says;
  };
  const std::string two = "URI:" + kWeb + ",URI:spiffe://cluster.local/ns/shop/sa/other";
  const std::string elsewhere = "spiffe://else.where/ns/shop/sa/web";
  for (const auto& [token, identity, request, code, says] : std::vector<Row>{
           {"", kWeb, csr, Code::unauthenticated, "no token"},
           {"nobody weir-ca n1", kWeb, csr, Code::unauthenticated, "does not know"},
           {"system:serviceaccount:weir-system:weir-node other n1", kWeb, csr, Code::unauthenticated,
            "audience"},
           {"system:serviceaccount:shop:web weir-ca n1", kWeb, csr, Code::permission_denied, "only agents"},
           {kAgent, kWeb, csr, Code::permission_denied, "of which node"},
           {kAgent + "N1/../x", kWeb, csr, Code::permission_denied, "of which node"},
           {kAgent + "n2", kWeb, csr, Code::permission_denied, "has no pod on node n2"},
           {kAgent + "n1", kWeb, request_for({two}), Code::invalid_argument, "not exactly one name"},
           {kAgent + "n1", kWeb, request_for({"URI:" + elsewhere}), Code::invalid_argument,
            "another identity"},
           {kAgent + "n1", kWeb, csr + "x", Code::invalid_argument, "no PKCS #10"},
           {kAgent + "n1", elsewhere, request_for({"URI:" + elsewhere}), Code::permission_denied,
            "trust domain"},
           {kAgent + "n1", kWeb + "/x", csr, Code::invalid_argument, "not of the form"},
           {kAgent + "n1", "spiffe://cluster.local/ns/shop%2F/sa/web", csr, Code::invalid_argument,
            "not of the form"},
       }) {
    const auto got = world.sign(token, identity, request);
    REQUIRE_FALSE(got);
    CHECK(static_cast<int>(got.error().code) == static_cast<int>(code));
    CHECK_THAT(got.error().sentence, Catch::Contains(says));
  }
}

TEST_CASE("who is signed for follows the mesh's trust domain, and nobody is while it is not known") {
  World world;
  const std::string csr = request_for({"URI:" + kWeb});
  world.domain.clear();
  const auto unknown = world.sign(kAgent + "n1", kWeb, csr);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == Code::unavailable);
  world.domain = "cluster.local";
  CHECK(world.sign(kAgent + "n1", kWeb, csr));
  world.domain = "else.where";
  const auto other = world.sign(kAgent + "n1", kWeb, csr);
  REQUIRE_FALSE(other);
  CHECK(other.error().code == Code::permission_denied);
}

TEST_CASE("no pod in the API server's memory is believed only when its store says so too") {
  World world;
  world.pods.clear();
  world.seen_late = {"shop/web@n1"};
  CHECK(world.sign(kAgent + "n1", kWeb, request_for({"URI:" + kWeb})));
  CHECK(world.api.asked.size() == 3);  // the token, the memory, the store
}

TEST_CASE("an API server that does not answer, or no root, is a reason to come again and not a refusal") {
  World world;
  const std::string csr = request_for({"URI:" + kWeb});
  world.status = 500;
  for (int i = 0; i < 2; ++i) {
    const auto got = world.sign(kAgent + "n1", kWeb, csr);
    REQUIRE_FALSE(got);
    CHECK(got.error().code == Code::unavailable);
  }
  world.status = 0;
  CHECK(world.sign(kAgent + "n1", kWeb, csr));  // the failure was not kept
  world.authority.reset();
  CHECK(world.sign(kAgent + "n1", kWeb, csr).error().code == Code::unavailable);
}

TEST_CASE("a token is reviewed once in ten seconds, and a node that asks too often waits") {
  World world;
  const std::string csr = request_for({"URI:" + kWeb});
  const auto reviews = [&] {
    return std::ranges::count(world.api.asked, std::string("POST"), &FakeApi::Asked::method);
  };
  int signed_for = 0;
  while (signed_for < 1000 && world.sign(kAgent + "n1", kWeb, csr)) ++signed_for;
  CHECK(signed_for == 200);
  CHECK(world.sign(kAgent + "n1", kWeb, csr).error().code == Code::resource_exhausted);
  CHECK(reviews() == 1);
  CHECK(world.sign(kAgent + "n2", kWeb, csr).error().code ==
        Code::permission_denied);  // another node is not held up
  world.now += std::chrono::seconds(11);
  CHECK(world.sign(kAgent + "n1", kWeb, csr));
  CHECK(reviews() == 3);
}
