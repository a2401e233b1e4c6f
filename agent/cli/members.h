#pragma once
// Reading JSON that a newer or older process may have sent: what is missing, or of another type, reads as "-", 0, false
// or empty. Thread: any.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace weir::agent {

// A member as text, whatever its type.
std::string text_of(const nlohmann::json& object, const char* name, const std::string& missing = "-");
int64_t number_of(const nlohmann::json& object, const char* name);
double real_of(const nlohmann::json& object, const char* name);
bool flag_of(const nlohmann::json& object, const char* name);
const nlohmann::json& list_of(const nlohmann::json& object, const char* name);
const nlohmann::json& member_of(const nlohmann::json& object, const char* name);

// Whether `text` has only characters that names of Kubernetes and of routes have; the processes asked do not decode
// percent signs.
bool is_name(const std::string& text);

// `text` as a terminal may be shown it: printable ASCII as it is, every other byte as \xHH. For what strangers wrote.
std::string visible(const std::string& text);

}  // namespace weir::agent
