// Directory and its watch. See file_source.h.
#include "agent/files/file_source.h"

#include <nlohmann/json.hpp>

namespace weir::agent {

void FileSource::start(std::function<void()> changed) {
  changed_ = std::move(changed);
  // The watch first, then the first reading: nothing between is missed.
  watch_ = std::make_unique<DirectoryWatch>(loop_, path_,
                                            [this](const auto& names, bool all) { read(names, all); });
  if (directory_.read_all()) ++reads_;
  objects_ = directory_.objects();
  changed_();
}

void FileSource::read(const std::set<std::string>& names, bool all) {
  if (!(all ? directory_.read_all() : directory_.read(names))) return;
  ++reads_;
  objects_ = directory_.objects();
  changed_();
}

std::string FileSource::status_json() const {
  return nlohmann::json{{"directory", path_.string()}, {"files", directory_.file_count()}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void FileSource::tell_metrics(const SetMetric& set) const {
  set("weir_agent_source_files", static_cast<double>(directory_.file_count()), {});
  set("weir_agent_source_reads_total", static_cast<double>(reads_), {});
}

}  // namespace weir::agent
