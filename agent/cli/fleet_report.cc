// Tables over nodes. See fleet_report.h.
#include "agent/cli/fleet_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "agent/cli/members.h"
#include "agent/cli/report.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

struct NodeCounts {
  size_t pods = 0, captured = 0, errors = 0;
};

NodeCounts count(const Json& agent) {
  NodeCounts counts;
  for (const Json& pod : list_of(agent, "pods")) {
    ++counts.pods;
    if (text_of(pod, "state") == "captured") ++counts.captured;
    if (!text_of(pod, "error", "").empty()) ++counts.errors;
  }
  return counts;
}

int64_t next_expiry(const Json& proxy) {
  int64_t next = 0;
  for (const Json& certificate : list_of(proxy, "certificates")) {
    const int64_t at = number_of(certificate, "not_after");
    if (at != 0 && (next == 0 || at < next)) next = at;
  }
  return next;
}

std::string config_text(const Json& agent) {
  const Json& proxy = member_of(agent, "proxy");
  const int64_t sent = number_of(proxy, "sent_version"), applied = number_of(proxy, "applied_version");
  if (!flag_of(proxy, "connected")) return "no proxy";
  if (sent == applied) return fmt::format("in step, {}", applied);
  return fmt::format("behind, {} of {}", applied, sent);
}

std::string ready_text(const Json& agent, const Json& proxy) {
  if (!agent.is_object()) return "no agent";
  if (!proxy.is_object()) return "no proxy";
  return flag_of(agent, "ready") && flag_of(proxy, "ready") ? "yes" : "NO";
}

// Sentences with the nodes that say them, in the order in which they were first said.
class Said {
 public:
  void add(const std::string& node, const std::string& sentence) {
    const auto [at, fresh] = nodes_.try_emplace(sentence);
    if (fresh) order_.push_back(sentence);
    at->second.push_back(node);
  }
  std::string text(size_t all) const {
    std::string out;
    for (const auto& sentence : order_) {
      const auto& nodes = nodes_.at(sentence);
      const bool everywhere = nodes.size() == all && all > 1;
      out += fmt::format("  {}: {}\n", everywhere ? "all nodes" : some_of(nodes), sentence);
    }
    return out;
  }

 private:
  std::map<std::string, std::vector<std::string>> nodes_;
  std::vector<std::string> order_;
};

std::string silent_text(const std::vector<NodeAnswer>& answers) {
  std::string out;
  for (const auto& one : answers) {
    if (one.error.empty()) continue;
    out += fmt::format("  {}: ", one.node);
    for (const char c : one.error) out += c == '\n' ? std::string("\n  ") : std::string(1, c);
    out += "\n";
  }
  return out.empty() ? out : "\ndo not answer:\n" + out;
}

}  // namespace

std::string some_of(const std::vector<std::string>& names, size_t most) {
  std::string out;
  for (size_t i = 0; i < std::min(names.size(), most); ++i) out += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > most) out += fmt::format(" and {} more", names.size() - most);
  return out;
}

std::string fleet_status_text(const std::vector<NodeAnswer>& answers, int64_t now) {
  std::vector<std::vector<std::string>> rows{
      {"NODE", "READY", "AGENT", "PROXY", "PODS", "CAPTURED", "ERRORS", "CONFIG", "NEXT EXPIRY", "FLOWS"}};
  Said said;
  size_t answered = 0;
  NodeCounts all;
  for (const auto& one : answers) {
    if (!one.error.empty()) {
      rows.push_back({one.node, "NO ANSWER", "-", "-", "-", "-", "-", "-", "-", "-"});
      continue;
    }
    ++answered;
    const Json &agent = member_of(one.answer, "agent"), &proxy = member_of(one.answer, "proxy");
    const NodeCounts counts = count(agent);
    all = {all.pods + counts.pods, all.captured + counts.captured, all.errors + counts.errors};
    rows.push_back({one.node, ready_text(agent, proxy), text_of(agent, "version"), text_of(proxy, "version"),
                    std::to_string(counts.pods), std::to_string(counts.captured),
                    std::to_string(counts.errors), config_text(agent), until(next_expiry(proxy), now),
                    text_of(proxy, "flows")});
    const std::string agent_waits = text_of(agent, "not_ready", ""),
                      proxy_waits = text_of(proxy, "not_ready_because", "");
    if (!agent_waits.empty()) said.add(one.node, "agent not ready: " + agent_waits);
    if (!proxy_waits.empty()) said.add(one.node, "proxy not ready: " + proxy_waits);
    for (const auto& problem : problems(agent)) said.add(one.node, problem);
    const std::string refused = text_of(proxy, "last_error", "");
    if (!refused.empty()) said.add(one.node, "the proxy's last refusal: " + refused);
    for (const Json& certificate : list_of(proxy, "certificates")) {
      const std::string error = text_of(certificate, "error", "");
      if (!error.empty()) {
        said.add(one.node, fmt::format("certificate of {}: {}", text_of(certificate, "identity"), error));
      }
    }
  }
  std::string out =
      table(rows) + fmt::format("\n{} of {} nodes answer; {} pods enrolled, {} captured, {} with errors\n",
                                answered, answers.size(), all.pods, all.captured, all.errors);
  out += silent_text(answers);
  const std::string wrong = said.text(answered);
  return out + (wrong.empty() ? "" : "\nto look at:\n" + wrong);
}

