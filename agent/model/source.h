#pragma once
// Where objects come from: a directory (files/) or the API server (kube/). Whoever delivers them, they are the same.
// Owner: the app, or a command. Thread: the loop's.
#include <functional>
#include <string>
#include <vector>

#include "agent/model/objects.h"

namespace weir::agent {

struct SourceError {
  std::string file;  // or the object, as "Pod shop/web-0", of which there is no file
  int line = 0;      // 1-based; 0: the file as a whole
  std::string reason;

  std::string text() const;  // "policies.yaml:12: spec.action is …"
  bool operator==(const SourceError&) const = default;
};

class ObjectSource {
 public:
  using SetMetric = std::function<void(const char* name, double value, const Labels& labels)>;

  virtual ~ObjectSource() = default;

  // Begins to read. `changed` is called, then and later, when objects or errors are no longer what they were; for the
  // first time once everything that there is has been read, be it nothing.
  virtual void start(std::function<void()> changed) = 0;
  // Empty: everything has been read once. Else what is still waited for, and nothing may be derived: "not received yet"
  // is not "there is none".
  virtual std::string not_synced() const = 0;
  // What happens now will be told soon. False: the source is away, and what it said last stands.
  virtual bool connected() const = 0;
  virtual const Objects& objects() const = 0;
  virtual std::vector<SourceError> errors() const = 0;  // refused now; the last good state of each counts
  virtual std::string describe() const = 0;             // for people: "directory /etc/weir"
  virtual std::string status_json() const = 0;          // an object, for /status
  virtual void tell_metrics(const SetMetric& set) const = 0;
};

}  // namespace weir::agent
