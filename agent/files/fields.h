#pragma once
// Reading YAML and JSON with places: a Field is a node of a document together with its path and line, so that whatever is
// wrong can be said as "line 12: spec.rules[0].to[1].ports[0] must be a number from 1 to 65535". JSON has no lines.
//
// Refusals are exceptions inside this directory only, because yaml-cpp's are; parse.h turns both into values.
// Owner: the document's. Thread: one at a time. Lifetime: while the document lives (value.h).
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/files/value.h"
#include "agent/model/objects.h"

namespace weir::agent {

struct Refused {
  int line = 0;
  std::string reason;
};

class Field {
 public:
  Field(const YAML::Node& node, std::string path) : Field(Value(node), std::move(path)) {}
  Field(const nlohmann::json& json, std::string path) : Field(Value(json), std::move(path)) {}

  // A member of a map; absent members are Fields too. Refuses when this is there and is no map.
  Field operator[](const char* name) const;
  bool present() const { return present_; }  // null counts as absent
  const std::string& path() const { return path_; }
  int line() const { return line_; }

  std::string text(std::string_view fallback = {}) const;  // any scalar
  std::string needed_text() const;
  uint32_t number(uint32_t min, uint32_t max) const;
  uint32_t number_or(uint32_t fallback, uint32_t min, uint32_t max) const;
  uint16_t port() const { return static_cast<uint16_t>(number(1, 65535)); }
  bool boolean(bool fallback) const;
  // A Gateway API Duration (GEP-2257: "1h30m", "250ms") in milliseconds.
  uint32_t duration_ms(uint32_t min_ms, uint32_t max_ms) const;
  bool is_number() const;
  // The index of the word among `words`; `fallback` when absent. Refuses, naming the words, anything else.
  size_t word(std::initializer_list<std::string_view> words, size_t fallback) const;
  std::string ip() const;    // of a pod, node or service: checked, also that it can be one
  std::string cidr() const;  // checked

  std::vector<Field> items(size_t max = SIZE_MAX) const;       // of a sequence; empty when absent
  std::vector<std::pair<std::string, Field>> entries() const;  // of a map; refuses a key that is there twice
  std::vector<std::string> texts() const;
  Labels labels() const;

  // Refuses any other member than these: for Weir's own kinds, where a word that is not understood must not be
  // passed over.
  void only(std::initializer_list<std::string_view> names) const;
  [[noreturn]] void refuse(std::string_view why) const;

 private:
  Field(Value node, std::string path);
  Field(Value node, std::string path, int line);

  Value node_;
  std::string path_;
  int line_ = 0;
  bool present_ = false;
};

}  // namespace weir::agent
