#pragma once
// A GET over a Unix socket, for the administration sockets of agent and proxy. Blocking, bounded. Thread: any.
#include <string>

#include "nodeproxy/base/error.h"

namespace weir::agent {

struct HttpAnswer {
  int status = 0;
  std::string body;
};

// Errors: the errno's when nobody listens (ENOENT: no such file, ECONNREFUSED), connect_timeout after 15 s of silence,
// protocol_error for what is no HTTP.
Result<HttpAnswer> get_unix(const std::string& socket_path, const std::string& path);

}  // namespace weir::agent
