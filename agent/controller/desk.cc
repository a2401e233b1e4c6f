// The rules of signing, in their order. See desk.h.
#include "agent/controller/desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/identity/csr.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::controller {
namespace {

using Json = nlohmann::json;
using Code = Refusal::Code;

constexpr size_t kTokenBytesMax = 16 * 1024;
constexpr size_t kReviewsMax =
    64;  // under way at once: so many questions a flood of tokens may cost the API server
constexpr const char* kReviews = "/apis/authentication.k8s.io/v1/tokenreviews";

// Pods of that account on that node that have not ended. Every part is a checked name: nothing needs escaping.
// resourceVersion=0 is answered from the API server's memory, and may be a moment old.
std::string question(const WorkloadName& name, const std::string& node, bool fresh) {
  return fmt::format(
      "/api/v1/namespaces/{}/pods?fieldSelector=spec.nodeName%3D{}%2Cspec.serviceAccountName%3D{}"
      "%2Cstatus.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed&{}",
      name.ns, node, name.service_account, fresh ? "limit=1" : "resourceVersion=0");
}

std::expected<bool, Refusal> has_items(const Result<kube::Answer>& answer) {
  const Json list = is_success(answer) ? Json::parse(answer->body, nullptr, false) : Json();
  if (!list.is_object() || !list.contains("items") || !list["items"].is_array()) {
    log::error("pods cannot be listed: {}", trouble_of(answer));
    return refuse(Code::unavailable, "the API server does not answer which pods run on the node");
  }
  return !list["items"].empty();
}

}  // namespace

void Desk::authenticate(const std::string& token, std::function<void(CallerOrRefusal)> done) {
  if (token.empty())
    return done(refuse(Code::unauthenticated, "no token: metadata `authorization: Bearer …` is needed"));
  if (token.size() > kTokenBytesMax) return done(refuse(Code::unauthenticated, "the token is too long"));
  const auto hash = sha256_hex(token);
  if (!hash) return done(refuse(Code::unavailable, hash.error().describe()));
  if (const auto known = cache_.find(*hash, world_.now())) return done(*known);
  const auto under_way = reviews_.find(*hash);
  if (under_way != reviews_.end()) return under_way->second.push_back(std::move(done));
  if (reviews_.size() >= kReviewsMax)
    return done(refuse(Code::resource_exhausted, "too many tokens are being reviewed"));
  reviews_[*hash].push_back(std::move(done));
  world_.ask(
      "POST", kReviews, kJson, review_question(token), [this, hash = *hash](Result<kube::Answer> answer) {
        CallerOrRefusal judged = refuse(Code::unavailable, "the API server does not review tokens now");
        if (is_success(answer)) {
          judged = judge_review(answer->body);
        } else {
          log::error("a token cannot be reviewed: {}", trouble_of(answer));
        }
        // What the API server could not say is asked again by the next who comes.
        if (judged || judged.error().code != Code::unavailable) cache_.keep(hash, judged, world_.now());
        auto waiting = reviews_.extract(hash);
        for (const auto& one : waiting.mapped()) one(judged);
      });
}

void Desk::sign(const std::string& token, std::string identity, std::string csr_der,
                std::function<void(Signed)> done) {
  authenticate(token, [this, identity = std::move(identity), csr_der = std::move(csr_der),
                       done = std::move(done)](const CallerOrRefusal& caller) {
    if (!caller) return done(std::unexpected(caller.error()));
    if (!rate_.take(caller->node, world_.now())) {
      return done(refuse(Code::resource_exhausted, fmt::format("node {} asks too often", caller->node)));
    }
    auto name = parse_identity(identity);
    if (!name) {
      return done(refuse(Code::invalid_argument,
                         "the identity is not of the form spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT"));
    }
    const std::string ours = world_.trust_domain();
    if (ours.empty()) return done(refuse(Code::unavailable, "the mesh's settings have not been read yet"));
    if (name->trust_domain != ours) {
      return done(refuse(Code::permission_denied,
                         fmt::format("the trust domain is {}, not {}", ours, name->trust_domain)));
    }
    auto key = check_csr(csr_der, identity);
    if (!key) return done(refuse(Code::invalid_argument, *key.error().detail));
    auto request = std::make_shared<Request>(
        Request{*caller, identity, csr_der, std::move(*name), std::move(*key), done});
    look_for_pod(request, false);
  });
}

void Desk::look_for_pod(const std::shared_ptr<Request>& request, bool fresh) {
  const std::string path = question(request->name, request->caller.node, fresh);
  world_.ask("GET", path, "", "", [this, request, fresh](Result<kube::Answer> answer) {
    const auto found = has_items(answer);
    if (!found) return request->done(std::unexpected(found.error()));
    if (*found) return issue(*request);
    if (!fresh) return look_for_pod(request, true);
    log::warn("refused: node {} (agent {}) asks for {}, which has no pod there", request->caller.node,
              request->caller.pod, request->identity);
    request->done(refuse(Code::permission_denied,
                         fmt::format("service account {} of namespace {} has no pod on node {}",
                                     request->name.service_account, request->name.ns, request->caller.node)));
  });
}

void Desk::issue(const Request& request) {
  const Authority* authority = world_.authority();
  if (authority == nullptr)
    return request.done(refuse(Code::unavailable, "there is no root to sign with yet"));
  auto issued = issue_leaf(authority->issuer(), request.key.get(), "URI:" + request.identity,
                           options_.certificate_life, world_.unix_now());
  if (!issued) {
    log::error("{} cannot be signed for: {}", request.identity, issued.error().describe());
    return request.done(refuse(Code::unavailable, issued.error().describe()));
  }
  request.done(std::move(*issued));
}

}  // namespace weir::agent::controller
