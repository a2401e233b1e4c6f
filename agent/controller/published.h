#pragma once
// The roots as published: what ConfigMap weir-system/weir-ca-root says, and how it follows the authority that signs.
//
// Concept: a root comes into the bundle some time before it signs, and leaves it when nothing that it signed can be alive
// any more. So the ConfigMap keeps, beside the certificates (`ca.pem`, for everybody) and the bundle's `version`, since
// when each root has been there and since when another has signed in its place (`roots`, for controllers): any replica
// can go on where another ended. Thread: any; pure.
#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "agent/identity/authority.h"

namespace weir::agent::controller {

inline constexpr const char* kPublishedName = "weir-ca-root";

struct PublishedRoot {
  std::string der, hash;
  int64_t since = 0, superseded = 0;  // Unix seconds; superseded 0: it is the authority's
  bool operator==(const PublishedRoot&) const = default;
};

struct Published {
  uint64_t version = 0;  // 0: nothing yet
  std::vector<PublishedRoot> roots;
  std::string resource_version;  // empty: the ConfigMap does not exist

  std::vector<std::string> bundle() const;  // DER
  const PublishedRoot* find(const std::string& der) const;
};

// Errors: no certificates that can be read. A root that nobody wrote down was always there.
Result<Published> read_published(const nlohmann::json& config_map);
Result<std::string> config_map_of(const Published& published);

// What should be published at `now` when `authority` is who signs: its roots added, those of others marked, those
// marked for longer than `overlap` or expired gone. The version rises with the set of roots, beyond the clock's seconds,
// so that it rises even when the ConfigMap was lost.
Result<Published> advance(const Published& before, const Authority& authority, int64_t now,
                          std::chrono::seconds overlap);

}  // namespace weir::agent::controller
