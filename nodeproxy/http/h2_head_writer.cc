// See h2_head_writer.h.
#include "nodeproxy/http/h2_head_writer.h"

#include <charconv>

#include "nodeproxy/http/h2_rules.h"
#include "nodeproxy/http/websocket.h"

namespace weir::http::h2 {
namespace {

uint8_t* octets(std::string_view text) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 only reads it
}

}  // namespace

HeadWriter& writer() {
  thread_local HeadWriter one;
  return one;
}

void HeadWriter::clear() {
  fields_.clear();
  bytes_ = 0;
  too_large_ = false;
}

void HeadWriter::add(std::string_view name, std::string_view value) {
  fields_.push_back({octets(name), octets(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  bytes_ += name.size() + value.size();
}

const char* HeadWriter::add_all(const Headers& headers, bool extended) {
  for (const Field field : headers) {
    if (is_dropped(field.name, field.value)) continue;
    if (extended && same_field(field.name, websocket::kKey)) continue;
    if (!is_token(field.name)) return "a field's name is not a token";
    if (nghttp2_check_header_value_rfc9113(octets(field.value), field.value.size()) == 0)
      return "a field's value has a control character, or space at its edge";
    add(field.name, field.value);
  }
  too_large_ = bytes_ + 32 * fields_.size() > kSentHeadBytesMax;
  return too_large_ ? "the head is above its limit" : nullptr;
}

void HeadWriter::add_length(const Head& head) {
  if (!head.content_length) return;
  const auto end = std::to_chars(length_.data(), length_.data() + length_.size(), *head.content_length);
  add("content-length", {length_.data(), end.ptr});
}

const char* HeadWriter::request(const Head& head) {
  clear();
  const bool extended = goes_as_extended_connect(head);
  const bool tunnel = !extended && head.method == "CONNECT";
  if (const char* rule = broken_target_rule(head, tunnel)) return rule;
  add(":method", extended ? std::string_view("CONNECT") : std::string_view(head.method));
  if (extended) add(":protocol", head.upgrade);
  if (!tunnel) {
    add(":scheme", head.scheme);
    add(":path", head.path);
  }
  add(":authority", head.authority);
  if (!tunnel && !extended) add_length(head);
  return add_all(head.headers, extended);
}

const char* HeadWriter::response(const Head& head, bool to_connect) {
  clear();
  if (head.status < 100 || head.status > 999 || head.status == 101)
    return "the status is not from 100 to 999, or 101";
  std::to_chars(status_.data(), status_.data() + status_.size(), head.status);
  add(":status", {status_.data(), 3});
  const bool without_length =
      head.status < 200 || head.status == 204 || (to_connect && head.status / 100 == 2);
  if (!without_length) add_length(head);
  return add_all(head.headers, /*extended=*/false);
}

const char* HeadWriter::trailers(const Headers& trailers) {
  clear();
  return add_all(trailers, /*extended=*/false);
}

}  // namespace weir::http::h2
