#pragma once
// weir-cni: the last plugin of the node's chain, which lets a pod start only once it is captured.
//
// Concept: on ADD it asks the agent and waits. The agent says captured or not enrolled: the pod starts, with the result
// of the plugins before passed on unchanged. It says refused: the runtime gets an error, undoes the network, and the
// kubelet tries again. No agent: the list on disk decides (enrolled_file.h); pods of Weir's own namespace and of
// kube-system are never held back, or a node could not start the agent that it waits for. DEL never fails. CHECK asks,
// STATUS and GC have nothing to say: not ready would keep Weir's own pods from starting.
// Source: CNI specification 1.1.0 (0.3.1 to 1.1.0 are understood). Owner: main. Lifetime: one call of the runtime.
#include <map>
#include <string>

namespace weir::cni {

struct Call {
  std::map<std::string, std::string> environment;  // CNI_*
  std::string config;                              // standard input
};

struct Outcome {
  int code = 0;
  std::string output;  // for standard output
  std::string note;    // for standard error, which runtimes log; may be empty
};

Outcome run(const Call& call);

}  // namespace weir::cni
