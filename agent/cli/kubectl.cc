// Arguments, and the words of kubectl's errors. See kubectl.h.
#include "agent/cli/kubectl.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "agent/cli/members.h"

namespace weir::agent {
namespace {

struct Hint {
  const char* said;  // a part of what kubectl prints
  const char* means;
};
// The first that is found counts: the special before the general.
constexpr std::array kHints{
    Hint{"error dialing backend", "the API server does not reach the node's kubelet: is the node up?"},
    Hint{"weirctl\": executable file not found",
         "the node runs an image without weirctl: is it an older Weir?"},
    Hint{"weirctl: no such file", "the node runs an image without weirctl: is it an older Weir?"},
    Hint{"following argument",
         "the node's weirctl does not know this question: is it an older Weir? (weirctl version)"},
    Hint{"container not found",
         "the agent's container does not run: kubectl logs -n weir-system POD -c agent "
         "--previous"},
    Hint{"cannot exec into a container in a completed pod", "the pod has ended"},
    Hint{"orbidden",
         "you have not the right: ask who administers the cluster for a role with get and list of nodes and "
         "pods, and create of pods/exec in weir-system"},
    Hint{"Unauthorized", "the API server does not take your credentials: log in again"},
    Hint{"must be logged in", "the API server does not take your credentials: log in again"},
    Hint{"getting credentials",
         "the credentials plug-in of your kubeconfig failed: run `kubectl get nodes` to see it"},
    Hint{"context was not found", "name one of `kubectl config get-contexts` with --context"},
    Hint{"error: context \"", "name one of `kubectl config get-contexts` with --context"},
    Hint{"connection to the server localhost:8080",
         "kubectl has no configuration: name one with --kubeconfig or "
         "KUBECONFIG; on a node itself, use --local"},
    Hint{"connection refused",
         "nobody answers there: is the API server up, and --kubeconfig or --context the right "
         "one?"},
    Hint{"was refused",
         "nobody answers there: is the API server up, and --kubeconfig or --context the right one?"},
    Hint{"no such host",
         "the API server's name is not known here: is --kubeconfig or --context the right one?"},
    Hint{"i/o timeout", "no answer: is the node or the API server up, and reachable from here?"},
    Hint{"x509", "the API server's certificate is not trusted: is the CA in your kubeconfig the cluster's?"},
    Hint{"NotFound", "there is none of that name: look at `kubectl get pods -A`"},
};

// kubectl's own sentence, without the lines that exec adds.
std::string first_line(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line.empty() || line.starts_with("command terminated with") ||
        line.starts_with("Defaulted container"))
      continue;
    // klog's lines ("E1125 22:01:02.000000   12 memcache.go:265] …") come before the sentence.
    if (line.size() > 5 && std::strchr("EWI", line[0]) && line.find("] ") != std::string::npos &&
        line.find_first_not_of("0123456789", 1) == 5)
      continue;
    return visible(line);
  }
  return {};
}

}  // namespace

Command Kubectl::command(std::vector<std::string> arguments) const {
  Command out{program};
  if (!kubeconfig.empty()) out.push_back("--kubeconfig=" + kubeconfig);
  if (!context.empty()) out.push_back("--context=" + context);
  for (auto& argument : arguments) out.push_back(std::move(argument));
  return out;
}

Command Kubectl::in_agent(const std::string& pod, const std::vector<std::string>& arguments,
                          bool hold_input) const {
  std::vector<std::string> all{"exec"};
  if (hold_input) all.push_back("-i");
  for (const char* one : {"-n", kWeirNamespaceName}) all.push_back(one);
  all.push_back(pod);
  for (const char* one : {"-c", "agent", "--", "weirctl", "--local"}) all.push_back(one);
  all.insert(all.end(), arguments.begin(), arguments.end());
  return command(std::move(all));
}

std::string why_failed(const Ran& ran, const std::string& doing) {
  if (ran.start_errno == ENOENT) {
    return fmt::format(
        "cannot {}: there is no such program as kubectl here\n"
        "  install it, put it on PATH or name it with --kubectl; on a node itself, use --local",
        doing);
  }
  if (ran.start_errno != 0) {
    return fmt::format("cannot {}: kubectl cannot be run: {}", doing, std::strerror(ran.start_errno));
  }
  if (ran.timed_out) {
    return fmt::format(
        "cannot {}: no answer in time\n  is the node or the API server up, and reachable from here?", doing);
  }
  const std::string said = first_line(ran.err);
  std::string out = fmt::format("cannot {}: {}", doing, said.empty() ? "kubectl says nothing" : said);
  if (said.empty() && ran.exit_code > 0) out += fmt::format(" (exit status {})", ran.exit_code);
  for (const Hint& hint : kHints) {
    if (ran.err.find(hint.said) != std::string::npos) return out + "\n  " + hint.means;
  }
  return out;
}

Got json_of(const Ran& ran, const std::string& doing) {
  if (!ran.ok()) return {nullptr, why_failed(ran, doing)};
  if (ran.out.find_first_not_of(" \r\n") == std::string::npos) return {};
  nlohmann::json answer = nlohmann::json::parse(ran.out, nullptr, false);
  if (answer.is_discarded()) {
    return {nullptr, fmt::format("cannot {}: kubectl printed no JSON: {}", doing, first_line(ran.out))};
  }
  return {std::move(answer), {}};
}

}  // namespace weir::agent
