#pragma once
// The objects of a directory of YAML files, file by file: each file's last good state counts, whatever is in it now.
//
// Concept: files are read when told that they changed (watching is loop/watch.h's). A file that does not parse, or that
// holds an object which another file already holds, is refused whole: what it held before stays, the error is kept
// until the file is good again. A file that is gone takes its objects with it. Where a refused file holds
// AuthorizationPolicies that were never accepted, they are added as invalid ones (api.md "never accepted still counts").
// Names that count: *.yaml and *.yml, not starting with a dot or # (editors' temporary files).
// Owner: the app. Thread: one. No clock, no inotify: a test calls read().
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/files/parse.h"
#include "agent/model/objects.h"

namespace weir::agent {

class Directory {
 public:
  explicit Directory(std::filesystem::path path) : path_(std::move(path)) {}

  static bool counts(const std::string& file_name);

  // Reads every file anew. True when objects or errors changed.
  bool read_all();
  // Reads these (names in the directory; those that do not count or are gone are welcome).
  bool read(const std::set<std::string>& names);

  Objects objects() const;
  std::vector<SourceError> errors() const;
  size_t file_count() const { return files_.size(); }

 private:
  struct File {
    std::vector<Object> good;                      // what counts
    std::optional<std::vector<Object>> candidate;  // parsed, not yet accepted
    std::vector<AuthorizationPolicy> refused_policies;
    std::optional<SourceError> error;
    std::string text;  // as last read, to know a file that was touched only
  };

  struct Holders;  // who holds, or wants to hold, each object

  bool load(const std::string& name);
  void settle();
  std::optional<SourceError> conflict_of(const std::string& name, const Holders& holders) const;

  std::filesystem::path path_;
  std::map<std::string, File> files_;
  std::optional<SourceError> directory_error_;
};

}  // namespace weir::agent
