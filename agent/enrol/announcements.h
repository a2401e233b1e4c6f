#pragma once
// Announcements without Kubernetes: a directory that the nodes share, with one file per captured pod. A pod whose file
// is there is spoken to in mTLS by every node; so the file is written last at enrolment and removed first at the end
// (architecture.md "Who is a mesh peer"). In Kubernetes it will be the pod annotation weir.dev/captured.
//
// Form: SHARED/captured/UID, '/' in the uid as '~'; content {"uid", "node", "pod", "addresses"}, written atomically.
// Owner: the app, which watches the directory and calls read(). Thread: the loop's.
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/derive/derive.h"
#include "nodeproxy/base/error.h"

namespace weir::agent {

class Announcements {
 public:
  // `directory`: SHARED/captured; made when it is not there.
  Announcements(std::filesystem::path directory, std::string node);
  static Result<Announcements> open(const std::filesystem::path& shared_dir, std::string node);

  // Reads the directory. True when the set changed.
  bool read();
  const std::set<std::string>& uids() const { return uids_; }
  // Of this node: what an earlier agent announced, too.
  std::set<std::string> own() const;

  Status announce(const LocalPodSpec& pod);
  Status withdraw(const std::string& uid);

  static std::string file_name(const std::string& uid);

 private:
  std::filesystem::path directory_;
  std::string node_;
  std::set<std::string> uids_;
  std::map<std::string, std::string> node_of_;  // uid → node
};

}  // namespace weir::agent
