// Character classes as a table, and the walk over a path's segments. See http_syntax.h.
#include "nodeproxy/base/http_syntax.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace weir::http_syntax {
namespace {

enum Class : uint8_t {
  kToken = 1,       // RFC 9110 tchar
  kUnreserved = 2,  // RFC 3986
  kPathChar = 4,    // pchar without '%': unreserved, sub-delims, ':', '@'
  kRefused = 8,     // cannot stand in a path in any spelling but an escape, and then it is not ours to add
};

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  const auto mark = [&](std::string_view characters, int mask) {
    for (const char c : characters) classes[static_cast<unsigned char>(c)] |= static_cast<uint8_t>(mask);
  };
  mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", kToken | kUnreserved | kPathChar);
  mark("-._~", kUnreserved | kPathChar);
  mark("!$&'()*+,;=:@", kPathChar);
  mark("!#$%&'*+-.^_`|~", kToken);
  for (size_t c = 0; c <= ' '; ++c) classes[c] |= kRefused;
  classes[0x7f] |= kRefused;
  mark("#?", kRefused);
  return classes;
}
constexpr auto kClasses = make_classes();

bool is(char c, Class wanted) { return (kClasses[static_cast<unsigned char>(c)] & wanted) != 0; }

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_escape(std::string& out, unsigned char byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  out += '%';
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

// Most paths: nothing but plain characters, no segment that is empty or begins with a dot.
bool plainly_normal(std::string_view path) {
  char before = 0;
  for (const char c : path) {
    if (c == '/') {
      if (before == '/') return false;
    } else if (!is(c, kPathChar) || (c == '.' && before == '/')) {
      return false;
    }
    before = c;
  }
  return true;
}

// One segment, its escapes in the one spelling.
PathFault append_segment(std::string_view segment, std::string& out) {
  for (size_t i = 0; i < segment.size(); ++i) {
    const char c = segment[i];
    if (is(c, kPathChar)) {
      out += c;
      continue;
    }
    if (c == '\\') return PathFault::hidden_separator;
    if (is(c, kRefused)) return PathFault::bad_byte;
    if (c != '%') {
      append_escape(out, static_cast<unsigned char>(c));
      continue;
    }
    const int high = i + 1 < segment.size() ? hex(segment[i + 1]) : -1;
    const int low = i + 2 < segment.size() ? hex(segment[i + 2]) : -1;
    if (high < 0 || low < 0) return PathFault::bad_escape;
    const auto byte = static_cast<char>(high << 4 | low);
    if (byte == '/' || byte == '\\' || byte == '\0') return PathFault::hidden_separator;
    if (is(byte, kUnreserved)) {
      out += byte;
    } else {
      append_escape(out, static_cast<unsigned char>(byte));
    }
    i += 2;
  }
  return PathFault::none;
}

// Takes the last whole segment off "/a/b/"; the root stays.
void pop_segment(std::string& out) {
  if (out.size() == 1) return;
  out.pop_back();
  out.resize(out.rfind('/') + 1);
}

PathFault normalise(std::string_view path, bool last_is_beginning, std::string& out) {
  out.clear();
  if (path.empty() || path.front() != '/') return PathFault::no_slash;
  if (plainly_normal(path)) return PathFault::none;
  out.reserve(path.size());
  out = "/";  // ends in '/' before each segment
  for (size_t begin = 1;;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const bool last = end == path.size();
    const size_t mark = out.size();
    const PathFault fault = append_segment(path.substr(begin, end - begin), out);
    if (fault != PathFault::none) return fault;
    const std::string_view segment = std::string_view(out).substr(mark);
    if (segment.starts_with("..;") || segment.starts_with(".;")) return PathFault::dotted_parameter;
    if (last && last_is_beginning) {
      // Nothing is known of its end.
    } else if (segment == ".") {
      out.resize(mark);
    } else if (segment == "..") {
      out.resize(mark);
      pop_segment(out);
    } else if (!segment.empty() && !last) {
      out += '/';
    }
    if (last) break;
    begin = end + 1;
  }
  if (out == path) out.clear();
  return PathFault::none;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

size_t token_end(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && is(text[at], kToken)) ++at;
  return at;
}

bool is_token(std::string_view text) { return !text.empty() && token_end(text) == text.size(); }

bool same_field(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return x == y || lower(x) == lower(y); });
}

bool is_field_value(std::string_view text) {
  const auto edge = [](char c) { return c == ' ' || c == '\t'; };
  if (!text.empty() && (edge(text.front()) || edge(text.back()))) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= ' ' && byte != 0x7f);
  });
}

bool is_connection_field(std::string_view name) {
  constexpr std::string_view kNames[] = {"connection",        "content-length",   "expect", "http2-settings",
                                         "keep-alive",        "proxy-connection", "te",     "trailer",
                                         "transfer-encoding", "upgrade"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](std::string_view known) { return same_field(name, known); });
}

std::string_view describe(PathFault fault) {
  switch (fault) {
    case PathFault::none: return "is in order";
    case PathFault::no_slash: return "does not begin with /";
    case PathFault::bad_escape: return "has a % without two hexadecimal digits";
    case PathFault::hidden_separator: return "has %2F, %5C, %00 or a backslash";
    case PathFault::bad_byte: return "has a control character, a space, ? or #";
    case PathFault::dotted_parameter: return "has a dot segment with a parameter";
  }
  return "";
}

PathFault normalise_path(std::string_view path, std::string& instead) {
  return normalise(path, false, instead);
}

PathFault normalise_path_prefix(std::string_view prefix, std::string& instead) {
  return normalise(prefix, true, instead);
}

}  // namespace weir::http_syntax
