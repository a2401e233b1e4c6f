#pragma once
// The text of a file as YAML documents. Throws Refused, or yaml-cpp's own exceptions. Thread: any; no state.
#include <string>
#include <vector>

#include "agent/files/fields.h"

namespace weir::agent {

// Those that are not empty, Lists opened up (one level: a List of Lists is nothing that Kubernetes writes).
std::vector<Field> documents_of(const std::string& text);

}  // namespace weir::agent
