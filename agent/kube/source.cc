// Objects from reflectors. See source.h.
#include "agent/kube/source.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/kube/json.h"
#include "nodeproxy/base/log.h"

namespace weir::agent::kube {

Source::Source(Loop& loop, Client& client, Options options)
    : loop_(loop), client_(client), options_(std::move(options)) {
  for (const auto& [resource, index] : options_.kinds) {
    Reflector::Handlers handlers;
    handlers.changed = [this, index](const Json& object) { changed(index, object); };
    handlers.gone = [this, index](const ObjectName& name) { gone(index, name); };
    handlers.listed = [this] { tell_later(); };
    reflectors_.push_back(
        std::make_unique<Reflector>(loop_, client_, resource, std::move(handlers), options_.reflector));
  }
}

Source::~Source() { loop_.cancel(timer_); }

void Source::start(std::function<void()> changed) {
  changed_ = std::move(changed);
  for (const auto& reflector : reflectors_) reflector->start();
}

std::string Source::not_synced() const {
  std::string waiting;
  for (const auto& reflector : reflectors_) {
    const ReflectorStatus status = reflector->status();
    if (status.listed) continue;
    if (status.missing) return status.error;
    waiting += (waiting.empty() ? "" : ", ") + reflector->resource().kind;
    if (!status.error.empty()) waiting += " (" + status.error + ")";
  }
  return waiting.empty() ? "" : "the API server has not yet listed " + waiting;
}

bool Source::connected() const {
  return std::ranges::all_of(reflectors_, [](const auto& reflector) {
    const ReflectorStatus status = reflector->status();
    return status.connected || (status.missing && !reflector->resource().indispensable);
  });
}

std::vector<SourceError> Source::errors() const {
  std::vector<SourceError> out;
  out.reserve(refused_.size());
  for (const auto& [key, error] : refused_) out.push_back(error);
  return out;
}

void Source::changed(size_t kind, const Json& object) {
  const ObjectName name{text_at(object, "metadata", "namespace"), text_at(object, "metadata", "name")};
  const std::string shown = text_at(object, "kind") + " " + name.text();
  Parsed parsed = parse_json(shown, object);
  if (!parsed.error) {
    refused_.erase({kind, name});
    never_accepted_.erase({kind, name});
    for (auto& one : parsed.objects) objects_.add(std::move(one));
    return tell_later();
  }
  refused_[{kind, name}] = *parsed.error;
  // The last good form of an object that was deleted meanwhile is no form of this one.
  const Meta* held = objects_.find(kind, name);
  const bool same = held != nullptr && held->uid == text_at(object, "metadata", "uid");
  if (held != nullptr && !same) objects_.remove(kind, name);
  for (auto& policy : parsed.refused_policies) {
    if (same && !never_accepted_.contains({kind, name})) continue;
    never_accepted_.insert({kind, name});
    objects_.add(std::move(policy));
  }
  tell_later();
}

void Source::gone(size_t kind, const ObjectName& name) {
  objects_.remove(kind, name);
  refused_.erase({kind, name});
  never_accepted_.erase({kind, name});
  tell_later();
}

void Source::tell_later() {
  if (timer_ != 0) return;
  const auto delay = std::min(std::max(options_.coalesce, 3 * took_), options_.coalesce_max);
  timer_ = loop_.after(delay, [this] {
    timer_ = 0;
    const bool synced =
        std::ranges::all_of(reflectors_, [](const auto& reflector) { return reflector->status().listed; });
    if (!synced) return;
    const auto begun = Loop::Clock::now();
    changed_();
    took_ = std::chrono::duration_cast<std::chrono::milliseconds>(Loop::Clock::now() - begun);
  });
}

std::string Source::status_json() const {
  Json out{{"server", client_.options().server},
           {"connected", connected()},
           {"received_bytes", client_.bytes_received()},
           {"kinds", Json::array()}};
  for (const auto& reflector : reflectors_) {
    const ReflectorStatus status = reflector->status();
    out["kinds"].push_back({{"kind", reflector->resource().kind},
                            {"listed", status.listed},
                            {"connected", status.connected},
                            {"installed", !status.missing},
                            {"objects", status.objects},
                            {"lists", status.lists},
                            {"events", status.events},
                            {"error", status.error}});
  }
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Source::tell_metrics(const SetMetric& set) const {
  for (const auto& reflector : reflectors_) {
    const ReflectorStatus status = reflector->status();
    const Labels kind{{"kind", reflector->resource().kind}};
    set("weir_agent_kube_connected", status.connected ? 1 : 0, kind);
    set("weir_agent_kube_installed", status.missing ? 0 : 1, kind);
    set("weir_agent_kube_objects", static_cast<double>(status.objects), kind);
    set("weir_agent_kube_lists_total", static_cast<double>(status.lists), kind);
    set("weir_agent_kube_watches_total", static_cast<double>(status.watches), kind);
    set("weir_agent_kube_events_total", static_cast<double>(status.events), kind);
    set("weir_agent_kube_failures_total", static_cast<double>(status.failures), kind);
    set("weir_agent_kube_empty_lists_total", static_cast<double>(status.empty_lists), kind);
    set("weir_agent_kube_empty_list_doubted", status.holding ? 1 : 0, kind);
  }
  set("weir_agent_kube_received_bytes_total", static_cast<double>(client_.bytes_received()), {});
}

}  // namespace weir::agent::kube
