// Reading rules, routes and sysctls with the tools a person would use, and objects through the pins.
#include "tests/bpf/trace.h"

#include <bpf/bpf.h>

#include <catch2/catch.hpp>

#include "agent/redirect/pins.h"
#include "agent/redirect/programs.h"

namespace weir::test {

std::string trace_of(const TestPod& pod) {
  return pod.run(
      "ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; cat "
      "/proc/sys/net/ipv4/tcp_fwmark_accept /proc/sys/net/ipv4/fwmark_reflect "
      "/proc/sys/net/ipv6/fwmark_reflect "
      "/proc/sys/net/ipv4/tcp_migrate_req; ss -Htlna");
}

KernelObjects objects_of(const Rig& rig) {
  agent::redirect::Pins pins(rig.options().bpffs_dir);
  KernelObjects objects;
  for (const auto& entry : std::filesystem::directory_iterator(pins.directory())) {
    if (entry.path().filename().string().starts_with("map_")) {
      auto map = agent::redirect::open_pin(entry.path());
      REQUIRE(map);
      bpf_map_info info{};
      uint32_t length = sizeof(info);
      REQUIRE(::bpf_obj_get_info_by_fd(map->get(), &info, &length) == 0);
      objects.maps.insert(info.id);
    } else {
      auto link = agent::redirect::link_state(entry.path());
      REQUIRE(link);
      objects.programs.insert(link->program_id);
    }
  }
  return objects;
}

bool all_gone(const KernelObjects& objects) {
  for (uint32_t id : objects.programs)
    if (Fd left(::bpf_prog_get_fd_by_id(id)); left) return false;
  for (uint32_t id : objects.maps)
    if (Fd left(::bpf_map_get_fd_by_id(id)); left) return false;
  return true;
}

std::string faults(agent::Redirect& redirect, const TestPod& pod) {
  std::string all;
  for (const agent::CheckResult& one : redirect.check(pod.uid))
    if (!one.ok) all += one.name + " (" + one.detail + ") ";
  return all;
}

std::optional<Fd> accept_any(const std::vector<int>& group) {
  for (int fd : group)
    if (auto accepted = accept_within(fd, 100ms)) return accepted;
  return std::nullopt;
}

}  // namespace weir::test
