#pragma once
// Announcements: which pods are captured, for every node to see. A pod that is announced is spoken to in mTLS by every
// node; so the announcement is written last at enrolment and withdrawn first at the end (architecture.md "Who is a mesh
// peer"). Two forms: files of a shared directory, and an annotation of the pod in the API server (annotations.h).
//
// Concept: writing may take its time, and fail: `done` says when, and whether, all nodes can see it. Words of one pod are
// written in the order they were given; one that a later word overtook before it was written ends with an error.
// Owner: the app. Thread: the loop's.
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/derive/derive.h"
#include "nodeproxy/base/error.h"

namespace weir::agent {

class Announcements {
 public:
  using Done = std::function<void(Status)>;  // may be called before the call returns

  virtual ~Announcements() = default;

  // Looks again. True when the set changed.
  virtual bool read() = 0;
  virtual const std::set<std::string>& uids() const = 0;
  // Of this node: what an earlier agent announced, too.
  virtual std::set<std::string> own() const = 0;

  virtual void announce(const LocalPodSpec& pod, Done done) = 0;
  // A pod that is not announced, or that is gone, is welcome.
  virtual void withdraw(const std::string& uid, Done done) = 0;
};

// Form: SHARED/captured/UID, '/' in the uid as '~'; content {"uid", "node", "pod", "addresses"}, written atomically.
// The app watches the directory and calls read(). Words are written before the call returns.
class SharedDirectory final : public Announcements {
 public:
  // `directory`: SHARED/captured; made when it is not there.
  SharedDirectory(std::filesystem::path directory, std::string node);
  static Result<SharedDirectory> open(const std::filesystem::path& shared_dir, std::string node);

  bool read() override;
  const std::set<std::string>& uids() const override { return uids_; }
  std::set<std::string> own() const override;
  void announce(const LocalPodSpec& pod, Done done) override { done(write(pod)); }
  void withdraw(const std::string& uid, Done done) override { done(remove(uid)); }

  Status write(const LocalPodSpec& pod) const;
  Status remove(const std::string& uid) const;
  static std::string file_name(const std::string& uid);

 private:
  std::filesystem::path directory_;
  std::string node_;
  std::set<std::string> uids_;
  std::map<std::string, std::string> node_of_;  // uid → node
};

}  // namespace weir::agent
