#pragma once
// Files or the API server, as the command line says. Thread: the loop's. Lifetime: within the loop's.
#include <memory>

#include "agent/kube/client.h"
#include "agent/model/source.h"
#include "agent/options.h"

namespace weir::agent {

// A source, and what it needs.
struct OpenedSource {
  std::unique_ptr<kube::Client> client;  // of the API server; none with files
  std::unique_ptr<ObjectSource> source;  // goes first
};

Result<OpenedSource> open_source(Loop& loop, const AgentOptions& options);
// --api-server, --kube-ca, --kube-token …, and in their place what a pod is given.
Result<kube::ClientOptions> api_server(const AgentOptions& options);

}  // namespace weir::agent
