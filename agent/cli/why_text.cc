// From the JSON of agent/why.cc to paragraphs. See why_text.h.
#include "agent/cli/why_text.h"

#include <fmt/format.h>

#include <vector>

#include "agent/cli/members.h"
#include "agent/cli/report.h"
#include "agent/cli/tap.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

// Values with blanks between; `none` where there are none.
std::string joined(const Json& values, const char* between = " ", const std::string& none = {}) {
  std::string out;
  if (!values.is_array()) return none;
  for (const Json& value : values) {
    out += (out.empty() ? "" : between) + (value.is_string() ? value.get<std::string>() : value.dump());
  }
  return out.empty() ? none : out;
}

std::string mode_text(const Json& mode) {
  const std::string by = text_of(mode, "by", "");
  const std::string word = text_of(mode, "mode");
  if (by.empty()) return word + " (the default)";
  return fmt::format("{} by PeerAuthentication {} ({})", word, by, text_of(mode, "level"));
}

std::string capture_text(const Json& why) {
  const Json& capture = member_of(why, "capture");
  if (!flag_of(why, "here")) {
    return fmt::format("its node {} knows; this is {}", text_of(why, "node"), text_of(why, "asked_node"));
  }
  if (!capture.is_object()) return flag_of(why, "enrolled") ? "not known to capture" : "none";
  std::string out = text_of(capture, "state");
  if (flag_of(capture, "accepting")) out += ", the proxy accepts";
  if (flag_of(capture, "announced")) out += ", announced to the mesh";
  return out;
}

// "principals a b, notPorts 80": one entry of from, to or when.
std::string match_text(const Json& match) {
  std::string out;
  for (const auto& [name, values] : match.items()) {
    if (!out.empty()) out += ", ";
    if (name != "headers") {
      out += name + " " + joined(values);
      continue;
    }
    std::string headers;
    for (const Json& header : values) {
      headers += (headers.empty() ? "header " : ", header ") + text_of(header, "header");
      const std::string is = joined(member_of(header, "values")),
                        is_not = joined(member_of(header, "notValues"));
      if (!is.empty()) headers += " is " + is;
      if (!is_not.empty()) headers += " is not " + is_not;
    }
    out += headers;
  }
  return out.empty() ? "anything" : out;
}

std::string rule_text(const Json& rule) {
  std::string out = "    " + text_of(rule, "name") + ":";
  bool any = false;
  for (const auto& [name, between] : {std::pair("from", " or "), {"to", " or "}, {"when", " and "}}) {
    std::string matches;
    for (const Json& match : list_of(rule, name)) {
      matches += (matches.empty() ? "" : between) + match_text(match);
    }
    if (matches.empty()) continue;
    out += fmt::format("{} {} {}", any ? ";" : "", name, matches);
    any = true;
  }
  return out + (any ? "\n" : " everybody, everything\n");
}

std::string policies_text(const Json& why) {
  const Json& policies = list_of(why, "policies");
  if (policies.empty()) return "policies   none: everybody may call it\n";
  std::string out = "policies   in the order in which they decide\n";
  bool allows = false;
  for (const Json& policy : policies) {
    allows = allows || text_of(policy, "action") == "Allow";
    out += fmt::format("  {:<6} {} ({}", text_of(policy, "action"), text_of(policy, "policy"),
                       text_of(policy, "level"));
    const std::string ports = joined(member_of(policy, "ports"));
    if (!ports.empty()) out += ", ports " + ports;
    out += ")";
    const std::string invalid = text_of(policy, "invalid", "");
    out += invalid.empty() ? "\n" : " INVALID: " + invalid + "\n";
    if (list_of(policy, "rules").empty()) out += "    no rules: it matches nothing\n";
    for (const Json& rule : list_of(policy, "rules")) out += rule_text(rule);
  }
  return out + (allows ? "  what no Allow matches is denied\n" : "  what no Deny matches is allowed\n");
}

std::string ports_text(const Json& why) {
  std::vector<std::vector<std::string>> rows{{"  PORT", "NAME", "MODE", "SERVICES"}};
  for (const Json& port : list_of(why, "ports")) {
    std::string services;
    for (const Json& service : list_of(port, "services")) {
      services += fmt::format("{}{}:{} ({})", services.empty() ? "" : ", ", text_of(service, "service"),
                              text_of(service, "port"), text_of(service, "protocol"));
    }
    const Json& mode = member_of(port, "mode");
    rows.push_back({"  " + text_of(port, "port"), text_of(port, "name"),
                    mode.is_object() ? mode_text(mode) : "-", services.empty() ? "-" : services});
  }
  return rows.size() == 1 ? "ports      none is declared, and no Service leads here\n"
                          : "ports\n" + table(rows);
}

std::string condition_text(const Json& match) {
  std::string out;
  const auto add = [&](const std::string& what) {
    if (!what.empty()) out += (out.empty() ? "" : ", ") + what;
  };
  const std::string path = text_of(match, "path", "");
  add(path.empty() ? "" : "path " + path);
  add(text_of(match, "method", ""));
  const std::string headers = joined(member_of(match, "headers"), ", "),
                    query = joined(member_of(match, "query"), ", ");
  add(headers.empty() ? "" : "header " + headers);
  add(query.empty() ? "" : "query " + query);
  return out.empty() ? "everything" : out;
}

