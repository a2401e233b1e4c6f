// One pass, line by line. See h1_head_scan.h.
#include "nodeproxy/http/h1_head_scan.h"

#include <algorithm>

#include "nodeproxy/base/limits.h"

namespace weir::http::h1 {
namespace {

constexpr std::string_view kVersion = "HTTP/1.";
constexpr size_t kVersionBytes = kVersion.size() + 1;
// "METHOD SP target SP version": a longer one breaks a limit, whatever else is in it.
constexpr size_t kRequestLineBytes =
    limits::http_method_max_bytes + 1 + limits::http_url_max_bytes + 1 + kVersionBytes;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void HeadScan::reset(Start start) {
  *this = HeadScan();
  start_ = start;
  started_ = start == Start::trailers;
}

HeadScan::Step HeadScan::refuse(const char* rule, uint16_t status) {
  if (!refusal_) refusal_ = {rule, status};
  return Step::refused;
}

HeadScan::Step HeadScan::scan(std::string_view text) {
  if (refusal_) return Step::refused;
  while (!ended_) {
    const size_t found = find_control(text, at_);
    // Limits count up to where the line ends or, if it has not ended, to what has come.
    const size_t reach = found == std::string_view::npos ? text.size() : found;
    if (!started_ && start_ == Start::request && reach - line_ > kRequestLineBytes) return too_long(text);
    const size_t head_bytes = found == std::string_view::npos ? text.size() : found + 2;
    if (head_bytes > limits::http_head_max_bytes) return refuse("the head is longer than its limit", 431);
    if (found == std::string_view::npos) {
      at_ = text.size();
      return Step::need_more;
    }
    if (text[found] == '\n') return refuse("LF without CR");
    if (text[found] == '\0') return refuse("NUL in a head");
    if (text[found] != '\r') return refuse("a control character in a head");
    if (found + 1 == text.size()) {
      at_ = found;
      return Step::need_more;
    }
    if (text[found + 1] != '\n') return refuse("CR without LF");
    const std::string_view line = text.substr(line_, found - line_);
    line_ = at_ = found + 2;
    if (!take_line(line)) return refusal_ ? Step::refused : Step::whole;
  }
  return Step::whole;
}

bool HeadScan::take_line(std::string_view line) {
  if (!started_) {
    if (line.empty() && start_ == Start::request && begin_ == 0) {
      begin_ = line_;
      return true;
    }
    started_ = true;
    take_start_line(line);
  } else if (line.empty()) {
    ended_ = true;
  } else {
    take_field(line);
  }
  return !refusal_ && !ended_;
}

void HeadScan::take_start_line(std::string_view line) {
  if (line.empty())
    refuse("an empty start line");
  else if (start_ == Start::request)
    take_request_line(line);
  else
    take_status_line(line);
}

void HeadScan::take_version(std::string_view text) {
  if (text == "HTTP/1.1" || text == "HTTP/1.0") return;
  const bool other = text.size() == kVersionBytes && text.starts_with("HTTP/") && is_digit(text[5]) &&
                     text[6] == '.' && is_digit(text[7]);
  if (other)
    refuse("a version other than HTTP/1.0 and HTTP/1.1", 505);
  else
    refuse("the start line has no version where it must stand");
}

void HeadScan::take_request_line(std::string_view line) {
  const size_t space = std::min(line.find(' '), line.size());
  const std::string_view method = line.substr(0, space);
  if (method.size() > limits::http_method_max_bytes) {
    refuse("the method is longer than its limit", 501);
    return;
  }
  if (!is_token(method)) {
    refuse("the method is not a token");
    return;
  }
  if (space == line.size()) {
    refuse("a request line of one part");
    return;
  }
  method_size_ = method.size();
  const std::string_view rest = line.substr(space + 1);
  const size_t second = std::min(rest.find(' '), rest.size());
  const std::string_view target = rest.substr(0, second);
  if (target.size() > limits::http_url_max_bytes)
    refuse("the target is longer than its limit", 414);
  else if (target.empty())
    refuse("two spaces in a row in the request line");
  else if (second == rest.size())
    refuse("a request without a version, as in HTTP/0.9");
  else if (!is_target(target))
    refuse(target.find('#') == std::string_view::npos ? "a target that is not visible ASCII"
                                                      : "# in a target");
  else
    take_version(rest.substr(second + 1));
}

// A request line that has not ended within what its longest parts would take: which of them is too long? Only bytes up
// to that length are asked, so the answer does not depend on how many more have come.
HeadScan::Step HeadScan::too_long(std::string_view text) {
  const std::string_view line = text.substr(line_, kRequestLineBytes + 1);
  take_request_line(line);
  return refuse("the request line is longer than its parts can be");
}

void HeadScan::take_status_line(std::string_view line) {
  take_version(line.substr(0, kVersionBytes));
  if (refusal_) return;
  const std::string_view code = line.substr(kVersionBytes, 4);  // with the space before it
  const bool digits =
      code.size() == 4 && code[0] == ' ' && std::all_of(code.begin() + 1, code.end(), is_digit);
  // The space before an empty reason phrase is left out by enough servers, and nothing can be mistaken by it.
  const bool ends =
      line.size() == kVersionBytes + 4 || (line.size() > kVersionBytes + 4 && line[kVersionBytes + 4] == ' ');
  if (!digits || !ends)
    refuse("a status that is not three digits");
  else if (code[1] == '0')
    refuse("a status below 100");
}

void HeadScan::take_field(std::string_view line) {
  if (++fields_ > limits::http_fields_max) {
    refuse("more fields than the limit", 431);
    return;
  }
  const size_t colon = token_end(line);
  if (colon < line.size() && line[colon] == ':' && colon > 0) return;
  if (line.front() == ' ' || line.front() == '\t')
    refuse("a folded line, or a space before the first field");
  else if (colon == line.size())
    refuse("a field line without a colon");
  else if (line[colon] == ':')
    refuse("a field without a name");
  else if (line[colon] == ' ' || line[colon] == '\t')
    refuse("a space before the colon");
  else
    refuse("a field name that is not a token");
}

}  // namespace weir::http::h1
