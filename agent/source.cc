// See source.h.
#include "agent/source.h"

#include "agent/files/file_source.h"
#include "agent/kube/source.h"

namespace weir::agent {

Result<kube::ClientOptions> api_server(const AgentOptions& options) {
  kube::ClientOptions client;
  if (options.api_server.empty()) {
    auto found = kube::ClientOptions::in_cluster();
    if (!found) return found;
    client = std::move(*found);
  } else {
    client.server = options.api_server;
  }
  if (!options.kube_ca.empty()) client.ca_file = options.kube_ca;
  if (!options.kube_token.empty()) client.token_file = options.kube_token;
  if (!options.kube_certificate.empty()) client.certificate_file = options.kube_certificate;
  if (!options.kube_key.empty()) client.key_file = options.kube_key;
  if (auto ok = client.check(); !ok) return std::unexpected(ok.error());
  return client;
}

Result<OpenedSource> open_source(Loop& loop, const AgentOptions& options) {
  OpenedSource opened;
  if (!options.kubernetes) {
    if (!std::filesystem::is_directory(options.source_dir)) {
      return fail(Source::config, Reason::bad_config,
                  "--source " + options.source_dir.string() + " is no directory");
    }
    opened.source = std::make_unique<FileSource>(loop, options.source_dir);
    return opened;
  }
  auto client = api_server(options);
  if (!client) return std::unexpected(client.error());
  opened.client = std::make_unique<kube::Client>(loop, std::move(*client));
  opened.source = std::make_unique<kube::Source>(loop, *opened.client, kube::Source::Options());
  return opened;
}

}  // namespace weir::agent
