// See kept_bundle.h.
#include "agent/identity/kept_bundle.h"

#include <fmt/format.h>

#include <cerrno>
#include <sstream>

#include "agent/identity/authority.h"
#include "agent/loop/files.h"

namespace weir::agent {
namespace {

constexpr std::string_view kFirstLine = "# trust bundle, version ";

}  // namespace

Result<KeptBundle> read_kept_bundle(const std::filesystem::path& file) {
  const auto text = read_small_file(file);
  if (!text)
    return text.error().os_code == ENOENT ? KeptBundle{} : Result<KeptBundle>(std::unexpected(text.error()));
  KeptBundle bundle;
  if (text->starts_with(kFirstLine)) std::istringstream(text->substr(kFirstLine.size())) >> bundle.version;
  auto roots = certificates_of_pem(*text);
  if (bundle.version == 0 || !roots)
    return fail(Source::agent, Reason::bad_config, file.string() + " is no trust bundle: remove it");
  bundle.roots = std::move(*roots);
  return bundle;
}

Status keep_bundle(const std::filesystem::path& file, const KeptBundle& bundle) {
  const auto pem = pem_of(bundle.roots);
  if (!pem) return std::unexpected(pem.error());
  return write_atomically(file, fmt::format("{}{}\n{}", kFirstLine, bundle.version, *pem), 0600);
}

}  // namespace weir::agent
