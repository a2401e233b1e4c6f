#pragma once
// What the builder writes with: an editor that copies a shard of a ShardedMap the first time it is touched, a ledger of
// who claims an address, and what hangs on services.
//
// Concept: a snapshot that was handed out is never written; the next one begins as a copy of pointers to its shards.
// Owner: the builder. Thread: config. Lifetime: an editor lives for one update, the rest as long as the builder.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nodeproxy/config/snapshot.h"

namespace weir::config {

// Writes to a map that shares its shards with older snapshots. One editor per map and snapshot; the map is published
// only after the editor is done.
template <typename Key, typename Value>
class ShardEditor {
 public:
  explicit ShardEditor(ShardedMap<Key, Value>& map) : map_(map) {}

  void put(const Key& key, std::shared_ptr<const Value> value) { writable(key)[key] = std::move(value); }
  void erase(const Key& key) {
    if (map_.find(key) != nullptr) writable(key).erase(key);
  }
  std::shared_ptr<const Value> find(const Key& key) const { return map_.find_shared(key); }

 private:
  using Map = ShardedMap<Key, Value>;

  typename Map::Shard& writable(const Key& key) {
    const size_t index = Map::index(key);
    typename Map::Branch& branch = own(map_.branch(index), branches_);
    return own(branch[index % Map::kFan], shards_);
  }

  // What `slot` points to, copied first unless this editor made it.
  template <typename Piece>
  static Piece& own(std::shared_ptr<const Piece>& slot, std::unordered_map<const void*, Piece*>& made) {
    if (const auto found = made.find(slot.get()); slot && found != made.end()) return *found->second;
    auto copy = slot ? std::make_shared<Piece>(*slot) : std::make_shared<Piece>();
    Piece& writable = *copy;
    made.emplace(copy.get(), copy.get());
    slot = std::move(copy);
    return writable;
  }

  Map& map_;
  std::unordered_map<const void*, typename Map::Branch*> branches_;
  std::unordered_map<const void*, typename Map::Shard*> shards_;
};

// Values that name a service (endpoint slices, route tables), by that name: they may come before it and outlive it.
template <typename Value>
class Attachments {
 public:
  using ByName = std::map<std::string, std::shared_ptr<const Value>>;

  // Takes in what changed (null: removed) and adds to `affected` the services that are touched.
  void apply(const std::unordered_map<std::string, std::shared_ptr<const Value>>& changed,
             std::set<std::string>& affected) {
    for (const auto& [name, value] : changed) {
      if (const auto before = service_of_.find(name); before != service_of_.end()) {
        affected.insert(before->second);
        ByName& others = of_service_[before->second];
        others.erase(name);
        if (others.empty()) of_service_.erase(before->second);
        service_of_.erase(before);
      }
      if (!value) continue;
      affected.insert(value->service);
      service_of_[name] = value->service;
      of_service_[value->service][name] = value;
    }
  }
  // Null: none.
  const ByName* of(const std::string& service) const {
    const auto found = of_service_.find(service);
    return found == of_service_.end() ? nullptr : &found->second;
  }
  // Name → service, of all.
  const std::unordered_map<std::string, std::string>& names() const { return service_of_; }

 private:
  std::unordered_map<std::string, ByName> of_service_;
  std::unordered_map<std::string, std::string> service_of_;
};

// Which objects, by name, say that an address is theirs, and which addresses were touched since the last settle().
class AddressLedger {
 public:
  void claim(const Ip& address, const std::string& name) {
    auto& names = claims_[address];
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    touched_.push_back(address);
  }
  void give_up(const Ip& address, const std::string& name) {
    touched_.push_back(address);
    const auto found = claims_.find(address);
    if (found == claims_.end()) return;
    std::erase(found->second, name);
    if (found->second.empty()) claims_.erase(found);
  }
  // Calls visit(address, names) once for each touched address; the names may be none.
  template <typename Visit>
  void settle(Visit&& visit) {
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    static const std::vector<std::string> nobody;
    for (const Ip& address : touched_) {
      const auto found = claims_.find(address);
      visit(address, found == claims_.end() ? nobody : found->second);
    }
    touched_.clear();
  }

 private:
  std::unordered_map<Ip, std::vector<std::string>> claims_;
  std::vector<Ip> touched_;
};

}  // namespace weir::config
