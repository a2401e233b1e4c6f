// Fields: storage, look-up without case, list tokens. See message.h.
#include "nodeproxy/http/message.h"

#include <algorithm>

namespace weir::http {
namespace {

constexpr size_t kKeptBytes = 8 * 1024;
constexpr size_t kFirstBytes = 240, kFirstFields = 8;  // of most heads, taken at once instead of by doubling

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

Headers::Slot Headers::append(std::string_view name, std::string_view value) {
  Slot slot;
  slot.name_at = static_cast<uint32_t>(text_.size());
  slot.name_size = static_cast<uint32_t>(name.size());
  text_.append(name);
  slot.value_at = static_cast<uint32_t>(text_.size());
  slot.value_size = static_cast<uint32_t>(value.size());
  text_.append(value);
  return slot;
}

void Headers::add(std::string_view name, std::string_view value) {
  if (slots_.capacity() == 0) {
    text_.reserve(kFirstBytes);
    slots_.reserve(kFirstFields);
  }
  slots_.push_back(append(name, value));
  ++live_;
}

void Headers::set(std::string_view name, std::string_view value) {
  bool placed = false;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].removed || !same_field(field(i).name, name)) continue;
    if (placed) {
      slots_[i].removed = true;
      --live_;
    } else {
      slots_[i] = append(name, value);
      placed = true;
    }
  }
  if (!placed) add(name, value);
}

bool Headers::remove(std::string_view name) {
  bool found = false;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].removed || !same_field(field(i).name, name)) continue;
    slots_[i].removed = found = true;
    --live_;
  }
  return found;
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (const Field one : *this)
    if (same_field(one.name, name)) return one.value;
  return std::nullopt;
}

size_t Headers::count(std::string_view name) const {
  size_t count = 0;
  for (const Field one : *this) count += same_field(one.name, name);
  return count;
}

bool Headers::has_token(std::string_view name, std::string_view token) const {
  for (const Field one : *this) {
    if (!same_field(one.name, name)) continue;
    std::string_view list = one.value;
    while (!list.empty()) {
      const size_t comma = list.find(',');
      if (same_field(trim(list.substr(0, comma)), token)) return true;
      if (comma == std::string_view::npos) break;
      list.remove_prefix(comma + 1);
    }
  }
  return false;
}

void Headers::fit() {
  if (text_.capacity() - text_.size() > kKeptBytes) text_.shrink_to_fit();
}

void Headers::clear() {
  if (text_.capacity() > kKeptBytes) text_ = {};  // one large head is no reason to hold its room for good
  text_.clear();
  slots_.clear();
  live_ = 0;
}

void Head::clear() {
  method.clear();
  scheme.clear();
  authority.clear();
  path.clear();
  status = 0;
  version = Version::http_1_1;
  headers.clear();
  content_length.reset();
  upgrade.clear();
  expect_continue = false;
}

}  // namespace weir::http
