// Targets as clients may write them. What has a normal form has one: taken again it stays, nothing in it is left to
// resolve, it is written in characters that RFC 3986 lets stand in a path, and the query is byte for byte what it was. A
// prefix pattern of policies, likewise. Decoding a query never reads past it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "nodeproxy/http/path.h"
#include "nodeproxy/http/query.h"

namespace {

using weir::http::PathFault;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_normal(std::string_view path) {
  require(path.starts_with('/'));
  require(path.find("//") == std::string_view::npos);
  const std::string closed = std::string(path) + '/';
  require(closed.find("/./") == std::string::npos && closed.find("/../") == std::string::npos);
  require(closed.find("/.;") == std::string::npos && closed.find("/..;") == std::string::npos);
  require(path.find_first_not_of(
              "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/%") ==
          std::string_view::npos);
  for (const char* hidden : {"%2F", "%5C", "%00", "%2E", "%7E", "%41"})
    require(path.find(hidden) == std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string target(input);
  const PathFault fault = weir::http::normalise_target(target);
  if (fault != PathFault::none) {
    require(target == input);
  } else {
    require(weir::http::query_of(target) == weir::http::query_of(input));
    if (!target.empty() && target != "*") check_normal(weir::http::path_of(target));
    std::string again = target;
    require(weir::http::normalise_target(again) == PathFault::none && again == target);
  }
  std::string instead;
  if (weir::http_syntax::normalise_path_prefix(input, instead) == PathFault::none && !instead.empty()) {
    std::string twice;
    require(weir::http_syntax::normalise_path_prefix(instead, twice) == PathFault::none && twice.empty());
  }
  const std::string_view query = weir::http::query_of(input);
  const std::string plain = weir::http::decode_parameter(query);
  require(plain.size() <= query.size());
  require(weir::http::parameter_equals(query, plain));
  if (const auto value = weir::http::first_parameter(query, "a")) require(value->size() <= query.size());
  return 0;
}
