// Serving one enrolled pod on one worker. See local_pod.h.
#include "nodeproxy/flow/local_pod.h"

#include <algorithm>

#include "nodeproxy/flow/inbound.h"
#include "nodeproxy/flow/outbound.h"
#include "nodeproxy/upstream/http_pool.h"

namespace weir::flow {

LocalPod::LocalPod(Context& context, std::shared_ptr<const PodDescriptors> descriptors, uint32_t worker,
                   uint32_t workers, std::function<void(const std::string& uid)> released)
    : context(context),
      descriptors_(std::move(descriptors)),
      worker_(worker),
      released_(std::move(released)) {
  const auto listen = [&](const std::vector<Fd>& members, Way way) {
    for (size_t i = worker; i < members.size(); i += workers) {
      acceptors_.push_back(std::make_unique<net::Acceptor>(
          context.driver, members[i].get(), context.accept_pauses, [this, way](int fd) { accepted(way, fd); },
          [this] { maybe_release(); }));
    }
  };
  // Who comes in plain may be anywhere, and die silently; the pod itself cannot.
  for (size_t i = worker; i < descriptors_->inbound.size(); i += workers)
    context.driver.set_keepalive(descriptors_->inbound[i].get());
  listen(descriptors_->outbound, Way::outbound);
  listen(descriptors_->inbound, Way::inbound);
}

void LocalPod::start() {
  for (const Way way : {Way::outbound, Way::inbound}) spread(way).open(worker_);
  for (const auto& acceptor : acceptors_) acceptor->start();
}

void LocalPod::look() {
  for (const auto& acceptor : acceptors_) acceptor->look();
}

void LocalPod::stop_accepting() {
  for (const Way way : {Way::outbound, Way::inbound}) spread(way).close(worker_);
  for (const auto& acceptor : acceptors_) acceptor->stop();
}

void LocalPod::remove(Reason reason) {
  leaving_ = removed_ = true;
  stop_accepting();
  context.http->drop_source(uid(), reason);
  context.lanes->drop_source(uid(), reason);
  for (Link<Flow>* link = flows; link; link = link->next)
    link->owner->end(Error{Source::agent, reason, 0, {}});
  for (Link<Judged>* link = judged; link; link = link->next) link->owner->pod_gone(reason);
  maybe_release();
}

void LocalPod::drain() {
  stop_accepting();
  for (Link<Flow>* link = flows; link; link = link->next) link->owner->drain();
}

void LocalPod::retire() {
  leaving_ = true;
  drain();
  maybe_release();
}

void LocalPod::judge_again(const config::Snapshot* before, const config::Snapshot& now) {
  const config::Workload* fresh = now.workload(uid());
  // The same object: nothing that binds this pod has changed. `before` is still held, so its address is not reused.
  if (!fresh || (before && before->workload(uid()) == fresh)) return;
  for (Link<Judged>* link = judged; link;) {
    Link<Judged>* next = link->next;
    link->owner->judge_again(*fresh);
    link = next;
  }
}

const config::Workload* LocalPod::workload() const {
  return context.snapshot ? context.snapshot->workload(uid()) : nullptr;
}

const Ip* LocalPod::address_like(const config::Workload& workload, const Ip& like) {
  for (const Ip& address : workload.addresses) {
    if (address.is_v4() == like.is_v4()) return &address;
  }
  return nullptr;
}

void LocalPod::accepted(Way way, int fd) {
  const uint32_t to = placed(way, fd);
  if (to == worker_) {
    take(way, fd);
  } else {
    ++context.counters.connections_handed_over;
    context.hand_over(to, uid(), way, fd);
  }
}

uint32_t LocalPod::placed(Way way, int fd) {
  Spread& among = spread(way);
  if (way == Way::outbound || among.workers() == 1) return among.place(worker_);
  const auto from = context.driver.peer_address(fd);
  return from ? among.place_lane(worker_, from->port) : among.place(worker_);
}

void LocalPod::take(Way way, int fd) {
  Seat seat(spread(way), worker_);
  if (way == Way::outbound) {
    start_outbound(*this, fd, std::move(seat));
  } else {
    start_inbound(*this, fd, std::move(seat));
  }
}

bool LocalPod::quiet() const {
  return std::ranges::all_of(acceptors_, [](const auto& acceptor) { return acceptor->idle(); }) &&
         spread(Way::outbound).count(worker_) == 0 && spread(Way::inbound).count(worker_) == 0;
}

void LocalPod::flow_ended() {
  if (leaving_) maybe_release();
}

// Releasing frees this object, which may be on the stack of an acceptor's or a flow's last call: so by the loop.
void LocalPod::maybe_release() {
  if (!leaving_ || released_already_ || flows || judged) return;
  if (context.http->has_source(uid())) {
    context.http->drop_source(uid(), Reason::pod_removed);
    return;
  }
  if (context.lanes->has_source(uid())) {
    context.lanes->drop_source(uid(), Reason::pod_removed);
    return;
  }
  if (!quiet()) return;
  context.lanes->drop_source(uid(), Reason::pod_removed);  // what its last lane left, to be resumed with
  released_already_ = true;
  released_(uid());
}

}  // namespace weir::flow
