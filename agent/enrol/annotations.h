#pragma once
// Announcements in Kubernetes: the annotation weir.dev/captured of the pod, "NODE UID TIME". What the source shows of the
// pods is what is announced; it is written by a patch of the own node's pods.
//
// Concept: the node and the uid are part of it because people copy pods with their annotations: a copy announces
// nothing. The patch names the uid too, so that it cannot reach a pod of the same name that came after. Requests of one
// pod go one after the other. A pod that is gone needs no withdrawal.
// Owner: the app. Thread: the loop's. Lifetime: within the client's and the source's.
// Source: RFC 7396 (merge patch), kubernetes.io "API Concepts" (patch).
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "agent/enrol/announcements.h"
#include "agent/kube/client.h"
#include "agent/model/source.h"

namespace weir::agent {

class PodAnnotations final : public Announcements {
 public:
  PodAnnotations(kube::Client& client, const ObjectSource& source, std::string node);
  ~PodAnnotations() override;

  bool read() override;
  const std::set<std::string>& uids() const override { return uids_; }
  std::set<std::string> own() const override { return own_; }
  void announce(const LocalPodSpec& pod, Done done) override;
  void withdraw(const std::string& uid, Done done) override;

  static constexpr const char* kAnnotation = "weir.dev/captured";
  // Whether the pod's annotation is about this very pod.
  static bool announced(const Pod& pod);

 private:
  struct Word {
    bool announce = false;
    Done done;
  };
  struct Writing {
    ObjectName pod;
    Word now;
    std::optional<Word> next;
    kube::Client::RequestId request = 0;
  };

  void say(const std::string& uid, const ObjectName& pod, Word word);
  void write(const std::string& uid);
  void written(const std::string& uid, Result<kube::Answer> result);
  const Pod* find(const std::string& uid) const;

  kube::Client& client_;
  const ObjectSource& source_;
  const std::string node_;
  std::set<std::string> uids_, own_;
  std::map<std::string, Writing> writing_;    // by uid
  std::map<std::string, bool> last_written_;  // what the API server was told last, until the source shows it
};

}  // namespace weir::agent
