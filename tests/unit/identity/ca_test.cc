// Certificate requests that are refused, what is issued, and the life of the roots' directory.
#include <fcntl.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include <catch2/catch.hpp>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "agent/identity/csr.h"
#include "agent/identity/embedded_ca.h"

using namespace weir;
using namespace weir::agent;

namespace {

const std::string kIdentity = "spiffe://cluster.local/ns/shop/sa/web";

struct Scratch {
  std::filesystem::path path;
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-ca-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  EmbeddedCaOptions options(std::chrono::seconds life = std::chrono::hours(1)) const {
    return {path / "ca", path / "version", life};
  }
};

// A request with these subjectAltNames (each becomes an extension of its own), signed by `signer`.
std::string request(const std::vector<std::string>& names, EVP_PKEY* key, EVP_PKEY* signer) {
  const RequestPtr csr(X509_REQ_new());
  X509_REQ_set_pubkey(csr.get(), key);
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  for (const auto& name : names) {
    sk_X509_EXTENSION_push(extensions,
                           X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, name.c_str()));
  }
  if (!names.empty()) X509_REQ_add_extensions(csr.get(), extensions);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_sign(csr.get(), signer, EVP_sha256());
  unsigned char* bytes = nullptr;
  const int length = i2d_X509_REQ(csr.get(), &bytes);
  REQUIRE(length > 0);
  std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(length));
  OPENSSL_free(bytes);
  return der;
}

std::string good_request(const std::string& identity = kIdentity) {
  const auto key = make_p256_key();
  REQUIRE(key);
  return request({"URI:" + identity}, key->get(), key->get());
}

CertPtr leaf_of(const IssuedCertificate& issued) {
  REQUIRE(issued.chain.size() == 1);
  const auto* at = reinterpret_cast<const unsigned char*>(issued.chain[0].data());
  CertPtr leaf(d2i_X509(nullptr, &at, static_cast<long>(issued.chain[0].size())));
  REQUIRE(leaf);
  return leaf;
}

Result<IssuedCertificate> sign(EmbeddedCa& ca, const std::string& identity, const std::string& csr) {
  Result<IssuedCertificate> out = fail(Source::agent, Reason::internal, "never answered");
  ca.sign(identity, csr, [&](Result<IssuedCertificate> issued) { out = std::move(issued); });
  return out;
}

bool signed_by(X509* leaf, const Root& root) {
  return X509_verify(leaf, X509_get0_pubkey(root.certificate.get())) == 1;
}

}  // namespace

TEST_CASE("a request is refused unless it is exactly one identity's, of P-256, and signed by its own key") {
  const auto key = make_p256_key(), other = make_p256_key();
  REQUIRE(key);
  REQUIRE(other);
  const KeyPtr p384(EVP_EC_gen("P-384")), rsa(EVP_RSA_gen(2048));
  EVP_PKEY* k = key->get();
  const std::string uri = "URI:" + kIdentity;
  std::string tampered = request({uri}, k, k);
  tampered[tampered.size() / 2] = static_cast<char>(tampered[tampered.size() / 2] ^ 1);
  struct Row {
    std::string csr, says;
  };
  for (const auto& [csr, says] : std::vector<Row>{
           {request({}, k, k), "no subjectAltName"},
           {request({uri, uri}, k, k), "two subjectAltNames"},
           {request({uri + "," + uri}, k, k), "not exactly one name"},
           {request({uri + ",DNS:web"}, k, k), "not exactly one name"},
           {request({"DNS:web"}, k, k), "no URI"},
           {request({"URI:spiffe://cluster.local/ns/shop/sa/other"}, k, k), "another identity"},
           {request({uri + "x"}, k, k), "another identity"},
           {request({uri}, k, other->get()), "not signed by its own key"},
           {request({uri}, p384.get(), p384.get()), "not ECDSA P-256"},
           {request({uri}, rsa.get(), rsa.get()), "not ECDSA P-256"},
           {request({uri}, k, k) + "x", "no PKCS #10"},
           {"", "no PKCS #10"},
           {"garbage", "no PKCS #10"},
           {std::string(9000, '0'), "longer than"},
       }) {
    const auto got = check_csr(csr, kIdentity);
    REQUIRE_FALSE(got);
    CHECK(got.error().source == Source::peer);
    CHECK_THAT(*got.error().detail, Catch::Contains(says));
  }
  CHECK_FALSE(check_csr(tampered, kIdentity));
  CHECK(check_csr(request({uri}, k, k), kIdentity));
}

