// Decoding byte by byte. See query.h.
#include "nodeproxy/http/query.h"

namespace weir::http {
namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Takes the first decoded byte off `raw`, which is not empty.
char take(std::string_view& raw) {
  const char c = raw.front();
  if (c == '%' && raw.size() >= 3) {
    const int high = hex(raw[1]), low = hex(raw[2]);
    if (high >= 0 && low >= 0) {
      raw.remove_prefix(3);
      return static_cast<char>(high << 4 | low);
    }
  }
  raw.remove_prefix(1);
  return c == '+' ? ' ' : c;
}

}  // namespace

std::optional<std::string_view> first_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (pair.empty()) continue;
    const size_t equals = pair.find('=');
    if (!parameter_equals(pair.substr(0, equals), name)) continue;
    return equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
  }
  return std::nullopt;
}

bool parameter_equals(std::string_view raw, std::string_view plain) {
  for (const char c : plain)
    if (raw.empty() || take(raw) != c) return false;
  return raw.empty();
}

std::string decode_parameter(std::string_view raw) {
  std::string plain;
  plain.reserve(raw.size());
  while (!raw.empty()) plain += take(raw);
  return plain;
}

}  // namespace weir::http
