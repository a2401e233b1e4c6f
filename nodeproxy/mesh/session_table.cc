// See session_table.h. Deletion shifts the following slots back (no tombstones).
#include "nodeproxy/mesh/session_table.h"

#include <utility>

namespace weir::mesh {

// The slot of the id, or the free one where it would go.
size_t SessionTable::probe(uint32_t id) const {
  const size_t mask = slots_.size() - 1;
  size_t at = id & mask;
  while (slots_[at].session && slots_[at].id != id) at = (at + 1) & mask;
  return at;
}

Session* SessionTable::find(uint32_t id) const {
  return slots_.empty() ? nullptr : slots_[probe(id)].session;
}

Session* SessionTable::any() const {
  for (const Slot& slot : slots_)
    if (slot.session) return slot.session;
  return nullptr;
}

void SessionTable::insert(uint32_t id, Session* session) {
  if ((size_ + 1) * 2 > slots_.size()) grow();
  slots_[probe(id)] = {id, session};
  ++size_;
}

void SessionTable::erase(uint32_t id) {
  if (slots_.empty()) return;
  const size_t mask = slots_.size() - 1;
  size_t hole = probe(id);
  if (!slots_[hole].session) return;
  --size_;
  slots_[hole] = {};
  for (size_t at = (hole + 1) & mask; slots_[at].session; at = (at + 1) & mask) {
    // Moves back unless its own place lies behind the hole, cyclically.
    if (((at - (slots_[at].id & mask)) & mask) < ((at - hole) & mask)) continue;
    slots_[hole] = std::exchange(slots_[at], {});
    hole = at;
  }
}

void SessionTable::grow() {
  std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.empty() ? 8 : slots_.size() * 2));
  for (const Slot& slot : old)
    if (slot.session) slots_[probe(slot.id)] = slot;
}

}  // namespace weir::mesh
