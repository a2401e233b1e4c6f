#pragma once
// Why a call is not answered: gRPC's word for it, and a sentence for who reads the agent's log. Thread: values.
// Source: the numbers are those of grpc::StatusCode (grpc/status.h), kept apart so that the rules need no gRPC.
#include <expected>
#include <string>

namespace weir::agent::controller {

struct Refusal {
  enum class Code : int {
    invalid_argument = 3,
    permission_denied = 7,
    resource_exhausted = 8,
    unavailable = 14,
    unauthenticated = 16,
  };
  Code code = Code::unavailable;
  std::string sentence;
};

inline std::unexpected<Refusal> refuse(Refusal::Code code, std::string sentence) {
  return std::unexpected(Refusal{code, std::move(sentence)});
}

}  // namespace weir::agent::controller
