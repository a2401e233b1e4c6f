// The verbs of the specification. See plugin.h.
#include "agent/cni/plugin.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/cni/ask.h"
#include "agent/cni/enrolled_file.h"

namespace weir::cni {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

constexpr std::array<std::string_view, 4> kVersions = {"0.3.1", "0.4.0", "1.0.0", "1.1.0"};
constexpr std::string_view kOwnNamespace = "weir-system", kSystemNamespace = "kube-system";
constexpr auto kRetry = milliseconds(100);

// Error codes of the specification; from 100 on they are the plugin's own.
enum Code {
  incompatible = 1,
  bad_environment = 4,
  bad_json = 6,
  bad_config = 7,
  try_again = 11,
  never = 100
};

struct Config {
  std::string version;
  std::string socket = "/run/weir/cni.sock", enrolled_file;
  milliseconds wait{20'000};    // for the agent's answer; the kubelet gives the runtime minutes
  milliseconds restart{5'000};  // for an agent that is not there, before a pod that needs it is sent away
  json previous;                // null: not chained
};

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

Outcome failed(const std::string& version, Code code, const std::string& message) {
  return {1, text_of({{"cniVersion", version}, {"code", code}, {"msg", "weir: " + message}}), {}};
}

std::string text_at(const json& object, const char* key, const std::string& fallback) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : fallback;
}

milliseconds time_at(const json& object, const char* key, milliseconds fallback) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return fallback;
  return milliseconds(std::clamp<int64_t>(found->get<int64_t>(), 0, 600'000));
}

std::optional<Config> read_config(const std::string& text) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  Config config;
  config.version = text_at(object, "cniVersion", "0.1.0");  // what the specification says of none
  config.socket = text_at(object, "socket", config.socket);
  config.enrolled_file = text_at(object, "enrolledNamespaces", "");
  config.wait = time_at(object, "waitMs", config.wait);
  config.restart = time_at(object, "restartMs", config.restart);
  config.previous = object.value("prevResult", json());
  return config;
}

std::string variable(const Call& call, const char* name) {
  const auto found = call.environment.find(name);
  return found == call.environment.end() ? std::string() : found->second;
}

// One of CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;…".
std::string argument(const std::string& arguments, std::string_view name) {
  for (size_t at = 0; at < arguments.size();) {
    const size_t end = std::min(arguments.find(';', at), arguments.size());
    const std::string_view pair = std::string_view(arguments).substr(at, end - at);
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=') {
      return std::string(pair.substr(name.size() + 1));
    }
    at = end + 1;
  }
  return {};
}

// The pod's own addresses in prevResult: those of interfaces on the host's side are left out.
std::vector<std::string> pod_addresses(const json& previous) {
  std::vector<std::string> out;
  const json interfaces = previous.value("interfaces", json::array());
  const json ips = previous.value("ips", json::array());
  if (!ips.is_array() || !interfaces.is_array()) return out;
  for (const auto& ip : ips) {
    if (!ip.is_object()) continue;
    const auto index = ip.find("interface");
    if (index != ip.end() && index->is_number_unsigned() && index->get<size_t>() < interfaces.size()) {
      const json& interface = interfaces[index->get<size_t>()];
      if (!interface.is_object() || text_at(interface, "sandbox", "").empty()) continue;
    }
    const std::string address = text_at(ip, "address", "");
    if (!address.empty()) out.push_back(address.substr(0, address.find('/')));
  }
  return out;
}

Question question_of(const Call& call, const Config& config, const std::string& command) {
  const std::string arguments = variable(call, "CNI_ARGS");
  Question question;
  question.command = command;
  question.ns = argument(arguments, "K8S_POD_NAMESPACE");
  question.name = argument(arguments, "K8S_POD_NAME");
  question.uid = argument(arguments, "K8S_POD_UID");
  question.container = variable(call, "CNI_CONTAINERID");
  question.netns = variable(call, "CNI_NETNS");
  if (config.previous.is_object()) question.addresses = pod_addresses(config.previous);
  question.wait_ms = static_cast<int>(config.wait.count());
  return question;
}

// Nobody answers: the list on disk says whether the pod may pass, and whether an agent is worth waiting for.
Answer decide_alone(const Config& config, const Question& question, const std::string& why) {
  const EnrolledFile file = read_enrolled(config.enrolled_file);
  const std::string asked = "no answer from the agent of this node (" + why + ")";
  if (file.state == EnrolledFile::State::absent) {
    return {Verdict::not_enrolled, false, asked + ", and no list of enrolled namespaces is on this node"};
  }
  if (!file.may_be_enrolled(question.ns)) {
    return {Verdict::not_enrolled, false, asked + "; namespace " + question.ns + " is not enrolled"};
  }
  if (file.state == EnrolledFile::State::damaged) {
    return {Verdict::refused, true, asked + ", and " + config.enrolled_file + " is damaged: " + file.why};
  }
  return {Verdict::refused, true,
          asked + ", and namespace " + question.ns + " is enrolled: its pods wait for the agent"};
}

// Asks until there is an answer, the time is over, or the pod may start without one.
Answer ask_agent(const Config& config, Question question) {
  const auto begun = Clock::now();
  const auto deadline = begun + config.wait, patience = begun + std::min(config.wait, config.restart);
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
    question.wait_ms = static_cast<int>(std::max<int64_t>(left.count(), 0));
    const Asked asked = ask(config.socket, question, deadline);
    if (asked.answer) return *asked.answer;
    const Answer alone = decide_alone(config, question, asked.why);
    if (alone.verdict != Verdict::refused || asked.silent || Clock::now() + kRetry > patience) return alone;
    std::this_thread::sleep_for(kRetry);
  }
}

