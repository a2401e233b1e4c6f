// The ring and its filter. See tap.h.
#include "nodeproxy/telemetry/tap.h"

#include "nodeproxy/telemetry/request_series.h"

namespace weir::telemetry {
namespace {

bool is_party(const Party& party, std::string_view name) {
  return name.size() == party.ns.size() + 1 + party.workload.size() && name.starts_with(party.ns) &&
         name[party.ns.size()] == '/' && name.ends_with(party.workload);
}

// `route` itself, or a rule of it.
bool is_route(std::string_view rule, std::string_view route) {
  return rule.starts_with(route) && (rule.size() == route.size() || rule[route.size()] == '/');
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool TapFilter::set_status(std::string_view text) {
  if (text == "none") {
    status = 0;
    return true;
  }
  if (text.size() != 3 || text[0] < '1' || text[0] > '9') return false;
  if (text.substr(1) == "xx") {
    status_class = static_cast<uint8_t>(text[0] - '0');
    return true;
  }
  if (!is_digit(text[1]) || !is_digit(text[2])) return false;
  status = static_cast<uint16_t>((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
  return true;
}

bool TapFilter::matches(const RequestLabels& labels, uint16_t response_status) const {
  if (status && response_status != *status) return false;
  if (status_class && response_status / 100 != *status_class) return false;
  if (!route.empty() && !is_route(labels.route, route)) return false;
  const Labels& ends = labels.ends;
  return workload.empty() || is_party(ends.source, workload) || is_party(ends.destination, workload) ||
         ends.service == workload;
}

void Tap::add(const RequestRow& row, uint16_t status, std::string_view line) {
  ring_bytes_ += line.size();
  ring_.push_back({&row, status, {std::chrono::system_clock::now(), std::string(line)}});
  while (ring_bytes_ > limits::tap_ring_bytes) {
    ring_bytes_ -= ring_.front().line.text.size();
    ring_.pop_front();
    ++first_;
  }
}

TapPage Tap::read(std::optional<uint64_t> since, const TapFilter& filter, size_t most,
                  std::chrono::steady_clock::time_point now) {
  watched_ = true;
  watched_until_ = now + limits::tap_watch;
  TapPage page;
  page.next = first_ + ring_.size();
  if (!since) return page;
  // A number that is not ours yet comes from before a restart: what there is now is all news.
  uint64_t at = *since <= page.next ? *since : first_;
  if (at < first_) {
    page.missed = first_ - at;
    at = first_;
  }
  for (; at < first_ + ring_.size() && page.lines.size() < most; ++at) {
    const Entry& entry = ring_[at - first_];
    if (filter.matches(*entry.row->labels, entry.status)) page.lines.push_back(entry.line);
  }
  page.next = at;
  return page;
}

void Tap::rest(std::chrono::steady_clock::time_point now) {
  if (!watched_ || now < watched_until_) return;
  watched_ = false;
  first_ += ring_.size();
  ring_bytes_ = 0;
  std::deque<Entry>().swap(ring_);
}

}  // namespace weir::telemetry
