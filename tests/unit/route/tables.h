#pragma once
// Tables as text and requests in one line, for the tests of this directory.
//
// Concept: a table goes through the builder's own reader, so that what is matched here is what configuration makes.
// Owner, thread, lifetime: each test's own.
#include <google/protobuf/text_format.h>

#include <catch2/catch.hpp>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "nodeproxy/config/mesh.pb.h"
#include "nodeproxy/config/stage.h"
#include "nodeproxy/http/path.h"
#include "nodeproxy/route/match.h"

namespace weir::route::test {

// `rules` and `matches` as in mesh.proto.
inline std::shared_ptr<const config::RouteTable> table(const std::string& text) {
  mesh::v1::Update update;
  INFO(text);
  REQUIRE(google::protobuf::TextFormat::ParseFromString(
      "changed { routes { name: \"t\" service: \"s\" " + text + " } }", &update));
  const auto staged = config::stage(update);
  if (!staged) FAIL(config::describe(staged.error()));
  return staged->routes.at("t");
}

// A table with so many rules, named by their numbers, and these matches.
inline std::shared_ptr<const config::RouteTable> matches_only(const std::string& matches) {
  std::string rules;
  for (int i = 0; i < 10; ++i) rules += "rules { name: \"" + std::to_string(i) + "\" } ";
  return table(rules + matches);
}

inline http::Head get(std::string target,
                      std::initializer_list<std::pair<const char*, const char*>> fields = {}) {
  http::Head head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = "shop.example.com";
  head.path = std::move(target);
  for (const auto& [name, value] : fields) head.headers.add(name, value);
  return head;
}

// The rule's number, or -1: as the exchange asks.
inline int routed(const config::RouteTable& table, http::Head head) {
  REQUIRE(http::normalise_target(head.path) == http::PathFault::none);
  const config::RouteMatch* found = match(table, head, http::path_of(head.path));
  return found == nullptr ? -1 : static_cast<int>(found->rule);
}

}  // namespace weir::route::test
