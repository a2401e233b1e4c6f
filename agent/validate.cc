// Reading files and saying what is wrong with them. See validate.h.
#include "agent/validate.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <variant>

#include <nlohmann/json.hpp>

#include "agent/files/parse.h"

namespace weir::agent {
namespace {

// What is wrong with the objects of one file; empty: nothing.
std::string fault_of(const std::string& file, const Parsed& parsed) {
  if (parsed.error) return parsed.error->text();
  for (const auto& object : parsed.objects) {
    const auto* policy = std::get_if<AuthorizationPolicy>(&object);
    if (policy != nullptr && !policy->invalid.empty()) {
      return fmt::format("{}: {} would count as invalid: {}", file, describe(object), policy->invalid);
    }
  }
  return {};
}

// As the API server sends it.
Parsed parse_object(const std::string& file, const std::string& text) {
  const auto object = nlohmann::json::parse(text, nullptr, false);
  if (!object.is_discarded()) return parse_json(file, object);
  Parsed parsed;
  parsed.error = SourceError{file, 0, "is no JSON"};
  return parsed;
}

bool validate_file(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    fmt::print(stderr, "{}: cannot be opened: {}\n", file, std::strerror(errno));
    return false;
  }
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  const Parsed parsed = file.ends_with(".json") ? parse_object(file, text) : parse_yaml(file, text);
  const std::string fault = fault_of(file, parsed);
  if (!fault.empty()) {
    fmt::print(stderr, "{}\n", fault);
    return false;
  }
  fmt::print("{}: {} objects{}\n", file, parsed.objects.size(),
             parsed.passed_over == 0 ? "" : fmt::format(", {} of other programs", parsed.passed_over));
  return true;
}

}  // namespace

bool validate_files(const std::vector<std::string>& files) {
  bool good = true;
  for (const auto& file : files) good = validate_file(file) && good;
  return good;
}

}  // namespace weir::agent
