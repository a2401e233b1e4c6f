// What a Redirect holds, shared by the files that implement its methods: redirect.cc (opening, enrolment), adopt.cc,
// check.cc, reconcile.cc, uninstall.cc. Included by nobody else. A Pod holds descriptors that keep the pod's
// namespace alive: the agent must remove() a pod that is gone. Owner and thread: Redirect's.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/redirect/listeners.h"
#include "agent/redirect/maps.h"
#include "agent/redirect/pins.h"
#include "agent/redirect/programs.h"
#include "agent/redirect/redirect.h"
#include "agent/redirect/routes.h"
#include "agent/redirect/saved_state.h"

namespace weir::agent {

namespace redirect {

struct Pod {
  PodRecord record;
  Fd netns;
  ListenerGroups
      listeners;  // empty for a pod that an earlier agent captured, until they are adopted or reopened
};

PodRoutes routes_of(const PodRecord& pod);

// The namespace a record was made of. Fails when it is gone, or nobody knows where it is.
Result<Fd> open_recorded(const PodRecord& pod, const RedirectOptions& options);

// Takes away everything that was done for a pod, capture first. Goes on after a failure and returns the first; the
// record is kept then, so that it can be tried again. `maps` may be null: then only the pod itself is restored.
// `netns_fd`: the pod's namespace where it is open already, else -1.
Status release_pod(const PodRecord& pod, const Pins& pins, Maps* maps, SavedState& state,
                   const RedirectOptions& options, int netns_fd = -1);

}  // namespace redirect

struct Redirect::Impl {
  RedirectOptions options;
  redirect::SavedState state;
  redirect::Pins pins;
  redirect::Programs programs;
  redirect::Maps maps;
  std::vector<redirect::CgroupMap> other_cgroups;  // of other schemas, while their programs are attached
  uint64_t cgroup_root_id = 0;
  Fd node_netns;
  uint64_t node_cookie = 0;
  std::map<std::string, redirect::Pod, std::less<>> pods;

  redirect::Pod* find(std::string_view uid);
  Result<redirect::Pod*> need(std::string_view uid);
  bool armed(const redirect::Pod& pod) const;

  Status adopt_pods();
  Status adopt_cgroups();
  Status set_cgroup(uint64_t id, uint32_t kind);
  Status erase_cgroup(uint64_t id);
  Result<redirect::Pod> new_pod(const PodSpec& spec, Fd netns, uint64_t cookie);
  Status install(redirect::Pod& pod);
  Status set_addresses(const redirect::PodRecord& pod);
  Status set_listeners(redirect::Pod& pod, redirect::ListenerGroups groups);
  bool served(const redirect::PodRecord& record) const {
    return maps.listeners.get(record.outbound_slot()) && maps.listeners.get(record.inbound_slot());
  }
  Status seed(redirect::Pod& pod);
};

}  // namespace weir::agent
