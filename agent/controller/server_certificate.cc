// Issuing to oneself, and the file in memory. See server_certificate.h.
#include "agent/controller/server_certificate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace weir::agent::controller {
namespace {

// As the agent dials it, and as others may.
constexpr const char* kNames =
    "DNS:weir-controller.weir-system.svc,DNS:weir-controller.weir-system.svc.cluster.local,"
    "DNS:weir-controller.weir-system,DNS:weir-controller";

}  // namespace

Result<bool> ServerCertificate::renew(const Authority& authority, std::chrono::seconds life, int64_t now) {
  if (authority.id == authority_id_ && now < renew_at_) return false;
  const auto key = make_p256_key();
  if (!key) return std::unexpected(key.error());
  const auto issued = issue_leaf(authority.issuer(), key->get(), kNames, life, now);
  if (!issued) return std::unexpected(issued.error());
  const auto key_pem = pem_of_key(key->get()), chain = pem_of(issued->chain);
  if (!key_pem) return std::unexpected(key_pem.error());
  if (!chain) return std::unexpected(chain.error());
  if (auto ok = write(*key_pem + *chain); !ok) return std::unexpected(ok.error());
  authority_id_ = authority.id;
  not_after_ = issued->not_after;
  renew_at_ = now + (not_after_ - now) / 2;
  return true;
}

Status ServerCertificate::write(const std::string& pem) {
  Fd made(::memfd_create("weir-controller-certificate", MFD_CLOEXEC));
  if (!made) return fail_errno(Source::agent, "memfd_create", errno);
  for (size_t at = 0; at < pem.size();) {
    const ssize_t n = ::write(made.get(), pem.data() + at, pem.size() - at);
    if (n < 0 && errno != EINTR) return fail_errno(Source::agent, "writing the certificate to memory", errno);
    if (n > 0) at += static_cast<size_t>(n);
  }
  if (!fd_) {
    fd_ = std::move(made);
    path_ = fmt::format("/proc/{}/fd/{}", ::getpid(), fd_.get());
    return {};
  }
  // Under the same number at once: whoever opens the path sees the old one or the new.
  if (::dup3(made.get(), fd_.get(), O_CLOEXEC) < 0) return fail_errno(Source::agent, "dup3", errno);
  return {};
}

}  // namespace weir::agent::controller
