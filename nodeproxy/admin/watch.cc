// Reading the query and merging the pages. See watch.h.
#include "nodeproxy/admin/watch.h"

#include <algorithm>
#include <charconv>

namespace weir::admin {
namespace {

constexpr size_t kMostMax = 10'000;

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::expected<TapQuestion, std::string> tap_question(const HttpRequest& request) {
  TapQuestion question;
  question.filter.workload = request.query_value("workload");
  question.filter.route = request.query_value("route");
  const std::string_view status = request.query_value("status");
  if (!status.empty() && !question.filter.set_status(status)) {
    return std::unexpected("status is a class (5xx), a code (404) or none");
  }
  if (const std::string_view most = request.query_value("most"); !most.empty()) {
    const auto value = number(most);
    if (!value || *value == 0 || *value > kMostMax) {
      return std::unexpected("most is a number from 1 to " + std::to_string(kMostMax));
    }
    question.most = *value;
  }
  std::string_view since = request.query_value("since");
  while (!since.empty()) {
    const std::string_view one = since.substr(0, since.find(','));
    const auto value = number(one);
    if (!value) return std::unexpected("since is a number for each worker, as the last answer gave them");
    question.since.push_back(*value);
    since.remove_prefix(std::min(one.size() + 1, since.size()));
  }
  return question;
}

std::string tap_answer(const TapQuestion& question, std::vector<telemetry::TapPage> pages, size_t workers) {
  std::vector<uint64_t> next(workers);
  std::copy_n(question.since.begin(), std::min(workers, question.since.size()), next.begin());
  std::vector<telemetry::TapLine> lines;
  uint64_t missed = 0;
  for (telemetry::TapPage& page : pages) {
    if (page.worker < workers) next[page.worker] = page.next;
    missed += page.missed;
    std::move(page.lines.begin(), page.lines.end(), std::back_inserter(lines));
  }
  std::ranges::stable_sort(lines, {}, &telemetry::TapLine::time);
  std::string out;
  for (const telemetry::TapLine& line : lines) out += line.text;
  out += R"({"kind":"tap","next":")";
  for (size_t i = 0; i < next.size(); ++i) out += (i > 0 ? "," : "") + std::to_string(next[i]);
  return out + R"(","missed":)" + std::to_string(missed) + "}\n";
}

std::string refusals_answer(const std::vector<std::vector<telemetry::RefusalLine>>& workers) {
  std::vector<const telemetry::RefusalLine*> lines;
  for (const auto& worker : workers) {
    for (const telemetry::RefusalLine& line : worker) lines.push_back(&line);
  }
  std::ranges::stable_sort(lines, {}, [](const auto* line) { return line->time; });
  std::string out;
  for (const telemetry::RefusalLine* line : lines) out += line->text;
  return out;
}

}  // namespace weir::admin
