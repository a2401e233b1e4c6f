#pragma once
// Where an agent's request for a certificate is judged, and signed if it may be:
//
//   token ─ TokenReview ─▶ caller's node ─ its rate ─▶ identity's form, trust domain, request (csr.h)
//         ─▶ has that service account a pod on that node? ─▶ signature
//
// Concept: pure of sockets: questions to the API server go by Ask, answers come by callback. "No such pod" from the API
// server's cache is asked again of its store before it is believed, as an agent may be quicker than a cache.
// A captured request is worth nothing when replayed: what it gives is a certificate for a key that only its proxy has.
// Owner: the app. Thread: the loop's. Lifetime: outlives what it asked.
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/controller/api.h"
#include "agent/controller/rate.h"
#include "agent/controller/token_review.h"
#include "agent/controller/workload_name.h"
#include "agent/identity/authority.h"
#include "agent/identity/signer.h"

namespace weir::agent::controller {

class Desk {
 public:
  struct Options {
    std::chrono::seconds certificate_life{24 * 3600};
  };
  struct World {
    Ask ask;
    std::function<const Authority*()> authority;  // who signs now; null: nobody yet
    std::function<std::string()> trust_domain;    // whose identities are signed; empty: not known yet
    std::function<std::chrono::steady_clock::time_point()> now;
    std::function<int64_t()> unix_now;
  };
  using Signed = std::expected<IssuedCertificate, Refusal>;

  Desk(Options options, World world) : options_(std::move(options)), world_(std::move(world)) {}
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  // The bearer token of a call, without the word "Bearer".
  void authenticate(const std::string& token, std::function<void(CallerOrRefusal)> done);
  void sign(const std::string& token, std::string identity, std::string csr_der,
            std::function<void(Signed)> done);

 private:
  struct Request {
    Caller caller;
    std::string identity, csr_der;
    WorkloadName name;
    KeyPtr key;
    std::function<void(Signed)> done;
  };

  void look_for_pod(const std::shared_ptr<Request>& request, bool fresh);
  void issue(const Request& request);

  const Options options_;
  const World world_;
  ReviewCache cache_;
  NodeRate rate_;
  std::map<std::string, std::vector<std::function<void(CallerOrRefusal)>>>
      reviews_;  // under way, by token hash
};

}  // namespace weir::agent::controller
