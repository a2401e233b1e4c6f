// Root files: reading, making, locking. See roots.h.
#include "agent/identity/roots.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/pem.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <thread>

#include "agent/identity/issue.h"
#include "agent/loop/files.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent {
namespace {

constexpr std::string_view kPrefix = "root-", kSuffix = ".pem";
constexpr auto kLockWait = std::chrono::seconds(10);

std::filesystem::path file_of(const std::filesystem::path& ca_dir, const std::string& id) {
  return ca_dir / fmt::format("{}{}{}", kPrefix, id, kSuffix);
}

// Held while the returned descriptor lives. The kernel lets go of it when the process dies.
Result<Fd> lock(const std::filesystem::path& ca_dir) {
  const auto path = ca_dir / ".lock";
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(Source::agent, path.string(), errno);
  const auto deadline = std::chrono::steady_clock::now() + kLockWait;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno(Source::agent, path.string(), errno);
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(Source::agent, Reason::io, path.string() + " has been locked by another process for 10 s");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return fd;
}

Result<Root> read_root(const std::filesystem::path& path, std::string id) {
  struct stat found{};
  if (::stat(path.c_str(), &found) != 0) return fail_errno(Source::agent, path.string(), errno);
  const auto content = read_small_file(path);
  if (!content) return std::unexpected(content.error());
  Root root;
  root.id = std::move(id);
  root.since = found.st_mtim.tv_sec;
  const BioPtr certificate(BIO_new_mem_buf(content->data(), static_cast<int>(content->size())));
  root.certificate.reset(PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr));
  if (!root.certificate) return fail_openssl(path.string() + " holds no certificate");
  if (X509_check_ca(root.certificate.get()) != 1) {
    return fail(Source::agent, Reason::bad_config, path.string() + ": the certificate is not a CA's");
  }
  auto der = to_der(root.certificate.get());
  if (!der) return std::unexpected(der.error());
  root.der = std::move(*der);
  if (content->find("PRIVATE KEY-----") == std::string::npos) return root;

  if ((found.st_mode & 077) != 0) {
    return fail(Source::agent, Reason::bad_config,
                fmt::format("{} holds a key and others may read it (mode {:o}): chmod 600", path.string(),
                            found.st_mode & 0777));
  }
  const BioPtr key(BIO_new_mem_buf(content->data(), static_cast<int>(content->size())));
  root.key.reset(PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr));
  if (!root.key) return fail_openssl(path.string() + ": the key cannot be read");
  if (X509_check_private_key(root.certificate.get(), root.key.get()) != 1) {
    return fail_openssl(path.string() + ": key and certificate are not a pair");
  }
  return root;
}

// Under the lock.
Result<std::string> make_root(const std::filesystem::path& ca_dir) {
  auto key = make_p256_key();
  if (!key) return std::unexpected(key.error());
  const std::string stamp = root_stamp(std::time(nullptr));
  std::string id = stamp;
  for (int n = 2; std::filesystem::exists(file_of(ca_dir, id)); ++n) id = fmt::format("{}-{}", stamp, n);
  auto certificate = make_root_certificate(key->get(), id);
  if (!certificate) return std::unexpected(certificate.error());
  const BioPtr out(BIO_new(BIO_s_secmem()));
  if (!out || PEM_write_bio_X509(out.get(), certificate->get()) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(out.get(), key->get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return fail_openssl("encoding a root");
  }
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(out.get(), &bytes);
  const std::string_view content(bytes, static_cast<size_t>(length));
  if (auto ok = write_atomically(file_of(ca_dir, id), content, 0600); !ok) return std::unexpected(ok.error());
  return id;
}

}  // namespace

Result<std::vector<Root>> read_roots(const std::filesystem::path& ca_dir) {
  std::vector<Root> roots;
  std::error_code error;
  std::filesystem::directory_iterator entries(ca_dir, error);
  if (error) return fail_errno(Source::agent, ca_dir.string(), error.value());
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const std::string id = name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
    auto root = read_root(entry.path(), id);
    if (!root) {
      // Retired between listing and reading.
      if (root.error().os_code == ENOENT) continue;
      return std::unexpected(root.error());
    }
    roots.push_back(std::move(*root));
  }
  std::ranges::sort(roots, [](const Root& a, const Root& b) {
    const int order =
        ASN1_TIME_compare(X509_get0_notBefore(a.certificate.get()), X509_get0_notBefore(b.certificate.get()));
    return order != 0 ? order < 0 : a.id < b.id;
  });
  return roots;
}

Status ensure_root(const std::filesystem::path& ca_dir) {
  if (auto ok = make_directories(ca_dir, 0700); !ok) return ok;
  const auto held = lock(ca_dir);
  if (!held) return std::unexpected(held.error());
  const auto roots = read_roots(ca_dir);
  if (!roots) return std::unexpected(roots.error());
  if (std::ranges::any_of(*roots, [](const Root& root) { return root.key != nullptr; })) return {};
  const auto made = make_root(ca_dir);
  return made ? Status() : std::unexpected(made.error());
}

Result<std::string> rotate_root(const std::filesystem::path& ca_dir) {
  const auto held = lock(ca_dir);
  if (!held) return std::unexpected(held.error());
  if (const auto roots = read_roots(ca_dir); !roots) return std::unexpected(roots.error());
  return make_root(ca_dir);
}

Status retire_root(const std::filesystem::path& ca_dir, const std::string& id) {
  const auto held = lock(ca_dir);
  if (!held) return std::unexpected(held.error());
  const auto roots = read_roots(ca_dir);
  if (!roots) return std::unexpected(roots.error());
  if (std::ranges::none_of(*roots, [&](const Root& root) { return root.id == id; })) {
    std::string known;
    for (const auto& root : *roots) known += " " + root.id;
    return fail(Source::agent, Reason::bad_config, "there is no root " + id + "; there are:" + known);
  }
  if (std::ranges::none_of(*roots, [&](const Root& root) { return root.key && root.id != id; })) {
    return fail(
        Source::agent, Reason::bad_config,
        id +
            " is the last root that can sign: `weir-agent ca rotate` first, and let certificates be renewed");
  }
  return remove_durably(file_of(ca_dir, id));
}

const Root* signing_root(const std::vector<Root>& roots, int64_t now) {
  const Root* oldest = nullptr;
  const Root* chosen = nullptr;
  for (const auto& root : roots) {
    if (!root.key) continue;
    if (oldest == nullptr) oldest = &root;
    if (now - root.since >= kSigningDelay.count()) chosen = &root;
  }
  return chosen != nullptr ? chosen : oldest;
}

}  // namespace weir::agent
