// Fields as they come, then the rules that need all of them. See h1_head.h.
#include "nodeproxy/http/h1_head.h"

#include <algorithm>

#include "nodeproxy/base/limits.h"

namespace weir::http::h1 {
namespace {

constexpr uint32_t kProtocolsMax =
    16;  // of one Upgrade: each that is agreed to is looked up among those offered

// A list field may come in several lines; one list is easier to walk.
void join(std::string& list, std::string_view value) {
  if (!list.empty()) list += ", ";
  list += value;
}

bool contains(std::string_view list, std::string_view wanted) {
  std::string_view element;
  while (next_element(list, element)) {
    if (same_field(element, wanted)) return true;
  }
  return false;
}

bool is_protocol(std::string_view text) {  // protocol-name ["/" protocol-version]
  const size_t slash = text.find('/');
  return is_token(text.substr(0, slash)) &&
         (slash == std::string_view::npos || is_token(text.substr(slash + 1)));
}

}  // namespace

void HeadBuilder::reset(bool request) {
  head_.clear();
  request_ = request;
  if (request) head_.scheme = "http";
  connection_.clear();
  upgrade_.clear();
  hosts_ = lengths_ = encodings_ = 0;
  expects_ = chunked_ = te_trailers_ = wants_upgrade_ = keep_alive_ = tunnel_ = false;
  body_ = Body::none;
  length_ = 0;
  written_length_.reset();
  refusal_ = {};
}

void HeadBuilder::refuse(const char* rule, uint16_t status) {
  if (!refusal_) refusal_ = {rule, status};
}

void HeadBuilder::field(std::string_view name, std::string_view value) {
  value = trim(value);
  switch (special(name)) {
    case Special::expect: expects_ = true; [[fallthrough]];
    case Special::none: head_.headers.add(name, value); break;
    case Special::connection: join(connection_, value); break;
    case Special::content_length:
      written_length_ = parse_length(value);
      if (!written_length_) refuse("Content-Length is not a number below 2^63");
      if (++lengths_ > 1) refuse("Content-Length is repeated");
      break;
    case Special::transfer_encoding:
      chunked_ = same_field(value, "chunked");
      if (++encodings_ > 1 || !chunked_) refuse("Transfer-Encoding is not one chunked");
      break;
    case Special::host:
      if (!request_) break;
      if (++hosts_ > 1) refuse("Host is repeated");
      if (!is_authority(value)) refuse("Host is not a host and a port");
      head_.authority = value;
      break;
    case Special::te: te_trailers_ |= contains(value, "trailers"); break;
    case Special::upgrade: join(upgrade_, value); break;
    case Special::http2_settings:
    case Special::keep_alive:
    case Special::proxy_connection:
    case Special::shadow: break;
  }
}

// What Connection says of this connection, and the fields it names; those that frame are not in the headers, and so
// cannot be removed (http.md: "framing fields cannot be removed that way").
void HeadBuilder::connection() {
  bool close = false, keep = false;
  uint32_t named = 0;
  std::string_view list = connection_, element;
  while (!connection_.empty() && next_element(list, element)) {
    if (element.empty() || same_field(element, "te")) continue;
    if (same_field(element, "close"))
      close = true;
    else if (same_field(element, "keep-alive"))
      keep = true;
    else if (same_field(element, "upgrade"))
      wants_upgrade_ = true;
    else if (++named <= limits::http_fields_max)
      head_.headers.remove(element);
    else
      refuse("Connection names more fields than there can be", 431);
  }
  keep_alive_ = !close && (head_.version == Version::http_1_1 || keep);
}

// Only 1.1 can upgrade, and never to h2c: the protocol of a connection is what it began with.
void HeadBuilder::upgrade() {
  if (upgrade_.empty() || !wants_upgrade_ || head_.version != Version::http_1_1) return;
  std::string_view list = upgrade_, element;
  for (uint32_t named = 0; next_element(list, element); ++named) {
    if (named >= kProtocolsMax) {
      refuse("Upgrade names too many protocols", 431);
      return;
    }
    if (element.empty() || same_field(element, "h2c") || same_field(element, "h2")) continue;
    if (!is_protocol(element)) {
      refuse("Upgrade does not name a protocol");
      return;
    }
    join(head_.upgrade, element);
  }
}

// 1.0 knows no expectations: one that is forwarded as 1.1 would come to mean something.
void HeadBuilder::expect() {
  const auto value = expects_ ? head_.headers.get("expect") : std::nullopt;
  if (!value) return;
  if (head_.version == Version::http_1_0)
    head_.headers.remove("expect");
  else
    head_.expect_continue = same_field(*value, "100-continue");
}

// The rules that hold for requests and responses alike.
Refusal HeadBuilder::framing() {
  connection();
  if (lengths_ > 0 && encodings_ > 0) refuse("Content-Length and Transfer-Encoding in one message");
  if (encodings_ > 0 && head_.version == Version::http_1_0) refuse("Transfer-Encoding in HTTP/1.0");
  return refusal_;
}

Refusal HeadBuilder::finish_request(std::string_view target_text) {
  if (const Refusal refused = framing()) return refused;
  // RFC 9113 section 3.4: the method of HTTP/2's preface, which no HTTP/1.1 request uses and servers take differently.
  if (head_.method == "PRI") return {"the method of HTTP/2's preface"};
  if (hosts_ == 0 && head_.version == Version::http_1_1) return {"no Host in HTTP/1.1"};
  if (const Refusal refused = target(target_text)) return refused;
  expect();
  if (head_.method == "CONNECT") {
    if (chunked() || written_length_.value_or(0) > 0) return {"CONNECT with a body"};
    keep_alive_ = false;  // refused or not, what follows may be the tunnel's first bytes
    return {};
  }
  upgrade();
  if (te_trailers_) head_.headers.add("te", "trailers");
  head_.content_length = written_length_;
  length_ = written_length_.value_or(0);
  body_ = chunked() ? Body::chunked : length_ > 0 ? Body::length : Body::none;
  return refusal_;
}

Refusal HeadBuilder::target(std::string_view text) {
  if (head_.method == "CONNECT") {
    if (!is_authority(text) || !has_port(text) || text.starts_with(':')) return {"CONNECT without host:port"};
    head_.authority = text;
    return {};
  }
  if (!text.starts_with('/') && text != "*") return absolute(text);
  if (text == "*" && head_.method != "OPTIONS") return {"a target of * for another method than OPTIONS"};
  head_.path = text;
  return {};
}

// absolute-form: wins over Host. Forwarded in origin-form.
Refusal HeadBuilder::absolute(std::string_view text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string_view scheme = text.substr(0, colon);
  if (!text.substr(colon).starts_with("://")) return {"a path that does not begin with /"};
  if (same_field(scheme, "https"))
    head_.scheme = "https";
  else if (!same_field(scheme, "http"))
    return {"a target with another scheme than http and https"};
  const std::string_view rest = text.substr(colon + 3);
  const size_t path = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, path);
  if (authority.empty() || !is_authority(authority))
    return {"a target whose authority is not a host and a port"};
  head_.authority = authority;
  if (path == rest.size())
    head_.path = head_.method == "OPTIONS" ? "*" : "/";
  else if (rest[path] == '?')
    head_.path = "/";
  head_.path += rest.substr(path);
  return {};
}

