#pragma once
// What enrolment needs of capture: redirect/redirect.h behind a seam, so that the state machine is tested without a
// kernel. The meaning of each call is redirect.h's. Thread: the loop's.
#include <string>
#include <vector>

#include "agent/redirect/redirect.h"
#include "nodeproxy/base/error.h"

namespace weir::agent {

class Capture {
 public:
  virtual ~Capture() = default;
  virtual std::vector<KnownPod> known_pods() const = 0;
  virtual Status prepare(const PodSpec& pod) = 0;
  virtual Status arm(const std::string& uid) = 0;
  virtual Status disarm(const std::string& uid) = 0;
  virtual Status remove(const std::string& uid) = 0;
  virtual Result<PodListeners> listeners(const std::string& uid) const = 0;
  virtual Status adopt_listeners(const std::string& uid, const std::vector<int>& outbound,
                                 const std::vector<int>& inbound) = 0;
  virtual bool served(const std::string& uid) const = 0;
  virtual Status reopen_listeners(const std::string& uid) = 0;
  virtual Result<uint64_t> destroy_old_connections(const std::string& uid) = 0;
  virtual Result<uint64_t> old_connections(const std::string& uid) = 0;
  virtual std::vector<CheckResult> check(const std::string& uid) = 0;
};

// The real one. `redirect` outlives it.
class RedirectCapture : public Capture {
 public:
  explicit RedirectCapture(Redirect& redirect) : redirect_(redirect) {}
  std::vector<KnownPod> known_pods() const override { return redirect_.known_pods(); }
  Status prepare(const PodSpec& pod) override { return redirect_.prepare(pod); }
  Status arm(const std::string& uid) override { return redirect_.arm(uid); }
  Status disarm(const std::string& uid) override { return redirect_.disarm(uid); }
  Status remove(const std::string& uid) override { return redirect_.remove(uid); }
  Result<PodListeners> listeners(const std::string& uid) const override { return redirect_.listeners(uid); }
  Status adopt_listeners(const std::string& uid, const std::vector<int>& outbound,
                         const std::vector<int>& inbound) override {
    return redirect_.adopt_listeners(uid, outbound, inbound);
  }
  bool served(const std::string& uid) const override { return redirect_.served(uid); }
  Status reopen_listeners(const std::string& uid) override { return redirect_.reopen_listeners(uid); }
  Result<uint64_t> destroy_old_connections(const std::string& uid) override {
    return redirect_.destroy_old_connections(uid);
  }
  Result<uint64_t> old_connections(const std::string& uid) override { return redirect_.old_connections(uid); }
  std::vector<CheckResult> check(const std::string& uid) override { return redirect_.check(uid); }

 private:
  Redirect& redirect_;
};

}  // namespace weir::agent
