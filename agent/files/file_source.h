#pragma once
// A directory of YAML files as a source of objects: read at the start, and again whatever changes in it.
// Owner: the app, or a command. Thread: the loop's.
#include <memory>

#include "agent/files/directory.h"
#include "agent/loop/watch.h"
#include "agent/model/source.h"

namespace weir::agent {

class FileSource final : public ObjectSource {
 public:
  FileSource(Loop& loop, std::filesystem::path path)
      : loop_(loop), path_(std::move(path)), directory_(path_) {}

  void start(std::function<void()> changed) override;
  std::string not_synced() const override { return {}; }
  bool connected() const override { return true; }
  const Objects& objects() const override { return objects_; }
  std::vector<SourceError> errors() const override { return directory_.errors(); }
  std::string describe() const override { return path_.string(); }
  std::string status_json() const override;
  void tell_metrics(const SetMetric& set) const override;

 private:
  void read(const std::set<std::string>& names, bool all);

  Loop& loop_;
  const std::filesystem::path path_;
  Directory directory_;
  Objects objects_;
  std::function<void()> changed_;
  uint64_t reads_ = 0;
  std::unique_ptr<DirectoryWatch> watch_;
};

}  // namespace weir::agent
