// Differences, acknowledgements and quarantine. See sync.h.
#include "agent/serve/sync.h"

#include <algorithm>
#include <utility>

#include "nodeproxy/config/mesh.pb.h"

namespace weir::agent {

namespace pb = weir::mesh::v1;

namespace {

// What stands in for one that a proxy never accepted, where leaving it out would let through what it was to govern: a
// policy whose Allow matches nothing and whose Deny everything, a table of routes that answers every request with 500.
std::optional<std::string> invalid_form(const std::string& refused, const std::string& error) {
  pb::Resource wanted, out;
  if (!wanted.ParseFromString(refused)) return std::nullopt;
  if (wanted.has_policy()) {
    out.mutable_policy()->Swap(wanted.mutable_policy());
    out.mutable_policy()->set_invalid(true);
    out.mutable_policy()->clear_rules();
    return serialize(out);
  }
  if (!wanted.has_routes()) return std::nullopt;
  const pb::RouteTable& from = wanted.routes();
  pb::RouteTable& table = *out.mutable_routes();
  table.set_name(from.name());
  table.set_service(from.service());
  table.set_consumer_namespace(from.consumer_namespace());
  *table.mutable_ports() = from.ports();
  pb::RouteRule& rule = *table.add_rules();
  rule.set_name(from.name() + "/refused");
  rule.set_grpc(std::ranges::any_of(from.rules(), [](const pb::RouteRule& one) { return one.grpc(); }));
  rule.set_invalid("the proxy refused these routes: " + error);
  table.add_matches();
  return serialize(out);
}

bool has_invalid_form(const ResourceId& id) { return id.kind == pb::POLICY || id.kind == pb::ROUTES; }

}  // namespace

Sync::Sync(std::shared_ptr<const Resources> last_good, uint64_t version_floor)
    : last_good_(last_good ? std::move(last_good) : std::make_shared<const Resources>()),
      version_(version_floor) {}

void Sync::want(std::shared_ptr<const Resources> wanted) {
  wanted_ = std::move(wanted);
  stuck_ = false;
  for (const auto& [id, entry] : quarantine_) {
    const auto now = wanted_->find(id);
    if (now != wanted_->end() && now->second == entry.refused) continue;
    // It changed or went: others may have been refused only because of it, so all get another chance.
    quarantine_.clear();
    return;
  }
}

std::optional<std::string> Sync::stand_in(const ResourceId& id, const Quarantined& entry) const {
  const Resources& good = *last_good();
  switch (entry.stand_in) {
    case StandIn::last_good: {
      const auto found = good.find(id);
      return found == good.end() ? std::nullopt : std::optional(found->second);
    }
    case StandIn::invalid: return invalid_form(entry.refused, entry.error);
    case StandIn::left_out: break;
  }
  return std::nullopt;
}

std::shared_ptr<const Resources> Sync::effective() const {
  if (quarantine_.empty()) return wanted_;
  auto out = std::make_shared<Resources>(*wanted_);
  for (const auto& [id, entry] : quarantine_) {
    if (auto other = stand_in(id, entry)) {
      (*out)[id] = std::move(*other);
    } else {
      out->erase(id);
    }
  }
  return out;
}

std::optional<std::string> Sync::next() {
  if (!wanted_ || in_flight_ || stuck_) return std::nullopt;
  auto target = effective();
  static const Resources kNothing;
  const Delta delta = difference(has_ ? *has_ : kNothing, *target);
  if (has_ && delta.empty()) {
    has_ = std::move(target);
    return std::nullopt;
  }
  pb::FromAgent message;
  pb::Update& update = *message.mutable_update();
  update.set_version(++version_);
  update.set_full_state(!has_);
  for (const auto& id : delta.changed) update.add_changed()->ParseFromString(target->at(id));
  for (const auto& id : delta.removed) {
    pb::ResourceKey& key = *update.add_removed();
    key.set_kind(static_cast<pb::ResourceKind>(id.kind));
    key.set_name(id.name);
  }
  in_flight_ = std::move(target);
  return message.SerializeAsString();
}

// False when there is no other form to try.
bool Sync::put_in_quarantine(const ResourceId& id, const std::string& error) {
  const auto wanted = wanted_->find(id);
  if (wanted == wanted_->end()) return false;
  const auto [entry, is_new] =
      quarantine_.try_emplace(id, Quarantined{wanted->second, StandIn::last_good, error});
  const StandIn without_last_good = has_invalid_form(id) ? StandIn::invalid : StandIn::left_out;
  if (is_new) {
    // The last good form only helps when there is one and it is another.
    const auto good = last_good()->find(id);
    if (good != last_good()->end() && good->second != wanted->second) return true;
    entry->second.stand_in = without_last_good;
    return true;
  }
  entry->second.error = error;
  switch (entry->second.stand_in) {
    case StandIn::last_good: entry->second.stand_in = without_last_good; return true;
    case StandIn::invalid: entry->second.stand_in = StandIn::left_out; return true;
    case StandIn::left_out: break;
  }
  return false;
}

Sync::Outcome Sync::acked(const pb::Ack& ack) {
  Outcome outcome;
  if (!in_flight_ || ack.version() != version_) return outcome;  // of an update that no longer matters
  auto sent = std::exchange(in_flight_, nullptr);
  if (!ack.refused()) {
    outcome.applied = true;
    outcome.first = has_ == nullptr;
    has_ = std::move(sent);
    applied_version_ = version_;
    return outcome;
  }
  outcome.error = ack.error();
  const ResourceId id{static_cast<int>(ack.object().kind()), ack.object().name()};
  if (put_in_quarantine(id, ack.error())) {
    outcome.quarantined = id;
  } else {
    stuck_ = true;
  }
  return outcome;
}

}  // namespace weir::agent
