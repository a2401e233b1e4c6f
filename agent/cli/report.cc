// Tables and sentences from JSON. Members that a newer or older process lacks are shown as "-". See report.h.
#include "agent/cli/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "agent/cli/members.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

// The proxy's pods by uid.
std::map<std::string, Json> served_pods(const Json& proxy) {
  std::map<std::string, Json> out;
  for (const auto& pod : list_of(proxy, "pods")) out[text_of(pod, "uid")] = pod;
  return out;
}

std::string process_line(const char* name, const Json& status) {
  if (status.is_null()) return fmt::format("{:<6} not reached\n", name);
  std::string line = fmt::format("{:<6} {}, {}", name, text_of(status, "version"),
                                 flag_of(status, "ready") ? "ready" : "NOT READY");
  const std::string why = text_of(status, "not_ready", "");
  if (!why.empty() && !flag_of(status, "ready")) line += ": " + why;
  if (status.contains("workers")) line += ", " + text_of(status, "workers") + " workers";
  return line + "\n";
}

std::string capture_of(const Json& pod) {
  std::string text = text_of(pod, "state");
  if (text == "captured" && !flag_of(pod, "announced")) text += ", not announced";
  if (text == "captured" && !flag_of(pod, "accepting")) text += ", no proxy accepts";
  return text;
}

}  // namespace

std::vector<std::string> problems(const Json& agent) {
  std::vector<std::string> out;
  for (const auto& pod : list_of(agent, "pods")) {
    const std::string error = text_of(pod, "error", "");
    if (!error.empty()) out.push_back(fmt::format("pod {}: {}", text_of(pod, "name"), error));
  }
  const Json& source = member_of(agent, "source");
  for (const auto& error : list_of(source, "errors")) {
    const int64_t line = number_of(error, "line");
    const std::string place =
        line > 0 ? fmt::format("{}:{}", text_of(error, "file"), line) : text_of(error, "file");
    out.push_back(
        fmt::format("{}: {} (refused whole; its last good state stays)", place, text_of(error, "reason")));
  }
  for (const auto& entry : list_of(agent, "quarantine")) {
    out.push_back(fmt::format("{}: refused by the proxy: {}; in its place: {}", text_of(entry, "object"),
                              text_of(entry, "error"), text_of(entry, "stands_in")));
  }
  for (const auto& note : list_of(source, "notes")) {
    out.push_back(fmt::format("{}: {}", text_of(note, "object"), text_of(note, "text")));
  }
  const std::string trust = text_of(member_of(agent, "trust"), "error", "");
  if (!trust.empty()) out.push_back("trust bundle: " + trust);
  return out;
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      out += last ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
    }
    out += "\n";
  }
  return out;
}

std::string until(int64_t at, int64_t now) {
  if (at == 0) return "-";
  const int64_t left = at - now, whole = left < 0 ? -left : left;
  std::string text;
  if (whole >= 86400) {
    text = fmt::format("{}d {}h", whole / 86400, whole % 86400 / 3600);
  } else if (whole >= 3600) {
    text = fmt::format("{}h {}m", whole / 3600, whole % 3600 / 60);
  } else if (whole >= 60) {
    text = fmt::format("{}m {}s", whole / 60, whole % 60);
  } else {
    text = fmt::format("{}s", whole);
  }
  return left > 0 ? text : "expired " + text + " ago";
}

std::string status_text(const Json& agent, const Json& proxy, int64_t now) {
  std::string out = fmt::format("node   {}\n", text_of(agent, "node"));
  out += process_line("agent", agent) + process_line("proxy", proxy);
  const Json& trust = member_of(agent, "trust");
  out += fmt::format("trust  {}, bundle version {}, {} root{}\n", text_of(trust, "domain"),
                     text_of(trust, "version"), list_of(trust, "roots").size(),
                     list_of(trust, "roots").size() == 1 ? "" : "s");

  const auto served = served_pods(proxy);
  std::vector<std::vector<std::string>> rows{{"POD", "MODE", "CAPTURE", "FLOWS", "CERTIFICATE", "IDENTITY"}};
  for (const auto& pod : list_of(agent, "pods")) {
    const auto found = served.find(text_of(pod, "uid"));
    const Json at_proxy = found == served.end() ? Json() : found->second;
    const Json& expiry = at_proxy.is_null() ? pod : at_proxy;
    rows.push_back({text_of(pod, "name"), text_of(pod, "mode"), capture_of(pod), text_of(at_proxy, "flows"),
                    until(number_of(expiry, "certificate_not_after"), now), text_of(pod, "identity")});
  }
  out += "\n" + (rows.size() > 1 ? table(rows) : std::string("no pod of this node is in the mesh\n"));
  const auto wrong = problems(agent);
  if (!wrong.empty()) out += "\nto look at:\n";
  for (const auto& one : wrong) out += "  " + one + "\n";
  return out;
}

CheckReport check_text(const Json& checks, const Json& proxy, int64_t now) {
  CheckReport report{flag_of(checks, "ok"), {}};
  const auto served = served_pods(proxy);
  std::vector<std::vector<std::string>> rows{{"POD", "CAPTURE", "CERTIFICATE"}};
  std::string failures;
  for (const auto& pod : list_of(checks, "pods")) {
    const std::string name = text_of(pod, "name");
    size_t passed = 0, total = 0;
    for (const auto& check : list_of(pod, "checks")) {
      ++total;
      if (flag_of(check, "ok")) {
        ++passed;
      } else {
        failures += fmt::format("  {}: {}: {}\n", name, text_of(check, "name"), text_of(check, "detail"));
      }
    }
    const auto found = served.find(text_of(pod, "uid"));
    const int64_t expiry = found == served.end() ? 0 : number_of(found->second, "certificate_not_after");
    if (!proxy.is_null() && expiry <= now) {
      report.ok = false;
      failures += fmt::format("  {}: certificate: {}\n", name,
                              expiry == 0 ? "the proxy has none for it" : until(expiry, now));
    }
    rows.push_back({name, fmt::format("{} {}/{}", passed == total ? "ok" : "FAILED", passed, total),
                    until(expiry, now)});
  }
  if (proxy.is_null()) {
    report.ok = false;
    failures += "  the proxy could not be asked\n";
  }
  report.text = rows.size() > 1 ? table(rows) : "no pod of this node is in the mesh\n";
  report.text += failures.empty() ? "\neverything that was tested is in place\n" : "\nfailed:\n" + failures;
  return report;
}

}  // namespace weir::agent
