#pragma once
// Small files, read whole and written so that a crash leaves the old content or the new, never a part. Blocking.
#include <filesystem>
#include <string>
#include <string_view>

#include "nodeproxy/base/error.h"

namespace weir::agent {

// Errors: the errno's, with the path; bad_config above 1 MiB.
Result<std::string> read_small_file(const std::filesystem::path& path);

// A temporary file beside it (its name starts with a dot), synced, renamed over `path`, directory synced.
Status write_atomically(const std::filesystem::path& path, std::string_view content, unsigned mode);

// Removes it and syncs the directory; a file that is not there is welcome.
Status remove_durably(const std::filesystem::path& path);

// All missing directories of the path, with `mode`.
Status make_directories(const std::filesystem::path& path, unsigned mode);

}  // namespace weir::agent
