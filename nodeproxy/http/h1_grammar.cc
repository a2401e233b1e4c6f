// Character classes by table, controls eight bytes at a time. See h1_grammar.h.
#include "nodeproxy/http/h1_grammar.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>

#include "nodeproxy/base/ip.h"
#include "nodeproxy/http/message.h"

namespace weir::http::h1 {
namespace {

constexpr uint8_t kHost = 1, kTarget = 2;

constexpr std::array<uint8_t, 256> make_classes() {
  std::array<uint8_t, 256> classes{};
  const auto mark = [&classes](std::string_view chars, uint8_t bits) {
    for (const char c : chars) classes[static_cast<uint8_t>(c)] |= bits;
  };
  constexpr std::string_view kDigits = "0123456789";
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  mark(kDigits, kHost);
  mark(kLetters, kHost);
  mark("-._~!$&'()*+,;=", kHost);  // unreserved and sub-delims of RFC 3986
  for (int c = 0x21; c < 0x7f; ++c) classes[static_cast<size_t>(c)] |= kTarget;
  classes['#'] &= static_cast<uint8_t>(~kTarget);
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = make_classes();

bool is(char c, uint8_t bits) { return (kClasses[static_cast<uint8_t>(c)] & bits) != 0; }
bool all(std::string_view text, uint8_t bits) {
  return std::all_of(text.begin(), text.end(), [bits](char c) { return is(c, bits); });
}

constexpr bool is_control(char c) { return (static_cast<uint8_t>(c) < 0x20 && c != '\t') || c == 0x7f; }

// The top bit of the first byte that is below 0x20 or DEL; borrows may mark others behind it.
uint64_t controls_of(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101, kTops = kOnes * 0x80;
  const uint64_t del = word ^ (kOnes * 0x7f);
  return (((word - kOnes * 0x20) & ~word) | ((del - kOnes) & ~del)) & kTops;
}
static_assert(std::endian::native == std::endian::little, "the first byte of a word must be its lowest");

bool is_ip_literal(std::string_view text) {  // "[" IPv6address "]"; nobody has defined an IPvFuture
  if (text.size() < 4 || text.front() != '[' || text.back() != ']') return false;
  const std::string_view inner = text.substr(1, text.size() - 2);
  return inner.find(':') != std::string_view::npos && Ip::parse(inner).has_value();
}

bool is_port(std::string_view text) {
  if (text.empty()) return true;
  uint16_t port = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), port);
  return text.size() <= 5 && end.ec == std::errc{} && end.ptr == text.data() + text.size();
}

// Where ":port" begins in an authority, or its size.
size_t port_at(std::string_view authority) {
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  return colon == std::string_view::npos ? authority.size() : colon;
}

}  // namespace

bool is_target(std::string_view text) { return all(text, kTarget); }

size_t find_control(std::string_view text, size_t from) {
  size_t at = from;
  while (at < text.size()) {
    uint64_t word = 0;
    if (at + sizeof word > text.size()) {
      if (is_control(text[at])) return at;
      ++at;
      continue;
    }
    std::memcpy(&word, text.data() + at, sizeof word);
    const uint64_t marks = controls_of(word);
    if (marks == 0) {
      at += sizeof word;
      continue;
    }
    at += static_cast<size_t>(std::countr_zero(marks)) / 8;
    if (text[at] != '\t') return at;
    ++at;
  }
  return std::string_view::npos;
}

bool is_authority(std::string_view text) {
  const size_t colon = port_at(text);
  const std::string_view host = text.substr(0, colon);
  if (!host.starts_with('[') ? !all(host, kHost) : !is_ip_literal(host)) return false;
  if (colon == text.size()) return true;
  return !host.empty() && is_port(text.substr(colon + 1));
}

bool has_port(std::string_view authority) { return port_at(authority) + 1 < authority.size(); }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<uint64_t> parse_length(std::string_view text) {
  uint64_t length = 0;
  // Digits alone: unsigned takes no sign.
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (length > uint64_t{std::numeric_limits<int64_t>::max()}) return std::nullopt;
  return length;
}

bool next_element(std::string_view& list, std::string_view& element) {
  if (list.data() == nullptr) return false;
  const size_t comma = list.find(',');
  element = trim(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  return true;
}

Special special(std::string_view name) {
  const auto is = [name](std::string_view known) { return same_field(name, known); };
  switch (name.size()) {
    case 2: return is("te") ? Special::te : Special::none;
    case 4: return is("host") ? Special::host : Special::none;
    case 6: return is("expect") ? Special::expect : Special::none;
    case 7: return is("upgrade") ? Special::upgrade : Special::none;
    case 10:
      if (is("connection")) return Special::connection;
      if (is("keep-alive")) return Special::keep_alive;
      return is("keep_alive") ? Special::shadow : Special::none;
    case 14:
      if (is("content-length")) return Special::content_length;
      if (is("http2-settings")) return Special::http2_settings;
      return is("content_length") || is("http2_settings") ? Special::shadow : Special::none;
    case 16:
      if (is("proxy-connection")) return Special::proxy_connection;
      return is("proxy_connection") ? Special::shadow : Special::none;
    case 17:
      if (is("transfer-encoding")) return Special::transfer_encoding;
      return is("transfer_encoding") ? Special::shadow : Special::none;
    default: return Special::none;
  }
}

bool may_trail(std::string_view name) {
  static constexpr std::string_view kNever[] = {
      "age",
      "authorization",
      "cache-control",
      "content-encoding",
      "content-range",
      "content-type",
      "cookie",
      "date",
      "expires",
      "if-match",
      "if-none-match",
      "if-modified-since",
      "if-range",
      "location",
      "if-unmodified-since",
      "max-forwards",
      "pragma",
      "range",
      "retry-after",
      "set-cookie",
      "trailer",
      "proxy-authorization",
      "www-authenticate",
      "vary",
      "proxy-authenticate",
      "warning",
  };
  if (special(name) != Special::none) return false;
  return std::none_of(std::begin(kNever), std::end(kNever),
                      [name](std::string_view never) { return same_field(name, never); });
}

}  // namespace weir::http::h1
