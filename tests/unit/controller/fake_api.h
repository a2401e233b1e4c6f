#pragma once
// An API server of a test: answers by path, at once or when told, and remembers what was asked. And a certificate request.
// Owner: the test. Thread: the test's.
#include <openssl/x509v3.h>

#include <catch2/catch.hpp>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "agent/controller/api.h"
#include "agent/identity/authority.h"

namespace weir::agent::controller {

struct FakeApi {
  struct Asked {
    std::string method, path, body;
  };
  std::vector<Asked> asked;
  std::function<Result<kube::Answer>(const Asked&)> answer;

  Ask ask() {
    return
        [this](std::string method, std::string path, std::string, std::string body, kube::Client::Done done) {
          asked.push_back({std::move(method), std::move(path), std::move(body)});
          const Asked now = asked.back();
          done(answer(now));
        };
  }
};

inline std::string request_for(const std::vector<std::string>& names) {
  const auto key = make_p256_key();
  REQUIRE(key);
  const RequestPtr csr(X509_REQ_new());
  X509_REQ_set_pubkey(csr.get(), key->get());
  STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
  for (const auto& name : names) {
    sk_X509_EXTENSION_push(extensions,
                           X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, name.c_str()));
  }
  X509_REQ_add_extensions(csr.get(), extensions);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_sign(csr.get(), key->get(), EVP_sha256());
  unsigned char* bytes = nullptr;
  const int length = i2d_X509_REQ(csr.get(), &bytes);
  std::string der(reinterpret_cast<char*>(bytes), static_cast<size_t>(length));
  OPENSSL_free(bytes);
  return der;
}

inline Authority make_authority(const std::string& id, int64_t now) {
  const auto pem = make_root_pem(id);
  REQUIRE(pem);
  auto authority = read_authority(pem->certificate, pem->key, "", now);
  REQUIRE(authority);
  return std::move(*authority);
}

}  // namespace weir::agent::controller