// ADD and CHECK: they differ in what is printed when all is well.
Outcome admit(const Call& call, const Config& config, const std::string& command) {
  if (!config.previous.is_object()) {
    return failed(config.version, bad_config,
                  "weir-cni needs a plugin before it in the chain (no prevResult)");
  }
  const std::string passed_on = command == "ADD" ? text_of(config.previous) : std::string();
  const Question question = question_of(call, config, command);
  const bool of_kubernetes = !question.ns.empty() && !question.name.empty();
  if (!of_kubernetes || question.ns == kOwnNamespace) return {0, passed_on, {}};
  const Answer answer = ask_agent(config, question);
  const std::string about = "weir-cni: pod " + question.ns + "/" + question.name + ": ";
  if (answer.verdict != Verdict::refused) {
    return {0, passed_on, answer.message.empty() ? std::string() : about + answer.message + "\n"};
  }
  if (question.ns == kSystemNamespace) {
    return {0, passed_on, about + "starts although " + answer.message + "\n"};
  }
  return failed(config.version, answer.again ? try_again : never, answer.message);
}

Outcome tell_of_removal(const Call& call) {
  const auto config = read_config(call.config);
  if (!config) return {};
  Question question = question_of(call, *config, "DEL");
  if (question.ns.empty() || question.name.empty() || question.ns == kOwnNamespace) return {};
  question.wait_ms = 1000;
  (void)ask(config->socket, question, Clock::now() + milliseconds(question.wait_ms));
  return {};
}

Outcome tell_versions(const std::string& config) {
  const json object = json::parse(config, nullptr, false);
  json versions = json::array();
  for (const auto& version : kVersions) versions.push_back(std::string(version));
  const std::string newest(kVersions.back());
  return {0,
          text_of({{"cniVersion", object.is_object() ? text_at(object, "cniVersion", newest) : newest},
                   {"supportedVersions", versions}}),
          {}};
}

}  // namespace

Outcome run(const Call& call) {
  const std::string command = variable(call, "CNI_COMMAND");
  if (command == "VERSION") return tell_versions(call.config);
  if (command == "DEL") return tell_of_removal(call);
  const std::string newest(kVersions.back());
  if (command != "ADD" && command != "CHECK" && command != "STATUS" && command != "GC") {
    return failed(newest, bad_environment, "CNI_COMMAND is " + (command.empty() ? "not set" : command));
  }
  const auto config = read_config(call.config);
  if (!config) return failed(newest, bad_json, "the configuration is no JSON object");
  if (std::ranges::find(kVersions, config->version) == kVersions.end()) {
    return failed(newest, incompatible, "CNI " + config->version + " is not among 0.3.1 to 1.1.0");
  }
  if (command == "STATUS" || command == "GC") return {};
  return admit(call, *config, command);
}

}  // namespace weir::cni
