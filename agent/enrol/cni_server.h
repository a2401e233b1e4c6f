#pragma once
// Takes the CNI plugin's questions on a Unix socket and keeps each open until somebody answers it.
//
// Concept: one question a connection (agent/cni/protocol.h). What the answer is, others decide; here are only bytes, the
// deadline that the plugin set (answered a little before it, or the plugin would take us for dead), and peers that go.
// Only root may ask. Owner: Cni. Thread: the loop's.
#include <functional>
#include <map>
#include <string>

#include "agent/cni/protocol.h"
#include "agent/loop/loop.h"
#include "nodeproxy/base/error.h"
#include "nodeproxy/base/fd.h"

namespace weir::agent {

class CniServer {
 public:
  using Id = uint64_t;
  struct Events {
    std::function<void(Id, const cni::Question&)> asked;
    // Its time is over: answer it now. It is open still.
    std::function<void(Id)> due;
    // The plugin went without waiting for the answer.
    std::function<void(Id)> gone;
  };

  CniServer(Loop& loop, std::string path, Events events);
  ~CniServer();
  CniServer(const CniServer&) = delete;
  CniServer& operator=(const CniServer&) = delete;
  Status listen();

  // Once for each question; one that is gone is welcome.
  void answer(Id id, const cni::Answer& answer);

 private:
  struct Peer {
    Fd socket;
    std::string line;
    bool asked = false;
    Loop::TimerId timer = 0;
  };

  void accept_all();
  void readable(Id id);
  void take(Id id, Peer& peer);
  void drop(Id id);

  Loop& loop_;
  const std::string path_;
  const Events events_;
  Fd listener_;
  Id next_ = 1;
  std::map<Id, Peer> peers_;
};

}  // namespace weir::agent
