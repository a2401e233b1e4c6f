// In-cluster defaults, and what must hold of any options. See client_options.h.
#include "agent/kube/client_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

namespace weir::agent::kube {
namespace {

constexpr std::string_view kAccount = "/var/run/secrets/kubernetes.io/serviceaccount";

std::unexpected<Error> bad(std::string why) {
  return fail(Source::config, Reason::bad_config, std::move(why));
}

bool is_loopback(std::string_view server) {
  const size_t begin = server.find("://") + 3;
  const std::string_view host = server.substr(begin);
  return host.starts_with("127.") || host.starts_with("[::1]") || host == "localhost" ||
         host.starts_with("localhost:");
}

}  // namespace

Result<ClientOptions> ClientOptions::in_cluster() {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr || *host == '\0' || *port == '\0') {
    return bad("this is no pod: KUBERNETES_SERVICE_HOST and _PORT are not set; name the API server by flag");
  }
  ClientOptions options;
  const bool v6 = std::string_view(host).find(':') != std::string_view::npos;
  options.server = fmt::format(fmt::runtime(v6 ? "https://[{}]:{}" : "https://{}:{}"), host, port);
  options.ca_file = std::filesystem::path(kAccount) / "ca.crt";
  options.token_file = std::filesystem::path(kAccount) / "token";
  return options;
}

Status ClientOptions::check() const {
  const bool tls = server.starts_with("https://");
  if (!tls && !server.starts_with("http://"))
    return bad("the API server's URL is no https:// URL: " + server);
  if (server.ends_with('/')) return bad("the API server's URL must not end with a slash: " + server);
  if (!tls && !is_loopback(server)) return bad("the API server is spoken to over https:// only: " + server);
  for (const auto& file : {ca_file, token_file, certificate_file, key_file}) {
    if (!file.empty() && ::access(file.c_str(), R_OK) != 0) {
      return fail(Source::config, Reason::bad_config, file.string() + " cannot be read", errno);
    }
  }
  if (certificate_file.empty() != key_file.empty())
    return bad("a client certificate needs its key, and the key it");
  return {};
}

}  // namespace weir::agent::kube
