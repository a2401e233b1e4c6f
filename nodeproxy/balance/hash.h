#pragma once
// The hashes of consistent balancing. They are part of what proxies agree on without talking: the same in every process,
// version and architecture, so nothing here may change its values lightly.
// Thread: pure.
#include <cstdint>
#include <optional>
#include <string_view>

#include "nodeproxy/base/ip.h"
#include "nodeproxy/config/traffic.h"

namespace weir::balance {

// Every bit of the value reaches every bit of the result, and no two values share one.
inline uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

uint64_t hash_of(const Ip& address);
uint64_t hash_of(std::string_view bytes);

// What Request::hash is for this key: of the client's address, or of the bytes the caller found in the request for
// key.name (a header's, a cookie's or a query parameter's value). None when the request has no such value; it is then
// balanced as any other.
std::optional<uint64_t> hash_of(const config::HashKey& key, const Ip& client,
                                std::optional<std::string_view> value);

}  // namespace weir::balance
