#pragma once
// Configuration from a file (--config): one Update of mesh.proto, as textproto (.txtpb) or JSON (.json). It starts the
// proxy without agent, Kubernetes or BPF.
//
// Concept: reading and parsing only; config::Builder validates what a file says as it does what an agent says.
// Owner: app, at start. Thread: any. Lifetime: the call.
#include <string>

#include "nodeproxy/base/error.h"

namespace weir::mesh::v1 {
class Update;
}

namespace weir::config {

// Reads and parses; validation is the builder's. The update is marked full_state. In textproto addresses may be written
// as text ("10.0.0.1", "fd00::1") as well as bytes; in JSON they are base64, as protobuf's mapping says.
// Errors: bad_config with "FILE:LINE: what", or the errno's reason.
Result<mesh::v1::Update> load_file(const std::string& path);

}  // namespace weir::config