std::string target_text(const Json& match) {
  const std::string invalid = text_of(match, "invalid", "");
  if (!invalid.empty()) return "answered 500: " + invalid;
  std::string out;
  const Json& backends = list_of(match, "backends");
  for (const Json& backend : backends) {
    out += (out.empty() ? "to " : ", ") +
           fmt::format("{}:{}", text_of(backend, "service"), text_of(backend, "port"));
    if (backends.size() > 1) out += " weight " + text_of(backend, "weight");
  }
  const std::string filters = joined(member_of(match, "filters"), ", ");
  if (!filters.empty()) out += (out.empty() ? "" : "; ") + filters;
  if (match.contains("request_timeout_ms"))
    out += fmt::format("; within {} ms", text_of(match, "request_timeout_ms"));
  return out.empty() ? "answered 500: no backend" : out;
}

std::string routes_text(const Json& tables) {
  std::string out;
  for (const Json& one : tables) {
    const std::string ports = joined(member_of(one, "ports"), ","),
                      consumer = text_of(one, "consumer_namespace", "");
    out += fmt::format("    at {}{}{}\n", text_of(one, "service"), ports.empty() ? "" : ":" + ports,
                       consumer.empty() ? ", for everybody" : ", for clients of namespace " + consumer);
    std::vector<std::vector<std::string>> rows;
    for (const Json& match : list_of(one, "matches")) {
      rows.push_back({"      " + text_of(match, "rule"), condition_text(match), target_text(match)});
    }
    out += table(rows) + "      nothing of these: 404\n";
  }
  return out;
}

std::string services_text(const Json& why) {
  std::string out;
  for (const Json& service : list_of(why, "services")) {
    out += "  " + text_of(service, "service");
    const std::string traffic = joined(member_of(service, "traffic_policies"), ", ");
    if (!traffic.empty()) out += ", TrafficPolicy " + traffic;
    const std::string routes = routes_text(list_of(service, "routes"));
    out += routes.empty() ? ", no routes: straight to its pods\n" : "\n" + routes;
  }
  out = out.empty() ? "services   none leads to it\n" : "services   it belongs to\n" + out;
  const std::string consumer = routes_text(list_of(why, "consumer_routes"));
  return out + (consumer.empty() ? "" : "its calls  go by these routes of its own namespace\n" + consumer);
}

std::string refusals_text(const Json& answer) {
  const Json& refusals = member_of(answer, "refusals");
  if (!refusals.is_array())
    return "refused     the proxy cannot be asked: " + text_of(answer, "refusals_error") + "\n";
  if (refusals.empty()) return "refused    nothing that the proxy remembers\n";
  std::vector<std::vector<std::string>> rows;
  for (const Json& one : refusals) {
    const bool inbound = text_of(one, "direction") == "inbound";
    const Json& other = member_of(one, inbound ? "source" : "destination");
    std::string who = text_of(other, "pod", "");
    if (who.empty()) who = text_of(other, "principal", "");
    if (who.empty()) who = text_of(other, "address");
    std::string why = text_of(one, "reason");
    const std::string policy = text_of(one, "policy", ""), rule = text_of(one, "rule", "");
    if (!policy.empty()) why += " by " + policy + (rule.empty() ? "" : ", " + rule);
    std::string what;
    if (text_of(one, "kind") == "request") {
      what = text_of(one, "method", "a request") + " " + text_of(one, "path", "");
    } else {
      what = "connection to " + text_of(one, "dialled");
    }
    rows.push_back({"  " + text_of(one, "time").substr(0, 19), inbound ? "from" : "to", visible(who),
                    visible(what), visible(why)});
  }
  return "refused    the last times\n" + table(rows);
}

}  // namespace

std::string why_text(const Json& answer) {
  const Json& why = member_of(answer, "agent");
  std::string out = fmt::format("pod        {} on node {}, {}\n", text_of(why, "pod"), text_of(why, "node"),
                                joined(member_of(why, "addresses"), ", ", "without an address"));
  out += fmt::format("enrolled   {}: {}\n", flag_of(why, "enrolled") ? "yes" : "no", text_of(why, "because"));
  out += fmt::format("capture    {}\n", capture_text(why));
  const std::string error = text_of(member_of(why, "capture"), "error", "");
  if (!error.empty()) out += "           " + error + "\n";
  out += fmt::format("identity   {}\n", text_of(why, "identity", "none"));
  if (member_of(why, "mode").is_object()) out += "mode       " + mode_text(why["mode"]) + "\n";
  out += "\n" + ports_text(why) + "\n" + policies_text(why) + "\n" + services_text(why) + "\n" +
         refusals_text(answer);
  const Json& warnings = list_of(why, "warnings");
  if (!warnings.empty()) out += "\nto look at\n";
  for (const Json& warning : warnings) out += "  " + warning.get<std::string>() + "\n";
  return out;
}

}  // namespace weir::agent
