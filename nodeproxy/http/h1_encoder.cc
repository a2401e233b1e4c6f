// Start lines, fields, framing. See h1_encoder.h.
#include "nodeproxy/http/h1_encoder.h"

#include <charconv>

namespace weir::http::h1 {
namespace {

void append_number(std::string& out, uint64_t number, int base = 10) {
  char digits[20];
  const auto end = std::to_chars(std::begin(digits), std::end(digits), number, base);
  out.append(digits, end.ptr);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

// What h1_head would have taken out, or the message would have two framings, hosts or connections.
bool is_ours(Special which) {
  return which != Special::none && which != Special::expect && which != Special::te;
}

// The fields that pass from hop to hop; the rule that one breaks, if one does.
const char* append_fields(std::string& out, const Headers& headers, bool& te) {
  for (const Field field : headers) {
    if (!is_token(field.name)) return "a field name that is not a token";
    if (find_control(field.value) != std::string_view::npos) return "a control character in a field's value";
    const Special which = special(field.name);
    if (is_ours(which)) return "a field of framing or of one connection among the headers";
    const std::string_view value = trim(field.value);
    if (which == Special::te) {
      if (!same_field(value, "trailers")) return "TE other than trailers";
      te = true;
    }
    append_field(out, field.name, value);
  }
  return nullptr;
}

struct Connection {
  bool close = false, keep_alive = false, te = false;
  std::string_view upgrade = {};
};

const char* append_connection(std::string& out, const Connection& connection) {
  const size_t begin = out.size();
  const auto token = [&](bool said, std::string_view text) {
    if (said) out.append(out.size() == begin ? "Connection: " : ", ").append(text);
  };
  token(connection.close, "close");
  token(connection.keep_alive, "keep-alive");
  token(!connection.upgrade.empty(), "upgrade");
  token(connection.te, "te");
  if (out.size() > begin) out.append("\r\n");
  if (connection.upgrade.empty()) return nullptr;
  if (find_control(connection.upgrade) != std::string_view::npos) return "a control character in Upgrade";
  append_field(out, "Upgrade", connection.upgrade);
  return nullptr;
}

void append_framing(std::string& out, Body body, std::optional<uint64_t> length) {
  if (body == Body::chunked) {
    append_field(out, "Transfer-Encoding", "chunked");
  } else if (length) {
    out.append("Content-Length: ");
    append_number(out, *length);
    out.append("\r\n");
  }
}

struct Framing {
  Body body = Body::none;
  std::optional<uint64_t> length = {};  // to be written
};

Body body_of(uint64_t length) { return length > 0 ? Body::length : Body::none; }

// Where there may be a body: by the length that is known, or in chunks.
Framing framing(std::optional<uint64_t> said, std::optional<uint64_t> whole) {
  if (!said) said = whole;
  if (said) return {body_of(*said), said};
  return {Body::chunked};
}

const char* append_request_line(std::string& out, const Head& head) {
  const bool connect = head.method == "CONNECT";
  if (!is_token(head.method)) return "a method that is not a token";
  if (!is_authority(head.authority)) return "an authority that is not a host and a port";
  if (connect) {
    if (!head.path.empty() || !head.upgrade.empty()) return "CONNECT with a path";
    if (!has_port(head.authority)) return "CONNECT without host:port";
  } else {
    const bool asterisk = head.path == "*" && head.method == "OPTIONS";
    if (!asterisk && !head.path.starts_with('/')) return "a path that does not begin with /";
    if (!is_target(head.path)) return "a path that is not visible ASCII, or has #";
  }
  out.append(head.method).append(" ").append(connect ? head.authority : head.path).append(" HTTP/1.1\r\n");
  append_field(out, "Host", head.authority);
  return nullptr;
}

const char* request(std::string& out, const Head& head, const RequestOptions& options, Body& body) {
  if (const char* rule = append_request_line(out, head)) return rule;
  if (options.whole_bytes && head.content_length && *options.whole_bytes != *head.content_length)
    return "a body that is not as long as its head says";
  Framing framed;
  if (head.method != "CONNECT") framed = framing(head.content_length, options.whole_bytes);
  if (framed.body == Body::none && !head.content_length) framed.length.reset();  // as it came: it had no body
  Connection connection{.close = options.close, .upgrade = head.upgrade};
  if (const char* rule = append_fields(out, head.headers, connection.te)) return rule;
  if (!options.websocket_key.empty()) append_field(out, "Sec-WebSocket-Key", options.websocket_key);
  append_framing(out, framed.body, framed.length);
  body = framed.body;
  return append_connection(out, connection);
}

const char* response(std::string& out, const Head& head, const ResponseOptions& options, Body& body) {
  const uint16_t status = head.status;
  if (status < 100 || status > 999) return "a status that is not three digits";
  const bool old = options.peer == Version::http_1_0;
  const bool tunnel = status == 101 || (options.to_connect && status >= 200 && status < 300);
  if (old && status < 200) return status == 101 ? "101 to HTTP/1.0" : nullptr;
  Framing framed;
  if (tunnel || status < 200 || status == 204) {
    framed = {};  // none, and none may be claimed
  } else if (options.to_head || status == 304) {
    framed = {Body::none, head.content_length};
  } else {
    if (options.whole_bytes && head.content_length && *options.whole_bytes != *head.content_length)
      return "a body that is not as long as its head says";
    framed = framing(head.content_length, options.whole_bytes);
    if (old && framed.body == Body::chunked) framed = {Body::to_close};
  }
  Connection connection{.close = options.close || framed.body == Body::to_close};
  connection.keep_alive = old && !connection.close && !tunnel;
  if (status == 101 || status == 426) connection.upgrade = head.upgrade;
  if (status == 101 && head.upgrade.empty()) return "101 without a protocol";

  out.append("HTTP/1.1 ");
  append_number(out, status);
  out.append(" ").append(phrase(status)).append("\r\n");
  bool te = false;
  if (const char* rule = append_fields(out, head.headers, te)) return rule;
  if (te) return "TE in a response";
  append_framing(out, framed.body, framed.length);
  body = framed.body;
  return append_connection(out, connection);
}

Result<Body> finish(std::string& out, size_t before, const char* rule, Reason reason, Body body) {
  if (rule) {
    out.resize(before);
    return fail(Source::local, reason, rule);
  }
  if (out.size() > before) out.append("\r\n");
  return body;
}

}  // namespace

Result<Body> append_request_head(std::string& out, const Head& head, const RequestOptions& options) {
  const size_t before = out.size();
  Body body = Body::none;
  const char* rule = request(out, head, options, body);
  return finish(out, before, rule, Reason::bad_request, body);
}

Result<Body> append_response_head(std::string& out, const Head& head, const ResponseOptions& options) {
  const size_t before = out.size();
  Body body = Body::none;
  const char* rule = response(out, head, options, body);
  return finish(out, before, rule, Reason::bad_response, body);
}

void append_chunk_begin(std::string& out, uint64_t bytes) {
  append_number(out, bytes, 16);
  out.append("\r\n");
}

Status append_last_chunk(std::string& out, const Headers* trailers) {
  const size_t before = out.size();
  out.append("0\r\n");
  if (trailers) {
    for (const Field field : *trailers) {
      if (!may_trail(field.name)) continue;
      const bool clean = is_token(field.name) && find_control(field.value) == std::string_view::npos;
      if (!clean) {
        out.resize(before);
        return fail(Source::local, Reason::bad_response, "a trailer whose name or value cannot be written");
      }
      append_field(out, field.name, trim(field.value));
    }
  }
  out.append("\r\n");
  return {};
}

}  // namespace weir::http::h1
