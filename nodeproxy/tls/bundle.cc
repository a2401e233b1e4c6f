// Parsing the roots. See bundle.h.
#include "nodeproxy/tls/bundle.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#include <atomic>

#include "nodeproxy/tls/verify.h"

namespace weir::tls {
namespace {

std::atomic<uint64_t> bundles{0};

}  // namespace

Bundle::Bundle(Trust trust) : trust_(std::move(trust)), number_(++bundles), roots_(X509_STORE_new()) {}

Bundle::~Bundle() = default;

Result<std::shared_ptr<const Bundle>> Bundle::make(Trust trust) {
  std::shared_ptr<Bundle> bundle(new Bundle(std::move(trust)));
  for (const std::string& root : bundle->trust_.roots) {
    const bssl::UniquePtr<X509> certificate = parse_certificate(root);
    if (!certificate || !X509_STORE_add_cert(bundle->roots_.get(), certificate.get())) {
      ERR_clear_error();
      return fail(Source::config, Reason::bad_config, "a root of the trust bundle is not a certificate");
    }
  }
  if (bundle->trust_.roots.empty())
    return fail(Source::config, Reason::bad_config, "the trust bundle has no root");
  return bundle;
}

}  // namespace weir::tls
