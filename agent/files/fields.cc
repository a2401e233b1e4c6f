// Typed access to nodes, refusing with path and line. See fields.h.
#include "agent/files/fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>

#include "nodeproxy/base/ip.h"

namespace weir::agent {
namespace {

std::optional<uint32_t> to_number(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Unit {
  std::string_view name;
  uint64_t ms;
};
// "ms" before "m": the first that fits is meant.
constexpr auto kUnits = std::to_array<Unit>({{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}});

// ^([0-9]{1,5}(h|m|s|ms)){1,4}$, the components added up.
std::optional<uint64_t> parse_duration(std::string_view text) {
  uint64_t total = 0;
  int components = 0;
  for (; !text.empty(); ++components) {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto value = to_number(text.substr(0, digits));
    if (!value || digits > 5) return std::nullopt;
    text.remove_prefix(digits);
    const auto unit =
        std::ranges::find_if(kUnits, [&](const Unit& candidate) { return text.starts_with(candidate.name); });
    if (unit == kUnits.end()) return std::nullopt;
    total += *value * unit->ms;
    text.remove_prefix(unit->name.size());
  }
  if (components == 0 || components > 4) return std::nullopt;
  return total;
}

// The shortest form of GEP-2257: no unit is there twice, the larger first.
std::string duration_text(uint64_t ms) {
  std::string out;
  for (const std::string_view name : {"h", "m", "s", "ms"}) {
    const auto unit = std::ranges::find(kUnits, name, &Unit::name);
    if (ms >= unit->ms) out += std::to_string(ms / unit->ms) + std::string(name);
    ms %= unit->ms;
  }
  return out.empty() ? "0s" : out;
}

// RFC 3629, without the surrogates: what a protobuf string may hold. One that is not would make the whole update
// unreadable for the proxy.
bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) {
      return at < text.size() ? static_cast<uint8_t>(text[at]) : uint8_t{0};
    };
    const uint8_t lead = byte(i);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xc2 ? 0
                          : lead < 0xe0 ? 2
                          : lead < 0xf0 ? 3
                          : lead < 0xf5 ? 4
                                        : 0;
    if (length == 0) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    // Overlong forms, surrogates, and what is above U+10FFFF.
    const uint8_t second = byte(i + 1);
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += length;
  }
  return true;
}

std::string join(std::initializer_list<std::string_view> words) {
  std::string out;
  for (const auto word : words) out += (out.empty() ? "" : ", ") + std::string(word);
  return out;
}

}  // namespace

Field::Field(Value node, std::string path) : Field(std::move(node), std::move(path), -1) {}

Field::Field(Value node, std::string path, int line)
    : node_(std::move(node)),
      path_(std::move(path)),
      line_(line < 0 ? node_.line() : line),
      present_(node_.present()) {}

void Field::refuse(std::string_view why) const {
  throw Refused{line_, (path_.empty() ? "the document" : path_) + " " + std::string(why)};
}

Field Field::operator[](const char* name) const {
  const std::string path = path_.empty() ? name : path_ + "." + name;
  if (!present_) return {Value(), path, line_};
  if (!node_.is_map()) refuse("must be a map");
  Value member = node_.member(name);
  if (!member.present()) return {Value(), path, line_};
  return {std::move(member), path};
}

std::string Field::text(std::string_view fallback) const {
  if (!present_) return std::string(fallback);
  if (!node_.is_scalar()) refuse("must be a single value");
  std::string value = node_.scalar();
  if (!is_utf8(value)) refuse("is not UTF-8");
  return value;
}

std::string Field::needed_text() const {
  std::string value = text();
  if (value.empty()) refuse("is missing");
  return value;
}

bool Field::is_number() const {
  return present_ && node_.is_scalar() && to_number(node_.scalar()).has_value();
}

uint32_t Field::number(uint32_t min, uint32_t max) const {
  const auto value = to_number(needed_text());
  if (!value || *value < min || *value > max) {
    refuse("must be a number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return *value;
}

uint32_t Field::number_or(uint32_t fallback, uint32_t min, uint32_t max) const {
  return present_ ? number(min, max) : fallback;
}

bool Field::boolean(bool fallback) const {
  if (!present_) return fallback;
  const std::string value = text();
  if (value == "true") return true;
  if (value != "false") refuse("must be true or false");
  return false;
}

uint32_t Field::duration_ms(uint32_t min_ms, uint32_t max_ms) const {
  const auto value = parse_duration(needed_text());
  if (!value) refuse("is no duration such as 1h30m, 10s or 250ms: " + text());
  if (*value < min_ms || *value > max_ms) {
    refuse("must be a duration from " + duration_text(min_ms) + " to " + duration_text(max_ms));
  }
  return static_cast<uint32_t>(*value);
}

size_t Field::word(std::initializer_list<std::string_view> words, size_t fallback) const {
  if (!present_) return fallback;
  const auto found = std::ranges::find(words, std::string_view(text()));
  if (found == words.end()) refuse("is '" + text() + "', must be one of: " + join(words));
  return static_cast<size_t>(found - words.begin());
}

std::string Field::ip() const {
  std::string value = needed_text();
  const auto address = Ip::parse(value);
  if (!address) refuse("is no IP address: " + value);
  if (!address->names_a_host()) refuse("cannot be the address of a pod, node or service: " + value);
  return value;
}

std::string Field::cidr() const {
  std::string value = needed_text();
  if (!Prefix::parse(value)) refuse("is no IP block such as 10.0.0.0/8: " + value);
  return value;
}

std::vector<Field> Field::items(size_t max) const {
  std::vector<Field> out;
  if (!present_) return out;
  if (!node_.is_sequence()) refuse("must be a list");
  if (node_.size() > max) refuse("has more than " + std::to_string(max) + " entries");
  for (size_t i = 0; i < node_.size(); ++i) {
    out.push_back({node_.item(i), path_ + "[" + std::to_string(i) + "]"});
  }
  return out;
}

std::vector<std::pair<std::string, Field>> Field::entries() const {
  std::vector<std::pair<std::string, Field>> out;
  if (!present_) return out;
  if (!node_.is_map()) refuse("must be a map");
  std::set<std::string> seen;
  node_.each([&](const Value& name, const Value& member) {
    if (!name.is_scalar()) refuse("has a key that is no word");
    std::string key = name.scalar();
    if (!is_utf8(key)) refuse("has a key that is not UTF-8");
    Field value{member, path_.empty() ? key : path_ + "." + key, name.line()};
    if (!seen.insert(key).second) value.refuse("is there twice");
    out.emplace_back(std::move(key), std::move(value));
  });
  return out;
}

std::vector<std::string> Field::texts() const {
  std::vector<std::string> out;
  for (const auto& item : items()) out.push_back(item.needed_text());
  return out;
}

Labels Field::labels() const {
  Labels out;
  for (const auto& [key, value] : entries()) out[key] = value.text();
  return out;
}

void Field::only(std::initializer_list<std::string_view> names) const {
  for (const auto& [key, value] : entries()) {
    if (std::ranges::find(names, std::string_view(key)) == names.end()) {
      value.refuse("is not known; known are: " + join(names));
    }
  }
}

}  // namespace weir::agent
