#pragma once
// `weir-agent validate FILE...`: whether the agent would take these files, said as it would refuse them. For an editor, a
// pipeline before `kubectl apply`, and the test that the CRDs' schemas and these readers agree. Pure but for reading the
// files and printing. Thread: any.
#include <string>
#include <vector>

namespace weir::agent {

// YAML; a file whose name ends in .json holds one object as the API server sends it, and is read as a watch of it would be.
// A line for each file, in their order: "FILE: 2 objects" on standard output, "FILE:12: why" on standard error. A policy that
// would only count as invalid is not good either. True when all are.
bool validate_files(const std::vector<std::string>& files);

}  // namespace weir::agent
