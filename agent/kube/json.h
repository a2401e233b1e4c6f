#pragma once
// The API server's JSON, and what is said in URLs. Pure. Thread: any.
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace weir::agent::kube {

using Json = nlohmann::json;

// Without managedFields, which is often longer than all else of an object. `depth`: that of the member in the text, 2 in an
// object, 3 in a watch's event, 4 in a list. What is no JSON becomes a discarded value.
Json parse_pruned(std::string_view text, int depth);

// Empty when something on the way is not there, or is no string.
std::string text_at(const Json& object, const char* name);
std::string text_at(const Json& object, const char* outer, const char* name);

// By JSON pointer ("/metadata/labels"). Null, or empty, when it is not there (or no string).
const Json& member(const Json& object, const std::string& pointer);
std::string text_member(const Json& object, const std::string& pointer);

std::string url_encoded(std::string_view text);

}  // namespace weir::agent::kube