Json fleet_status_json(const std::vector<NodeAnswer>& answers) {
  Json nodes = Json::array();
  for (const auto& one : answers) {
    Json node{{"node", one.node}, {"answers", one.error.empty()}};
    if (!one.error.empty()) {
      node["error"] = one.error;
    } else {
      const Json& agent = member_of(one.answer, "agent");
      const NodeCounts counts = count(agent);
      node["pods"] = {{"enrolled", counts.pods}, {"captured", counts.captured}, {"errors", counts.errors}};
      node["certificates_next_expiry"] = next_expiry(member_of(one.answer, "proxy"));
      node["agent"] = agent;
      node["proxy"] = member_of(one.answer, "proxy");
    }
    nodes.push_back(std::move(node));
  }
  return {{"nodes", std::move(nodes)}};
}

Versions fleet_versions(const std::string& own, const std::vector<NodeAnswer>& answers) {
  Versions out;
  std::vector<std::vector<std::string>> rows{{"NODE", "AGENT", "PROXY"}};
  std::map<std::string, std::vector<std::string>> nodes_of;  // by version
  Json nodes = Json::array();
  Said said;
  for (const auto& one : answers) {
    const std::string agent = text_of(member_of(one.answer, "agent"), "version"),
                      proxy = text_of(member_of(one.answer, "proxy"), "version");
    rows.push_back({one.node, agent, proxy});
    nodes.push_back({{"node", one.node}, {"agent", agent}, {"proxy", proxy}, {"error", one.error}});
    if (agent != "-") nodes_of[agent].push_back(one.node);
    if (agent != "-" && proxy != "-" && agent != proxy) {
      said.add(one.node,
               fmt::format("its proxy is {} and its agent {}: it is in the midst of an upgrade, or its pod "
                           "should be restarted",
                           proxy, agent));
    }
    if (agent != "-" && agent != own) {
      said.add(one.node,
               fmt::format("its agent is {} and this weirctl {}: what one of them knows, the other may not",
                           agent, own));
    }
  }
  std::string warnings = said.text(answers.size());
  if (nodes_of.size() > 1) {
    std::string which;
    for (const auto& [version, of] : nodes_of) {
      which += fmt::format("{}{} on {}", which.empty() ? "" : "; ", version, some_of(of));
    }
    warnings += "  nodes differ: " + which + "\n";
  }
  out.skewed = !warnings.empty();
  out.text = fmt::format("weirctl {}\n\n", own) + table(rows) + silent_text(answers) +
             (warnings.empty() ? "" : "\nto look at:\n" + warnings);
  out.json = {{"weirctl", own}, {"nodes", std::move(nodes)}, {"skewed", out.skewed}};
  return out;
}

FleetCheck fleet_check(const std::vector<NodeAnswer>& answers, int64_t now) {
  FleetCheck out;
  Json nodes = Json::array();
  for (const auto& one : answers) {
    if (!one.error.empty()) {
      out.ok = false;
      nodes.push_back({{"node", one.node}, {"ok", false}, {"error", one.error}});
      continue;
    }
    const CheckReport report =
        check_text(member_of(one.answer, "agent"), member_of(one.answer, "proxy"), now);
    out.ok = out.ok && report.ok;
    out.text += fmt::format("node {}\n{}\n", one.node, report.text);
    Json node = one.answer;
    node["node"] = one.node;
    nodes.push_back(std::move(node));
  }
  const std::string silent = silent_text(answers);
  if (!silent.empty()) out.text += silent.substr(1);
  out.json = {{"ok", out.ok}, {"nodes", std::move(nodes)}};
  return out;
}

}  // namespace weir::agent
