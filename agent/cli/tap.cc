// Targets, answers and lines. See tap.h.
#include "agent/cli/tap.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/cli/members.h"

namespace weir::agent {
namespace {

using Json = nlohmann::json;

constexpr size_t kWidthMax = 48;

std::string workload_of(const Json& request, const char* side) {
  const Json& party = member_of(request, side);
  return text_of(party, "namespace") + "/" + text_of(party, "workload");
}

std::string status_of(const Json& request) {
  const std::string status = text_of(request, "status");
  return request.contains("grpc_status") ? status + "/grpc " + text_of(request, "grpc_status") : status;
}

// What is behind the request: which route and how it was carried, and why when it did not go well.
std::string remarks_of(const Json& request) {
  std::string out = text_of(request, "protocol") + " " + text_of(request, "security");
  const std::string route = text_of(request, "route", "");
  if (!route.empty()) out += " route " + route;
  if (number_of(request, "attempts") > 1) out += " attempts " + text_of(request, "attempts");
  const std::string reason = text_of(request, "reason", "none");
  if (reason != "none") out += " " + reason;
  const std::string rule = text_of(request, "rule", ""), policy = text_of(request, "policy", "");
  if (!policy.empty()) out += " by " + policy + (rule.empty() ? "" : " rule " + rule);
  return out;
}

}  // namespace

TapTarget tap_target(const TapOptions& options, const std::string& since) {
  TapTarget out{"/tap?since=" + since, {}};
  for (const auto& [name, value] :
       {std::pair("workload", options.workload), {"route", options.route}, {"status", options.status}}) {
    if (value.empty()) continue;
    if (!is_name(value)) {
      return {{}, fmt::format("--{}: {} is no name", name, visible(value))};
    }
    out.target += fmt::format("&{}={}", name, value);
  }
  return out;
}

TapAnswer read_tap(const std::string& body) {
  TapAnswer answer;
  for (size_t at = 0; at < body.size();) {
    const size_t end = std::min(body.find('\n', at), body.size());
    Json line = Json::parse(body.substr(at, end - at), nullptr, false);
    at = end + 1;
    if (!line.is_object()) continue;
    if (text_of(line, "kind") == "tap") {
      answer.next = text_of(line, "next", "");
      answer.missed = number_of(line, "missed");
    } else {
      answer.requests.push_back(std::move(line));
    }
  }
  return answer;
}

std::vector<std::string> TapTable::heading() {
  return {"TIME", "SOURCE", "DESTINATION", "STATUS", "DURATION", "REQUEST", "HOW"};
}

std::string TapTable::line(const std::vector<std::string>& cells) {
  widths_.resize(std::max(widths_.size(), cells.size()));
  std::string out;
  for (size_t i = 0; i < cells.size(); ++i) {
    widths_[i] = std::max(widths_[i], std::min(cells[i].size(), kWidthMax));
    out += i + 1 == cells.size() ? cells[i] : fmt::format("{:<{}}  ", cells[i], widths_[i]);
  }
  return out + "\n";
}

std::vector<std::string> tap_cells(const Json& request) {
  const std::string time = text_of(request, "time");
  const size_t clock = time.find('T');
  std::string asked =
      text_of(request, "method") + " " + text_of(request, "host", "") + text_of(request, "path", "");
  if (flag_of(request, "truncated")) asked += "...";
  return {clock == std::string::npos ? time : time.substr(clock + 1, 12),
          workload_of(request, "source"),
          workload_of(request, "destination"),
          status_of(request),
          fmt::format("{:.1f}ms", real_of(request, "duration_ms")),
          visible(asked),
          visible(remarks_of(request))};
}

}  // namespace weir::agent
