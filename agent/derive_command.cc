// Source → derive → JSON. See derive_command.h.
#include "agent/derive_command.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/derive/derive.h"
#include "agent/enrol/annotations.h"
#include "agent/loop/loop.h"
#include "agent/source.h"
#include "nodeproxy/base/log.h"
#include "nodeproxy/config/mesh.pb.h"

namespace weir::agent {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto kPatience = std::chrono::seconds(60);

Json resource_json(const std::string& bytes) {
  mesh::v1::Resource resource;
  std::string text;
  if (!resource.ParseFromString(bytes)) return nullptr;
  const auto done = google::protobuf::util::MessageToJsonString(resource, &text);
  return done.ok() ? Json::parse(text, nullptr, false) : Json(nullptr);
}

Json derived_json(const Derived& derived, const ObjectSource& source) {
  Json out{{"resources", Json::object()}, {"local_pods", Json::array()}, {"notes", Json::array()}};
  for (const auto& [id, bytes] : derived.resources) out["resources"][id.text()] = resource_json(bytes);
  for (const auto& pod : derived.local_pods) {
    out["local_pods"].push_back({{"uid", pod.uid},
                                 {"name", pod.name.text()},
                                 {"identity", pod.identity},
                                 {"addresses", pod.addresses},
                                 {"guarded", pod.guarded}});
  }
  for (const auto& note : derived.notes) out["notes"].push_back(note.object + ": " + note.text);
  out["errors"] = Json::array();
  for (const auto& error : source.errors()) out["errors"].push_back(error.text());
  out["source"] = Json::parse(source.status_json());
  return out;
}

}  // namespace

int print_derived(const AgentOptions& options, bool follow) {
  Loop loop;
  auto opened = open_source(loop, options);
  std::unique_ptr<Announcements> announced;
  if (opened && options.kubernetes) {
    announced = std::make_unique<PodAnnotations>(*opened->client, *opened->source, options.node);
  } else if (opened) {
    announced = std::make_unique<SharedDirectory>(options.shared_dir / "captured", options.node);
  }
  if (!opened) {
    log::error("{}", opened.error().describe());
    return 1;
  }
  const ObjectSource& source = *opened->source;
  const TrustBundle no_roots;
  bool printed = false;
  opened->source->start([&] {
    announced->read();
    const Derived derived =
        derive({source.objects(), options.node, options.trust_domain, announced->uids(), no_roots});
    fmt::print(
        "{}\n",
        derived_json(derived, source).dump(follow ? -1 : 1, ' ', false, Json::error_handler_t::replace));
    std::fflush(stdout);
    printed = true;
    if (!follow) loop.stop();
  });
  if (!follow) {
    loop.after(kPatience, [&] { loop.stop(); });
  }
  loop.run();
  if (printed) return 0;
  log::error("nothing to derive from after {} s: {}", kPatience.count(), source.not_synced());
  return 1;
}

}  // namespace weir::agent
