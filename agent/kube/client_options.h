#pragma once
// Where the API server is and how we say who we are. Files are named, not their content: tokens rotate, and bundles.
// Thread: values. Source: kubernetes.io "Accessing the Kubernetes API from a Pod".
#include <chrono>
#include <filesystem>
#include <string>

#include "nodeproxy/base/error.h"

namespace weir::agent::kube {

struct ClientOptions {
  std::string server;                                // https://host[:port], or http:// of loopback
  std::filesystem::path ca_file;                     // roots of the server's certificate; empty: the system's
  std::filesystem::path token_file;                  // of the service account; empty: none is sent
  std::filesystem::path certificate_file, key_file;  // a client certificate instead; empty: none
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds request_timeout{30000};  // a whole request; streams have none
  size_t answer_bytes_max = size_t{256} << 20;       // of an answer that is no stream

  // What a pod finds in its environment and below /var/run/secrets/kubernetes.io/serviceaccount.
  static Result<ClientOptions> in_cluster();
  // Errors name what is wrong: no URL, a token in plaintext over the network, files that cannot be read.
  Status check() const;
};

}  // namespace weir::agent::kube
