#pragma once
// Whose turn it is to send: deficit round robin over the sessions that have bytes and credit, in two lists, after
// fq_codel (RFC 8290). A session that becomes ready goes to the new list and sends up to one small quantum before all
// others, so a request goes out ahead of somebody's bulk; what is left of it waits in the old list, in turn, with large
// quanta. One that ran dry keeps a place in the old list, and while it does, only what it left of its small quantum puts
// it ahead again: one quantum a round is all that can be had by asking often.
// Owner: a Lane. Thread: its worker. Intrusive: no allocation.
#include <cstddef>
#include <cstdint>

#include "nodeproxy/base/limits.h"

namespace weir::mesh {

class Session;

inline constexpr int32_t kFirstQuantumBytes = 4 * 1024;
// Four full frames: they leave their other end in one send, where single ones of many sessions were a send each (measured
// over eight streams: 4 % of CPU, up to 7 %). Twice as many bring no more.
inline constexpr int32_t kQuantumBytes = 4 * limits::frame_payload_max_bytes;

class ReadyQueue {
 public:
  void add(Session* session);     // has something to send; nothing when it is in a list already
  void remove(Session* session);  // is over
  // The session to serve next, with a positive deficit; null: none. It stays in its list.
  Session* next();
  void spent(Session* session,
             size_t bytes);  // what it sent; may be more than its deficit, which later turns pay back
  // The most that its next frame should have: its first quantum while it is new and others wait, else a full one.
  size_t allowance(const Session* session) const;
  void dry(Session* session);  // it has nothing (more) to send, or no credit
  bool empty() const { return !lists_[0].head && !lists_[1].head; }

 private:
  struct List {
    Session* head = nullptr;
    Session* tail = nullptr;
  };
  void push(uint8_t list, Session* session);
  void unlink(Session* session);

  static constexpr uint8_t kNew = 1, kOld = 2;  // Session::ready_list_; 0: in none
  List lists_[2];
};

}  // namespace weir::mesh