TEST_CASE("a leaf is an X.509-SVID: one critical URI, P-256, no CA, both purposes, a minute back-dated") {
  const Scratch scratch;
  auto ca = EmbeddedCa::open(scratch.options(std::chrono::seconds(10)));
  REQUIRE(ca);
  const auto issued = sign(**ca, kIdentity, good_request());
  REQUIRE(issued);
  const CertPtr leaf = leaf_of(*issued);
  X509* x = leaf.get();
  CHECK(signed_by(x, (*ca)->roots().front()));
  CHECK(X509_check_ca(x) == 0);
  CHECK(X509_NAME_entry_count(X509_get_subject_name(x)) == 0);
  CHECK(X509_get_key_usage(x) == KU_DIGITAL_SIGNATURE);
  CHECK(X509_get_extended_key_usage(x) == (XKU_SSL_SERVER | XKU_SSL_CLIENT));
  CHECK(is_p256(X509_get0_pubkey(x)));
  const int at = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);
  CHECK(X509_EXTENSION_get_critical(X509_get_ext(x, at)) == 1);
  const NamesPtr names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x, NID_subject_alt_name, nullptr, nullptr)));
  REQUIRE(sk_GENERAL_NAME_num(names.get()) == 1);
  const auto* uri = sk_GENERAL_NAME_value(names.get(), 0)->d.uniformResourceIdentifier;
  CHECK(std::string(reinterpret_cast<const char*>(uri->data), static_cast<size_t>(uri->length)) == kIdentity);

  std::time_t now = std::time(nullptr), soon = now + 11, ago = now - 59, earlier = now - 70;
  CHECK(X509_cmp_time(X509_get0_notAfter(x), &now) == 1);
  CHECK(X509_cmp_time(X509_get0_notAfter(x), &soon) == -1);
  CHECK(X509_cmp_time(X509_get0_notBefore(x), &ago) == -1);
  CHECK(X509_cmp_time(X509_get0_notBefore(x), &earlier) == 1);
  CHECK(issued->not_after >= now + 8);
  CHECK(issued->not_after <= now + 10);
  CHECK(ASN1_STRING_length(X509_get0_serialNumber(x)) == 16);
}

TEST_CASE("OpenSSL's own verification takes the chain for both purposes") {
  const Scratch scratch;
  auto ca = EmbeddedCa::open(scratch.options());
  REQUIRE(ca);
  const auto issued = sign(**ca, kIdentity, good_request());
  REQUIRE(issued);
  const CertPtr leaf = leaf_of(*issued);
  const std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>> store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), (*ca)->roots().front().certificate.get());
  X509_STORE_set_flags(store.get(), X509_V_FLAG_X509_STRICT);
  for (const int purpose : {X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER}) {
    const std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>> context(X509_STORE_CTX_new());
    X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), nullptr);
    X509_STORE_CTX_set_purpose(context.get(), purpose);
    CHECK(X509_verify_cert(context.get()) == 1);
    INFO(X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
}

TEST_CASE("the root's file is for its owner only, and one that others may read is refused") {
  const Scratch scratch;
  REQUIRE(ensure_root(scratch.path / "ca"));
  const auto roots = read_roots(scratch.path / "ca");
  REQUIRE(roots);
  REQUIRE(roots->size() == 1);
  const auto file = scratch.path / "ca" / ("root-" + roots->front().id + ".pem");
  struct stat found{};
  REQUIRE(::stat(file.c_str(), &found) == 0);
  CHECK((found.st_mode & 0777) == 0600);
  ::chmod(file.c_str(), 0644);
  const auto refused = read_roots(scratch.path / "ca");
  REQUIRE_FALSE(refused);
  CHECK_THAT(*refused.error().detail, Catch::Contains("chmod 600"));
}

