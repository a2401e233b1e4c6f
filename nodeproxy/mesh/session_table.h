#pragma once
// Sessions by id: open addressing with linear probing, a power of two of slots, at most half full. Ids rise, so their
// low bits are the hash.
// Owner: a Lane. Thread: its worker. The table does not own the sessions.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::mesh {

class Session;

class SessionTable {
 public:
  Session* find(uint32_t id) const;
  void insert(uint32_t id, Session* session);
  void erase(uint32_t id);
  size_t size() const { return size_; }
  Session* any() const;  // null: there is none
  // Every session; the table must not be changed meanwhile.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_)
      if (slot.session) visit(slot.session);
  }

 private:
  struct Slot {
    uint32_t id = 0;
    Session* session = nullptr;
  };
  size_t probe(uint32_t id) const;
  void grow();

  std::vector<Slot> slots_;
  size_t size_ = 0;
};

}  // namespace weir::mesh
