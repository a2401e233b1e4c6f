#pragma once
// Asking the agent, with a deadline: the plugin's side of protocol.h. Blocking; one question a connection.
//
// Three outcomes: an answer; nobody there (no socket, nobody listens, or whoever took the question died over it), and
// asking again soon may find a successor; and silence until the deadline, or an answer in no known words.
// Thread: any. Lifetime: one call.
#include <chrono>
#include <optional>
#include <string>

#include "agent/cni/protocol.h"

namespace weir::cni {

using Clock = std::chrono::steady_clock;

struct Asked {
  std::optional<Answer> answer;
  bool silent = false;  // somebody took the question: asking again is no use
  std::string why;      // without an answer
};

Asked ask(const std::string& socket_path, const Question& question, Clock::time_point deadline);

}  // namespace weir::cni