TEST_CASE("many agents that start at once make one root") {
  const Scratch scratch;
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(ensure_root(scratch.path / "ca") ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 0);
  }
  const auto roots = read_roots(scratch.path / "ca");
  REQUIRE(roots);
  CHECK(roots->size() == 1);
}

TEST_CASE("a broken root is an error, and no new one is made beside it") {
  const Scratch scratch;
  std::filesystem::create_directory(scratch.path / "ca");
  std::ofstream(scratch.path / "ca" / "root-x.pem")
      << "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
  CHECK_FALSE(EmbeddedCa::open(scratch.options()));
  CHECK(std::distance(std::filesystem::directory_iterator(scratch.path / "ca"), {}) == 2);  // it and the lock
}

TEST_CASE("a new root is trusted at once and signs when every node has had time to trust it") {
  const Scratch scratch;
  auto ca = EmbeddedCa::open(scratch.options());
  REQUIRE(ca);
  const uint64_t version = (*ca)->bundle_version();
  const std::string first = (*ca)->roots().front().id;
  const auto second = rotate_root(scratch.path / "ca");
  REQUIRE(second);
  REQUIRE((*ca)->reload() == true);
  CHECK((*ca)->bundle().size() == 2);
  CHECK((*ca)->bundle_version() == version + 1);
  CHECK((*ca)->reload() == false);

  const auto& roots = (*ca)->roots();
  const int64_t now = std::time(nullptr);
  // Of two roots of the same moment both wait: the oldest signs meanwhile.
  CHECK(signing_root(roots, now)->id == first);
  CHECK(signing_root(roots, now + 6)->id == *second);

  CHECK_FALSE(retire_root(scratch.path / "ca", "nope"));
  REQUIRE(retire_root(scratch.path / "ca", first));
  REQUIRE((*ca)->reload() == true);
  CHECK((*ca)->bundle_version() == version + 2);
  const auto issued = sign(**ca, kIdentity, good_request());
  REQUIRE(issued);
  CHECK(signed_by(leaf_of(*issued).get(), (*ca)->roots().front()));
  const auto last = retire_root(scratch.path / "ca", *second);
  REQUIRE_FALSE(last);
  CHECK_THAT(*last.error().detail, Catch::Contains("last root"));
}

TEST_CASE("a certificate without a key is trusted and never signs") {
  const Scratch scratch, foreign;
  REQUIRE(ensure_root(foreign.path / "ca"));
  const auto other = read_roots(foreign.path / "ca");
  REQUIRE(other);
  auto ca = EmbeddedCa::open(scratch.options());
  REQUIRE(ca);
  const auto file = scratch.path / "ca" / "root-zz-foreign.pem";
  const std::unique_ptr<FILE, FreeWith<std::fclose>> out(std::fopen(file.c_str(), "w"));
  PEM_write_X509(out.get(), other->front().certificate.get());
  std::fflush(out.get());
  REQUIRE((*ca)->reload() == true);
  CHECK((*ca)->bundle().size() == 2);
  CHECK(signing_root((*ca)->roots(), std::time(nullptr) + 100)->key != nullptr);
  CHECK(signing_root((*ca)->roots(), std::time(nullptr) + 100)->id != "zz-foreign");
}

TEST_CASE("the bundle's version survives a restart, and rises over a change made meanwhile") {
  const Scratch scratch;
  uint64_t version = 0;
  {
    auto ca = EmbeddedCa::open(scratch.options());
    REQUIRE(ca);
    version = (*ca)->bundle_version();
  }
  {
    auto ca = EmbeddedCa::open(scratch.options());
    REQUIRE(ca);
    CHECK((*ca)->bundle_version() == version);
  }
  REQUIRE(rotate_root(scratch.path / "ca"));
  auto ca = EmbeddedCa::open(scratch.options());
  REQUIRE(ca);
  CHECK((*ca)->bundle_version() == version + 1);
}
