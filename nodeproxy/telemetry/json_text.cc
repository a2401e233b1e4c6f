// Escaping and numbers. See json_text.h.
#include "nodeproxy/telemetry/json_text.h"

#include <array>
#include <charconv>
#include <ctime>

namespace weir::telemetry {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

// Bytes that stand for themselves inside a JSON string.
constexpr std::array<bool, 256> plain_bytes() {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x7f; ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}
constexpr std::array<bool, 256> kPlain = plain_bytes();

bool continues(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80;
}

// The bytes of the UTF-8 character at `at` (Unicode table 3-7: shortest form, no surrogates, up to U+10FFFF); 0: none.
size_t character_bytes(std::string_view text, size_t at) {
  const auto first = static_cast<uint8_t>(text[at]);
  const auto second = at + 1 < text.size() ? static_cast<uint8_t>(text[at + 1]) : uint8_t{0};
  if (!continues(text, at + 1)) return 0;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) {
    const bool shortest = first != 0xe0 || second >= 0xa0, surrogate = first == 0xed && second >= 0xa0;
    return shortest && !surrogate && continues(text, at + 2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool in_range = (first != 0xf0 || second >= 0x90) && (first != 0xf4 || second < 0x90);
    return in_range && continues(text, at + 2) && continues(text, at + 3) ? 4 : 0;
  }
  return 0;
}

void append_escape(std::string& out, uint8_t code) {
  out += "\\u00";
  out += kHex[code >> 4];
  out += kHex[code & 15];
}

// Appends the character at `at` that does not stand for itself; returns how many bytes it had.
size_t append_special(std::string& out, std::string_view text, size_t at) {
  const auto c = static_cast<uint8_t>(text[at]);
  if (c == '"' || c == '\\') {
    out += '\\';
    out += text[at];
    return 1;
  }
  if (c < 0x80) {
    append_escape(out, c);
    return 1;
  }
  const size_t bytes = character_bytes(text, at);
  if (bytes == 0) {
    out += "\xef\xbf\xbd";
    return 1;
  }
  if (c == 0xc2 && static_cast<uint8_t>(text[at + 1]) < 0xa0) {  // C1 controls
    append_escape(out, static_cast<uint8_t>(text[at + 1]));
  } else {
    out.append(text, at, bytes);
  }
  return bytes;
}

// As inet_ntop, at a third of its price (RFC 5952): the longest run of two or more zero groups becomes "::".
void append_v6(std::string& out, const Ip& ip) {
  const auto& bytes = ip.bytes();
  std::array<uint32_t, 8> groups{};
  size_t run = 8, run_size = 1;  // of the longest run
  for (size_t i = 0, zeros = 0; i < 8; ++i) {
    groups[i] = static_cast<uint32_t>(bytes[2 * i] << 8 | bytes[2 * i + 1]);
    zeros = groups[i] == 0 ? zeros + 1 : 0;
    if (zeros > run_size) {
      run_size = zeros;
      run = i + 1 - zeros;
    }
  }
  if (run == 0 && run_size >= 6) {  // may hold an IPv4 address, which is written in its own way
    out += ip.to_string();
    return;
  }
  for (size_t i = 0; i < 8; ++i) {
    if (i == run) {
      out += "::";
      i += run_size - 1;
      continue;
    }
    if (i > 0 && i != run + run_size) out += ':';
    char text[8];
    const auto end = std::to_chars(text, text + sizeof(text), groups[i], 16).ptr;
    out.append(text, static_cast<size_t>(end - text));
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  size_t from = 0;
  for (size_t at = 0; at < text.size();) {
    if (kPlain[static_cast<uint8_t>(text[at])]) {
      ++at;
      continue;
    }
    out.append(text, from, at - from);
    at += append_special(out, text, at);
    from = at;
  }
  out.append(text, from);
  out += '"';
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += ",\"";
  out += name;
  out += "\":";
  append_json_string(out, value);
}

void append_number(std::string& out, uint64_t number) {
  char text[20];
  const auto end = std::to_chars(text, text + sizeof(text), number).ptr;
  out.append(text, static_cast<size_t>(end - text));
}

void append_number_field(std::string& out, std::string_view name, uint64_t number) {
  out += ",\"";
  out += name;
  out += "\":";
  append_number(out, number);
}

void append_millis_field(std::string& out, std::string_view name, std::chrono::nanoseconds duration) {
  const uint64_t nanos = duration.count() < 0 ? 0 : static_cast<uint64_t>(duration.count());
  const uint64_t micros = (nanos + 500) / 1000;
  append_number_field(out, name, micros / 1000);
  const auto rest = static_cast<uint32_t>(micros % 1000);
  const char fraction[4] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                            static_cast<char>('0' + rest % 10)};
  out.append(fraction, sizeof(fraction));
}

void append_address(std::string& out, const SocketAddress& address) {
  if (!address.ip.is_v4()) {
    out += '[';
    append_v6(out, address.ip);
    out += "]:";
    append_number(out, address.port);
    return;
  }
  char text[sizeof("255.255.255.255:")];
  char* at = text;
  for (size_t i = 12; i < 16; ++i) {
    const uint8_t byte = address.ip.bytes()[i];
    if (byte >= 100) *at++ = static_cast<char>('0' + byte / 100);
    if (byte >= 10) *at++ = static_cast<char>('0' + byte / 10 % 10);
    *at++ = static_cast<char>('0' + byte % 10);
    *at++ = i < 15 ? '.' : ':';
  }
  out.append(text, static_cast<size_t>(at - text));
  append_number(out, address.port);
}

void LineClock::append_to(std::string& out, std::chrono::system_clock::time_point now) {
  const int64_t millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  if (millis / 1000 != second_) {
    second_ = millis / 1000;
    const std::time_t time = second_;
    std::tm parts{};
    ::gmtime_r(&time, &parts);
    size_ = std::strftime(text_, sizeof(text_), "%Y-%m-%dT%H:%M:%S", &parts);
  }
  const auto rest = static_cast<uint32_t>(millis % 1000);
  const char fraction[5] = {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
                            static_cast<char>('0' + rest % 10), 'Z'};
  out.append(text_, size_);
  out.append(fraction, sizeof(fraction));
}

}  // namespace weir::telemetry
