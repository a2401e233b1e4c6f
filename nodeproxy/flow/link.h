#pragma once
// A place in an intrusive list: entered at the front, left in O(1), left by itself when its owner goes.
// Thread: one worker. Lifetime: a member of the owner; the list's head outlives it.
namespace weir::flow {

template <typename Owner>
struct Link {
  explicit Link(Owner* owner) : owner(owner) {}
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() { leave(); }

  void enter(Link*& list) {
    leave();
    head = &list;
    next = list;
    if (next) next->previous = this;
    list = this;
  }
  void leave() {
    if (!head) return;
    (previous ? previous->next : *head) = next;
    if (next) next->previous = previous;
    head = nullptr;
    previous = next = nullptr;
  }

  Owner* owner;
  Link **head = nullptr, *previous = nullptr, *next = nullptr;
};

}  // namespace weir::flow
