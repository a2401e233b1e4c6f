// Source → derive → JSON. See derive_command.h.
#include "agent/derive_command.h"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <cstdio>
#include <map>
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

// "WORKLOAD" → how many, and what became of time.
Json summary_json(const Derived& derived, std::chrono::duration<double> took) {
  std::map<std::string, size_t> kinds;
  for (const auto& [id, bytes] : derived.resources) ++kinds[id.text().substr(0, id.text().find(' '))];
  return {{"kinds", kinds}, {"derive_seconds", took.count()}};
}

Json derived_json(const Derived& derived, const ObjectSource& source, bool resources) {
  Json out{{"resources", Json::object()}, {"local_pods", Json::array()}, {"notes", Json::array()}};
  for (const auto& [id, bytes] : derived.resources) {
    if (resources) out["resources"][id.text()] = resource_json(bytes);
  }
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

int print_derived(const AgentOptions& options, const DeriveOutput& output) {
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
    if (options.kubernetes || std::filesystem::exists(options.shared_dir / "captured")) announced->read();
    const auto begun = Loop::Clock::now();
    const Derived derived =
        derive({source.objects(), options.node, options.trust_domain, announced->uids(), no_roots});
    const auto took = Loop::Clock::now() - begun;
    Json out = derived_json(derived, source, !output.summary);
    if (output.summary) out["resources"] = summary_json(derived, took);
    fmt::print("{}\n", out.dump(output.follow ? -1 : 1, ' ', false, Json::error_handler_t::replace));
    std::fflush(stdout);
    printed = true;
    if (!output.follow) loop.stop();
  });
  if (!output.follow) {
    loop.after(kPatience, [&] { loop.stop(); });
  }
  loop.run();
  if (printed) return 0;
  log::error("nothing to derive from after {} s: {}", kPatience.count(), source.not_synced());
  return 1;
}

}  // namespace weir::agent
