// Multiply and fold, eight bytes at a time, read as little endian whatever the machine is. See hash.h.
#include "nodeproxy/balance/hash.h"

#include <algorithm>
#include <cstddef>

namespace weir::balance {
namespace {

uint64_t read(const uint8_t* bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= uint64_t{bytes[i]} << (8 * i);
  return value;
}

uint64_t hash_of(const uint8_t* bytes, size_t size) {
  uint64_t hash = 0x9e3779b97f4a7c15ULL ^ size;
  for (size_t at = 0; at < size; at += 8) {
    const uint64_t word = read(bytes + at, std::min<size_t>(8, size - at));
    const auto product = static_cast<unsigned __int128>(hash ^ word) * 0xd6e8feb86659fd93ULL;
    hash = static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }
  return mix(hash);
}

}  // namespace

uint64_t hash_of(const Ip& address) { return hash_of(address.bytes().data(), address.bytes().size()); }

uint64_t hash_of(std::string_view bytes) {
  return hash_of(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::optional<uint64_t> hash_of(const config::HashKey& key, const Ip& client,
                                std::optional<std::string_view> value) {
  if (key.of == config::HashKey::Of::source_ip) return hash_of(client);
  if (!value) return std::nullopt;
  return hash_of(*value);
}

}  // namespace weir::balance