Refusal HeadBuilder::finish_response(const Asked& asked) {
  if (const Refusal refused = framing()) return refused;
  const uint16_t status = head_.status;
  if (status == 101) return switching(asked);
  if (status == 426) upgrade();
  if (refusal_) return refusal_;
  tunnel_ = asked.connect && status >= 200 && status < 300;
  if (tunnel_ || status < 200 || status == 204) return {};  // whatever they claim
  head_.content_length = written_length_;
  if (asked.head || status == 304) return {};  // a length there is that of what a GET would have got
  length_ = written_length_.value_or(0);
  if (chunked())
    body_ = Body::chunked;
  else if (written_length_)
    body_ = length_ > 0 ? Body::length : Body::none;
  else
    body_ = Body::to_close;
  keep_alive_ = keep_alive_ && body_ != Body::to_close;
  return {};
}

// A 101 may only agree to what was offered.
Refusal HeadBuilder::switching(const Asked& asked) {
  upgrade();
  if (refusal_) return refusal_;
  if (head_.upgrade.empty() || asked.upgrade.empty())
    return {"101 to a request that offered nothing, or for nothing"};
  std::string_view list = head_.upgrade, element;
  while (next_element(list, element)) {
    if (!contains(asked.upgrade, element)) return {"101 for a protocol that was not offered"};
  }
  tunnel_ = true;
  return {};
}

}  // namespace weir::http::h1
