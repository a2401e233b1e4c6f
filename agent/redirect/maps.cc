// Opening the pinned maps, and the few operations that span several of them.
#include "agent/redirect/maps.h"

#include <bpf/libbpf.h>

#include <cstring>
#include <numeric>
#include <string_view>

namespace weir::agent::redirect {
namespace {

template <typename Key, typename Value>
Status open_map(const Pins& pins, const char* name, Map<Key, Value>& out) {
  auto fd = open_pin(pins.map(name));
  if (!fd) return std::unexpected(fd.error());
  out = Map<Key, Value>(std::move(*fd), name);
  return {};
}

}  // namespace

Result<Maps> Maps::open(const Pins& pins) {
  Maps maps;
  for (Status status : {open_map(pins, "pods", maps.pods), open_map(pins, "namespaces", maps.namespaces),
                        open_map(pins, "addresses", maps.addresses),
                        open_map(pins, "listeners", maps.listeners), open_map(pins, "cgroups", maps.cgroups),
                        open_map(pins, "exempt", maps.exempt), open_map(pins, "listening", maps.listening)})
    if (!status) return std::unexpected(status.error());
  auto counters = open_pin(pins.map("counters"));
  if (!counters) return std::unexpected(counters.error());
  maps.counters = std::move(*counters);
  return maps;
}

Result<CgroupMap> open_cgroups(const Pins& pins) {
  auto fd = open_pin(pins.map("cgroups"));
  if (!fd) return std::unexpected(fd.error());
  bpf_map_info info{};
  uint32_t length = sizeof(info);
  if (const int error = ::bpf_obj_get_info_by_fd(fd->get(), &info, &length); error < 0)
    return fail(Source::kernel, Reason::io, "cannot read " + pins.map("cgroups").string(), -error);
  if (info.key_size != sizeof(uint64_t) || info.value_size != sizeof(uint32_t))
    return fail(Source::agent, Reason::internal, pins.map("cgroups").string() + " has another form");
  return CgroupMap(std::move(*fd), "cgroups");
}

uint64_t Maps::counter(weir_counter which) const {
  static const int cpus = ::libbpf_num_possible_cpus();
  std::vector<uint64_t> values(static_cast<size_t>(std::max(cpus, 1)));
  uint32_t key = which;
  if (::bpf_map_lookup_elem(counters.get(), &key, values.data()) < 0) return 0;
  return std::accumulate(values.begin(), values.end(), uint64_t{0});
}

Status Maps::erase_namespace(uint64_t cookie) {
  // The capture first: from here on the pod's new connections are its own again.
  if (Status status = pods.erase(cookie); !status) return status;
  if (Status status = namespaces.erase(cookie); !status) return status;
  for (const weir_address& address : addresses.keys())
    if (addresses.get(address) == cookie)
      if (Status status = addresses.erase(address); !status) return status;
  for (const weir_listen_key& key : listening.keys())
    if (key.netns_cookie == cookie)
      if (Status status = listening.erase(key); !status) return status;
  for (const weir_tuple& tuple : exempt.keys())
    if (tuple.netns_cookie == cookie)
      if (Status status = exempt.erase(tuple); !status) return status;
  return {};
}

weir_address to_abi(const Ip& ip) {
  weir_address address;
  std::memcpy(&address, ip.bytes().data(), sizeof(address));
  return address;
}

Ip from_abi(const weir_address& address) {
  std::string_view bytes(reinterpret_cast<const char*>(&address), sizeof(address));
  return Ip::from_bytes(bytes).value_or(Ip());
}

}  // namespace weir::agent::redirect
