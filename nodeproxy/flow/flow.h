#pragma once
// A live flow: the scope of one connection's (or session's) coroutines, its telemetry record, and its place in the
// registries: its pod's list, so that a removed pod takes its flows along, and, once judged by a destination's policy,
// that pod's list of judged flows, so that it is judged again when policy changes.
// Flows delete themselves when their last coroutine has ended; the outcome is recorded there, exactly once.
// Thread: one worker.
#include <string>

#include "nodeproxy/base/permit.h"
#include "nodeproxy/flow/context.h"
#include "nodeproxy/flow/judged.h"
#include "nodeproxy/flow/spread.h"
#include "nodeproxy/io/scope.h"
#include "nodeproxy/telemetry/record.h"

namespace weir::mesh {
class Carrier;
}

namespace weir::flow {

class LocalPod;
class Flow;
class HttpCorridor;

// What a destination's policy judged, kept to judge it again.
struct Judgement {
  std::string identity;  // of the client, authenticated; empty: none
  Ip client;
  uint16_t port = 0;             // the destination workload's
  bool secured = false;          // mTLS, or local in one pass
  bool requests_needed = false;  // conditions of layer 7 were there already when it turned out to be opaque
  bool parsed = false;           // its requests are judged one by one: here only what layer 4 says counts
};

class Flow : public io::Scope, public Judged {
 public:
  // `seat`: of a connection, among the workers'; sessions have none.
  Flow(Context& context, LocalPod& owner, Seat seat = {});
  ~Flow() override;

  // Counts this connection among what its source may have and what its pod has; else it has no place, and ends.
  void take_place(const Ip& source, int fd);
  // Ends the flow early. The first reason given stands.
  void end(const Error& why);
  // The proxy or the pod is leaving: take nothing new, end when what there is has ended.
  virtual void drain();
  // Adds what has moved so far to the counters, so that long connections show before they end.
  virtual void publish_bytes() { record.publish_bytes(); }
  // The lane that this connection has turned out to be, or null: then its sessions are the flows, and it is none.
  virtual const mesh::Carrier* carries() const { return nullptr; }
  // The trust bundle is another now. Of a lane: judges its peer, and says whether it had to.
  virtual bool judge_peer(const tls::Bundle&) { return false; }
  // `destination` judged this flow: judge it again with every change.
  void register_judged(LocalPod& destination, Judgement judgement);
  void judge_again(const config::Workload& now) override;
  void pod_gone(Reason reason) override { end(Error{Source::agent, reason, 0, {}}); }

  Context& context;
  LocalPod& owner;
  telemetry::Record record;
  std::optional<Error> why;  // set by whoever ends it first
  Permit place;              // among what its source may have
  Judgement judgement;
  HttpCorridor* http = nullptr;  // while it carries HTTP

 protected:
  void on_empty() override;
  // The outcome is known: for records beside the flow's own.
  virtual void on_end(const Error&) {}

 private:
  Link<Flow> owned_{this};
  Seat seat_;
};

}  // namespace weir::flow
