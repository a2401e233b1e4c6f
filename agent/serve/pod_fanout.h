#pragma once
// The pods of this node at every connected proxy: enrolment speaks to all of them as to one. While a proxy replaces another
// both have every listener, and both accept; a pod is accepted on when one of them says so, and released when all that
// were told have let go of it, or are gone.
// Owner: the app. Thread: the loop's. Lifetime: shorter than the server's.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/serve/proxy_server.h"

namespace weir::agent {

class PodFanout {
 public:
  explicit PodFanout(const ProxyServer& server) : server_(server) {}

  bool connected() const;  // somebody has its configuration and may be offered pods
  // Whether anybody was told.
  bool offer(const PodDescriptors& pod);
  bool gone(const std::string& uid, bool removed);
  // A proxy has let go of a pod: whether it was the last.
  bool released(const ProxyLink& link, const std::string& uid);
  // The pods whose last proxy this one was, of those that were to be released.
  std::vector<std::string> left(const ProxyLink& link);

 private:
  const ProxyServer& server_;
  std::map<std::string, std::set<uint64_t>>
      releasing_;  // uid → ids of links that were told and have not answered
};

}  // namespace weir::agent
