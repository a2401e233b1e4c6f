// Reading files and settling which of their states count. See directory.h.
#include "agent/files/directory.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "agent/files/endpoints.h"

namespace weir::agent {
namespace {

constexpr uintmax_t kFileMaxBytes = 64 * 1024 * 1024;

// Two objects may share neither name nor, for pods, uid: everything downstream is keyed by it.
std::vector<std::string> keys_of(const Object& object) {
  std::vector<std::string> keys{describe(object)};
  if (const Pod* pod = std::get_if<Pod>(&object)) keys.push_back("pod uid " + pod->uid());
  return keys;
}

}  // namespace

bool Directory::counts(const std::string& name) {
  if (name.empty() || name.front() == '.' || name.front() == '#') return false;
  return name.ends_with(".yaml") || name.ends_with(".yml");
}

bool Directory::read_all() {
  std::set<std::string> names;
  for (const auto& [name, file] : files_) names.insert(name);
  std::error_code error;
  std::filesystem::directory_iterator entries(path_, error);
  if (error) {
    // Not "empty": the directory itself cannot be read, so nothing is known to be gone.
    SourceError now{path_.string(), 0, "cannot be read: " + error.message()};
    const bool changed = directory_error_ != now;
    directory_error_ = std::move(now);
    return changed;
  }
  const bool recovered = directory_error_.has_value();
  directory_error_.reset();
  for (const auto& entry : entries) names.insert(entry.path().filename().string());
  return read(names) || recovered;
}

bool Directory::read(const std::set<std::string>& names) {
  bool changed = false;
  for (const auto& name : names) {
    if (counts(name)) changed |= load(name);
  }
  if (changed) settle();
  return changed;
}

// True when the file is not as it was.
bool Directory::load(const std::string& name) {
  const auto path = path_ / name;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    // Only a file that is surely gone takes its objects along.
    return status.type() == std::filesystem::file_type::not_found && files_.erase(name) > 0;
  }
  const auto refuse = [&](std::string why) {
    File& file = files_[name];
    SourceError now{name, 0, std::move(why)};
    if (file.error == now) return false;
    file.error = std::move(now);
    file.candidate.reset();
    file.text.clear();
    return true;
  };
  if (!std::filesystem::is_regular_file(status)) return refuse("is no regular file");
  if (std::filesystem::file_size(path, error) > kFileMaxBytes) return refuse("is longer than 64 MiB");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return refuse(fmt::format("cannot be opened: {}", std::strerror(errno)));
  std::string text{std::istreambuf_iterator<char>(stream), {}};

  const auto known = files_.find(name);
  if (known != files_.end() && known->second.text == text && !text.empty()) return false;
  File& file = files_[name];
  Parsed parsed = parse_yaml(name, text);
  file.text = std::move(text);
  file.error = std::move(parsed.error);
  file.refused_policies = std::move(parsed.refused_policies);
  file.candidate.reset();
  if (!file.error) file.candidate = std::move(parsed.objects);
  return true;
}

struct Directory::Holders {
  std::map<std::string, std::string> before;                // key → the file that holds it now
  std::map<std::string, std::set<std::string>> candidates;  // key → files whose candidate has it
  std::set<std::string> refused;                            // files whose candidate cannot count
};

// The error for which the candidate of `name` cannot count beside the others, given which are refused already.
std::optional<SourceError> Directory::conflict_of(const std::string& name, const Holders& holders) const {
  std::set<std::string> mine;
  for (const auto& object : *files_.at(name).candidate) {
    for (const auto& key : keys_of(object)) {
      if (!mine.insert(key).second) return SourceError{name, 0, key + " is there twice"};
      const auto wants = [&](const std::string& other) {
        return !holders.refused.contains(other) && holders.candidates.at(key).contains(other);
      };
      const auto before = holders.before.find(key);
      const bool held_by_me = before != holders.before.end() && before->second == name;
      if (before != holders.before.end() && !held_by_me) {
        // Against what counted before, the new one yields, unless the other file is about to give it up.
        const File& other = files_.at(before->second);
        const bool gives_up =
            other.candidate && !holders.refused.contains(before->second) && !wants(before->second);
        if (!gives_up) return SourceError{name, 0, fmt::format("{} is already in {}", key, before->second)};
      }
      // Of two new ones the first by name stands.
      const std::string& first = *holders.candidates.at(key).begin();
      if (held_by_me || first == name) continue;
      for (const auto& other : holders.candidates.at(key)) {
        if (other < name && wants(other)) {
          return SourceError{name, 0, fmt::format("{} is already in {}", key, other)};
        }
      }
    }
  }
  return std::nullopt;
}

// Accepts every candidate that conflicts with nothing. What counts now never conflicts with itself, and a pass either
// refuses a candidate or is the last.
void Directory::settle() {
  Holders holders;
  for (const auto& [name, file] : files_) {
    for (const auto& object : file.good) {
      for (auto& key : keys_of(object)) holders.before.emplace(std::move(key), name);
    }
    if (!file.candidate) continue;
    for (const auto& object : *file.candidate) {
      for (auto& key : keys_of(object)) holders.candidates[std::move(key)].insert(name);
    }
  }
  for (bool again = true; again;) {
    again = false;
    for (auto& [name, file] : files_) {
      if (!file.candidate || holders.refused.contains(name)) continue;
      file.error = conflict_of(name, holders);
      if (file.error) again = holders.refused.insert(name).second;
    }
  }
  for (auto& [name, file] : files_) {
    if (!file.candidate) continue;
    file.refused_policies.clear();
    if (!file.error) {
      file.good = std::move(*file.candidate);
      file.candidate.reset();
      continue;
    }
    // The candidate stays: it counts as soon as the other file gives the object up.
    for (const auto& object : *file.candidate) {
      const auto* policy = std::get_if<AuthorizationPolicy>(&object);
      if (policy == nullptr) continue;
      file.refused_policies.push_back(*policy);
      file.refused_policies.back().rules.clear();
      file.refused_policies.back().invalid = file.error->text();
    }
  }
}

Objects Directory::objects() const {
  Objects all;
  for (const auto& [name, file] : files_) {
    for (const auto& policy : file.refused_policies) all.add(policy);
  }
  // After the refused ones: a good state of the same policy takes their place.
  for (const auto& [name, file] : files_) {
    for (const auto& object : file.good) all.add(object);
  }
  add_missing_slices(all);
  return all;
}

std::vector<SourceError> Directory::errors() const {
  std::vector<SourceError> out;
  if (directory_error_) out.push_back(*directory_error_);
  for (const auto& [name, file] : files_) {
    if (file.error) out.push_back(*file.error);
  }
  return out;
}

}  // namespace weir::agent
