#pragma once
// The trust bundle as an agent keeps it on its disk, so that a restart serves on where no controller answers: PEM, after a
// line with the version. Thread: any; blocking, for milliseconds.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nodeproxy/base/error.h"

namespace weir::agent {

struct KeptBundle {
  uint64_t version = 0;            // 0: none
  std::vector<std::string> roots;  // DER
};

// A file that is not there is no error: version 0. Errors: one that cannot be read or understood.
Result<KeptBundle> read_kept_bundle(const std::filesystem::path& file);
Status keep_bundle(const std::filesystem::path& file, const KeptBundle& bundle);

}  // namespace weir::agent
