// The maps of bpf/maps.h from user space, typed.
//
// A Map is a descriptor; all operations are single system calls and idempotent where that is named. Deleting what is
// not there succeeds. Owner: Redirect (or one uninstall). Thread: any, the kernel serialises.
#pragma once

#include <bpf/bpf.h>

#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "agent/redirect/pins.h"
#include "bpf/abi.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"
#include "nodeproxy/base/ip.h"

namespace weir::agent::redirect {

template <typename Key, typename Value>
class Map {
 public:
  Map() = default;
  Map(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  std::optional<Value> get(const Key& key) const {
    Value value{};
    if (::bpf_map_lookup_elem(fd_.get(), &key, &value) < 0) return std::nullopt;
    return value;
  }
  Status set(const Key& key, const Value& value, uint64_t flags = BPF_ANY) {
    if (int error = ::bpf_map_update_elem(fd_.get(), &key, &value, flags); error < 0)
      return fail(Source::kernel, Reason::io, "cannot write map " + name_, -error);
    return {};
  }
  Status erase(const Key& key) {
    int error = ::bpf_map_delete_elem(fd_.get(), &key);
    // EINVAL is a SOCKMAP's word for an empty slot.
    if (error < 0 && error != -ENOENT && error != -EINVAL)
      return fail(Source::kernel, Reason::io, "cannot delete from map " + name_, -error);
    return {};
  }
  // A snapshot; keys that come or go meanwhile may be missed or be stale.
  std::vector<Key> keys() const {
    std::vector<Key> all;
    Key key{};
    for (int more = ::bpf_map_get_next_key(fd_.get(), nullptr, &key); more == 0;
         more = ::bpf_map_get_next_key(fd_.get(), &all.back(), &key))
      all.push_back(key);
    return all;
  }
  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
  std::string name_;
};

// The form of this map is the same in every schema: proxies and agents are told from applications by whatever programs
// are attached.
using CgroupMap = Map<uint64_t, uint32_t>;

struct Maps {
  Map<uint64_t, weir_pod> pods;
  Map<uint64_t, weir_namespace> namespaces;
  Map<weir_address, uint64_t> addresses;
  Map<uint32_t, uint64_t> listeners;  // written: a descriptor; read: a socket cookie
  CgroupMap cgroups;
  Map<weir_tuple, weir_exemption> exempt;
  Map<weir_listen_key, int64_t> listening;
  Fd counters;

  // Opens the pinned maps.
  static Result<Maps> open(const Pins& pins);
  uint64_t counter(weir_counter which) const;  // summed over CPUs

  // Forgets a namespace: pods, namespaces, addresses, listening, exempt.
  Status erase_namespace(uint64_t netns_cookie);
};

// The map `cgroups` of another schema's pins. Errors: there is none, or its form is another.
Result<CgroupMap> open_cgroups(const Pins& pins);

weir_address to_abi(const Ip& ip);
Ip from_abi(const weir_address& address);

}  // namespace weir::agent::redirect
