#pragma once
// The signer of a cluster: asks weir-controller over gRPC, as the node, with a token that is read anew for each call, and
// follows its trust bundle.
//
//   kept on disk ─┐
//   ConfigMap ────┼─▶ bundle ─▶ channel (the controller's certificate must lead to it) ─▶ Sign, Trust ─▶ newer bundle
//
// Concept: the bundle that is trusted is the newest version seen, from the Trust stream, or from the ConfigMap where
// there is none yet or the controller's certificate is not trusted any more; it never goes back. Without a controller
// the kept one counts. gRPC calls back on threads of its own, which only post to the loop.
// Errors of sign(): Source::peer where the request itself is at fault (INVALID_ARGUMENT); everything else is worth another
// try, also a refusal, since pods and rights come later.
// Owner: the app. Thread: the loop's. Lifetime: destroying it ends its calls without a word, and waits for gRPC's threads.
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "agent/identity/kept_bundle.h"
#include "agent/identity/signer.h"
#include "agent/loop/loop.h"

namespace weir::agent {

struct ControllerSignerOptions {
  std::string address = "weir-controller.weir-system.svc:15012";
  std::string server_name = "weir-controller.weir-system.svc";  // in its certificate
  std::filesystem::path token_file = "/var/run/secrets/weir.dev/ca/token";
  std::filesystem::path bundle_file;  // where the bundle is kept
  std::chrono::milliseconds sign_timeout{10'000};
  std::chrono::milliseconds backoff_first{500}, backoff_max{15'000};
};

class ControllerSigner : public Signer {
 public:
  // The roots as published in the cluster (ConfigMap weir-ca-root).
  using Fetched = std::function<void(Result<KeptBundle>)>;
  using Fetch = std::function<void(Fetched)>;

  // `changed`: bundle() is another. Errors: a kept bundle that is broken.
  static Result<std::unique_ptr<ControllerSigner>> open(Loop& loop, ControllerSignerOptions options,
                                                        Fetch fetch, std::function<void()> changed);
  ~ControllerSigner() override;

  void sign(const std::string& identity, const std::string& csr, Done done) override;

  const KeptBundle& bundle() const { return bundle_; }
  const std::string& trouble() const { return trouble_; }  // of the Trust stream; empty: it is open

 private:
  struct Gate;   // counts what gRPC's threads still hold
  struct Call;   // one Sign
  struct Rpc;    // channel and stub
  class Follow;  // one Trust stream

  ControllerSigner(Loop& loop, ControllerSignerOptions options, Fetch fetch, std::function<void()> changed);
  void connect();
  void follow();
  void follow_ended(bool had_news, const std::string& why);
  void look_up_roots();
  void adopt(KeptBundle bundle);
  Result<std::string> token() const;

  Loop& loop_;
  const ControllerSignerOptions options_;
  const Fetch fetch_;
  const std::function<void()> changed_;
  KeptBundle bundle_;
  std::string trouble_;
  std::chrono::milliseconds backoff_;
  Loop::TimerId timer_ = 0;
  bool fetching_ = false;
  std::unique_ptr<Gate> gate_;
  std::shared_ptr<bool> alive_;  // what was posted asks it first
  std::unique_ptr<Rpc> rpc_;
  std::shared_ptr<Follow> follow_;  // under way
  std::set<std::shared_ptr<Call>> calls_;
};

}  // namespace weir::agent
