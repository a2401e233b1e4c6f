#pragma once
// What the CNI plugin and the agent say to each other: one JSON object a line, one question and one answer for each
// connection on the agent's Unix socket.
//
// Concept: plain values and their text. The plugin is linked statically and must stay small, so nothing here needs more
// than the JSON header. Neither side trusts the other's text: what is missing or of the wrong type is an error.
// Owner: whoever holds the values. Thread: any.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cni {

// Longer lines are refused by both sides.
inline constexpr size_t kLineMaxBytes = 64 * 1024;

struct Question {
  std::string command;                 // ADD, CHECK, DEL
  std::string ns, name, uid;           // of the pod; the runtime may not tell its uid
  std::string container;               // CNI_CONTAINERID, of the sandbox
  std::string netns;                   // CNI_NETNS, as the host sees it
  std::vector<std::string> addresses;  // of prevResult, without prefix length
  int wait_ms = 0;                     // how long the plugin waits for the answer

  bool operator==(const Question&) const = default;
};

enum class Verdict { captured, not_enrolled, refused };

struct Answer {
  Verdict verdict = Verdict::refused;
  bool again = true;    // with refused: trying again may help
  std::string message;  // for people; with refused it ends up in the pod's events

  bool operator==(const Answer&) const = default;
};

// With the newline that ends it.
std::string to_line(const Question& question);
std::string to_line(const Answer& answer);
// Nothing: not such an object.
std::optional<Question> read_question(std::string_view line);
std::optional<Answer> read_answer(std::string_view line);

}  // namespace weir::cni
