// Values to JSON and back. See protocol.h.
#include "agent/cni/protocol.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace weir::cni {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<Verdict, const char*>, 3> kVerdicts = {
    {{Verdict::captured, "captured"},
     {Verdict::not_enrolled, "not_enrolled"},
     {Verdict::refused, "refused"}}};

std::string line_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

bool take(const json& object, const char* key, std::string& into) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return false;
  into = found->get_ref<const std::string&>();
  return true;
}

}  // namespace

std::string to_line(const Question& question) {
  return line_of({{"command", question.command},
                  {"namespace", question.ns},
                  {"name", question.name},
                  {"uid", question.uid},
                  {"container", question.container},
                  {"netns", question.netns},
                  {"addresses", question.addresses},
                  {"wait_ms", question.wait_ms}});
}

std::string to_line(const Answer& answer) {
  const char* verdict = "refused";
  for (const auto& [value, text] : kVerdicts) {
    if (value == answer.verdict) verdict = text;
  }
  return line_of({{"verdict", verdict}, {"again", answer.again}, {"message", answer.message}});
}

std::optional<Question> read_question(std::string_view line) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  Question question;
  const bool whole = take(object, "command", question.command) && take(object, "namespace", question.ns) &&
                     take(object, "name", question.name) && take(object, "uid", question.uid) &&
                     take(object, "container", question.container) && take(object, "netns", question.netns);
  const auto addresses = object.find("addresses"), wait = object.find("wait_ms");
  if (!whole || addresses == object.end() || !addresses->is_array() || wait == object.end() ||
      !wait->is_number_integer()) {
    return std::nullopt;
  }
  for (const auto& address : *addresses) {
    if (!address.is_string()) return std::nullopt;
    question.addresses.push_back(address.get_ref<const std::string&>());
  }
  const auto wait_ms = wait->get<int64_t>();
  if (wait_ms < 0 || wait_ms > 600'000) return std::nullopt;
  question.wait_ms = static_cast<int>(wait_ms);
  return question;
}

std::optional<Answer> read_answer(std::string_view line) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  Answer answer;
  std::string verdict;
  if (!take(object, "verdict", verdict) || !take(object, "message", answer.message)) return std::nullopt;
  const auto again = object.find("again");
  if (again == object.end() || !again->is_boolean()) return std::nullopt;
  answer.again = again->get<bool>();
  for (const auto& [value, text] : kVerdicts) {
    if (verdict != text) continue;
    answer.verdict = value;
    return answer;
  }
  return std::nullopt;
}

}  // namespace weir::cni
