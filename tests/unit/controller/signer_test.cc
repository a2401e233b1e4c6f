// The agent's signer against the controller's service, in one process, over gRPC and TLS on loopback.
#include "agent/identity/controller_signer.h"

#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "agent/controller/metrics_table.h"
#include "agent/controller/server_certificate.h"
#include "agent/controller/service.h"
#include "tests/unit/controller/fake_api.h"

using namespace weir;
using namespace weir::agent;
using namespace weir::agent::controller;
using Json = nlohmann::json;

namespace {

const std::string kWeb = "spiffe://cluster.local/ns/shop/sa/web";

struct Mesh {
  std::filesystem::path directory;
  Loop loop;
  Metrics metrics{"controller", kMetrics};
  Authority authority = make_authority("test", std::time(nullptr));
  ServerCertificate certificate;
  bool pod = true;
  FakeApi api;
  Desk desk{{std::chrono::hours(24)},
            {api.ask(), [this] { return &authority; }, [] { return std::string("cluster.local"); },
             [] { return std::chrono::steady_clock::now(); }, [] { return int64_t{std::time(nullptr)}; }}};
  std::optional<Service> service;
  std::unique_ptr<ControllerSigner> signer;
  int changes = 0;

  Mesh() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-signer-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    std::ofstream(directory / "token") << "secret\n";
    api.answer = [this](const FakeApi::Asked& asked) -> Result<kube::Answer> {
      if (asked.method == "GET") return kube::Answer{200, pod ? R"({"items":[{}]})" : R"({"items":[]})"};
      const bool known = Json::parse(asked.body)["spec"]["token"] == "secret";
      return kube::Answer{201, Json{{"status",
                                     {{"authenticated", known},
                                      {"audiences", {"weir-ca"}},
                                      {"user",
                                       {{"username", kAgentUser},
                                        {"extra", {{"authentication.kubernetes.io/node-name", {"n1"}}}}}}}}}
                                   .dump()};
    };
    REQUIRE(certificate.renew(authority, std::chrono::hours(1), std::time(nullptr)));
    service.emplace(loop, desk, metrics);
    REQUIRE(service->start("127.0.0.1:0", certificate.path()));
    service->set_bundle(7, authority.roots);
  }
  ~Mesh() {
    signer.reset();
    bool ended = false;
    service->stop(std::chrono::seconds(1), [&] { ended = true; });
    CHECK(until([&] { return ended; }));
    std::filesystem::remove_all(directory);
  }

  void open(KeptBundle published) {
    ControllerSignerOptions options;
    options.address = "127.0.0.1:" + std::to_string(service->port());
    options.token_file = directory / "token";
    options.bundle_file = directory / "bundle.pem";
    options.backoff_first = std::chrono::milliseconds(50);
    signer.reset();
    auto opened = ControllerSigner::open(
        loop, options,
        [this, published](ControllerSigner::Fetched done) { loop.post([=] { done(published); }); },
        [this] { ++changes; });
    REQUIRE(opened);
    signer = std::move(*opened);
  }

  bool until(const std::function<bool()>& what) {
    for (int i = 0; i < 1000 && !what(); ++i) loop.run_once(std::chrono::milliseconds(10));
    return what();
  }

  Result<IssuedCertificate> sign(const std::string& csr) {
    std::optional<Result<IssuedCertificate>> out;
    signer->sign(kWeb, csr, [&](Result<IssuedCertificate> issued) { out = std::move(issued); });
    REQUIRE(until([&] { return out.has_value(); }));
    return std::move(*out);
  }
};

}  // namespace

TEST_CASE(
    "an agent that knows the published roots is signed for, and told apart what is final and what is not") {
  Mesh mesh;
  mesh.open({3, mesh.authority.roots});
  REQUIRE(mesh.until([&] { return mesh.signer->bundle().version == 7; }));
  CHECK(mesh.changes == 1);  // the same roots under a newer version change nothing
  const auto issued = mesh.sign(request_for({"URI:" + kWeb}));
  REQUIRE(issued);
  CHECK(issued->chain.size() == 1);
  const auto malformed = mesh.sign("garbage");
  REQUIRE_FALSE(malformed);
  CHECK(malformed.error().source == Source::peer);
  mesh.pod = false;
  const auto no_pod = mesh.sign(request_for({"URI:" + kWeb}));
  REQUIRE_FALSE(no_pod);
  CHECK(no_pod.error().source == Source::agent);
  CHECK_THAT(*no_pod.error().detail, Catch::Contains("has no pod on node n1"));
  mesh.pod = true;
  std::ofstream(mesh.directory / "token") << "another";  // it is read for each call
  CHECK_FALSE(mesh.sign(request_for({"URI:" + kWeb})));
}

TEST_CASE("a controller of a foreign root is not spoken to, and its bundle not taken") {
  Mesh mesh;
  const Authority foreign = make_authority("foreign", std::time(nullptr));
  mesh.open({9, foreign.roots});
  REQUIRE(mesh.until([&] { return !mesh.signer->trouble().empty(); }));
  CHECK_FALSE(mesh.sign(request_for({"URI:" + kWeb})));
  CHECK(mesh.signer->bundle().roots == foreign.roots);
  CHECK(mesh.api.asked.empty());  // no token went there
}

TEST_CASE(
    "a newer bundle comes by the stream, stays on disk, and counts after a restart without a controller") {
  Mesh mesh;
  mesh.open({3, mesh.authority.roots});
  REQUIRE(mesh.until([&] { return mesh.signer->bundle().version == 7; }));
  const Authority next = make_authority("next", std::time(nullptr));
  std::vector<std::string> both = mesh.authority.roots;
  both.push_back(next.roots.front());
  mesh.service->set_bundle(8, both);
  REQUIRE(mesh.until([&] { return mesh.signer->bundle().version == 8; }));
  CHECK(mesh.signer->bundle().roots == both);
  const auto kept = read_kept_bundle(mesh.directory / "bundle.pem");
  REQUIRE(kept);
  CHECK(kept->version == 8);
  CHECK(kept->roots == both);
  mesh.open({3, mesh.authority.roots});  // an older one does not take its place
  CHECK(mesh.signer->bundle().version == 8);
  CHECK(mesh.sign(request_for({"URI:" + kWeb})));
  CHECK(mesh.signer->bundle().version == 8);
}
