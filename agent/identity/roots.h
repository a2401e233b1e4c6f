#pragma once
// The directory of root certificates (--ca-dir), which several agents of one machine may share: one file per root,
// root-ID.pem, mode 0600, with the certificate and, where this machine may sign with it, its key. A file with a
// certificate only is trusted and never signs: that is how an operator adds another root.
//
// Concept: every certificate there is trusted (root overlap); the newest with a key signs, but only once it has been
// there for kSigningDelay, so that every node trusts it first. Changes take a lock file (flock), so two agents never
// make two roots, and are atomic and synced, so a crash leaves a directory that is whole. A file that cannot be read
// is an error for all: trust is never guessed, and a new root is never made beside a broken one.
// Thread: any; blocking, for milliseconds (at most 10 s for the lock).
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/identity/openssl.h"
#include "nodeproxy/base/error.h"

namespace weir::agent {

struct Root {
  std::string id;  // of the file's name
  CertPtr certificate;
  KeyPtr key;  // null: trusted only
  std::string der;
  int64_t since = 0;  // Unix seconds: when the file came
};

inline constexpr auto kSigningDelay = std::chrono::seconds(5);

// Oldest first. An empty directory is no error.
Result<std::vector<Root>> read_roots(const std::filesystem::path& ca_dir);

// Makes the directory and, when there is none that can sign, a root. Under the lock.
Status ensure_root(const std::filesystem::path& ca_dir);

// Adds a root, which will sign; the id of it. `weir-agent ca rotate`.
Result<std::string> rotate_root(const std::filesystem::path& ca_dir);

// Removes one; refuses the last that can sign. `weir-agent ca retire ID`.
Status retire_root(const std::filesystem::path& ca_dir, const std::string& id);

// Which of `roots` signs at Unix time `now`; null when none has a key.
const Root* signing_root(const std::vector<Root>& roots, int64_t now);

}  // namespace weir::agent
