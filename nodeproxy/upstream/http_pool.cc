// Finding, dialling and retiring pooled connections. See http_pool.h.
#include "nodeproxy/upstream/http_pool.h"

#include <algorithm>

#include "nodeproxy/net/connect.h"
#include "nodeproxy/upstream/byte_streams.h"

namespace weir::upstream {

HttpKeyView view_of(const HttpKey& key) {
  return {key.peer.source_uid,      key.peer.source, key.peer.to, key.peer.identity,
          key.peer.destination_uid, key.way,         key.h2,      key.generation,
          key.trust_version};
}

size_t HttpPool::Hash::operator()(const HttpKeyView& key) const {
  return std::hash<std::string_view>()(key.source_uid) * 31 + std::hash<SocketAddress>()(key.to) * 7 +
         static_cast<size_t>(key.way) * 2 + key.h2;
}

HttpPool::~HttpPool() = default;

// The most recently used first, so that what is not needed grows old; of HTTP/2 the one with the fewest streams.
http::ClientConnection* HttpPool::find(const HttpKeyView& key, bool fresh) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  http::ClientConnection* best = nullptr;
  for (auto at = found->second.rbegin(); at != found->second.rend(); ++at) {
    http::ClientConnection& connection = **at;
    if (!connection.can_begin() || (fresh && connection.exchanges_begun() > 0)) continue;
    if (!key.h2) return &connection;
    if (!best || connection.exchanges() < best->exchanges()) best = &connection;
  }
  return best;
}

http::ClientConnection& HttpPool::add(Want& want, std::unique_ptr<io::ByteStream> bytes) {
  auto connection = http::make_client(driver_, std::move(bytes), *this, want.key.h2);
  connections_.push_front(
      {want.key, std::move(want.service), want.settings, std::move(want.permit), std::move(connection)});
  http::ClientConnection& added = *connections_.front().connection;
  place_[&added] = connections_.begin();
  by_key_[want.key].push_back(&added);
  added.start();
  return added;
}

io::Task<Status> HttpPool::wait_for_room(std::string service, io::TimePoint deadline) {
  Waiter waiter{std::move(service), {}};
  waiters_.push_back(&waiter);
  const Status woken = co_await waiter.room.wait(deadline);
  waiters_.remove(&waiter);
  co_return woken;
}

void HttpPool::wake_one(const std::string& service) {
  for (Waiter* waiter : waiters_) {
    if (waiter->service != service || waiter->room.pending()) continue;
    waiter->room.notify();
    return;
  }
}

HttpLease HttpPool::begin_on(http::ClientConnection& connection) {
  const bool reused = connection.exchanges_begun() > 0;
  return HttpLease(connection, connection.begin(), reused);
}

std::optional<HttpLease> HttpPool::reuse(const HttpKeyView& key, bool fresh,
                                         const config::PoolSettings& settings) {
  if (settings.warm > 0) return std::nullopt;
  http::ClientConnection* there = find(key, fresh);
  if (!there) return std::nullopt;
  return begin_on(*there);
}

io::Task<Result<HttpLease>> HttpPool::lease(Want want) {
  if (http::ClientConnection* there = find(view_of(want.key), want.fresh)) {
    HttpLease lease = begin_on(*there);
    keep_warm(want);
    co_return lease;
  }
  if (draining_) co_return fail(Source::local, Reason::draining);
  auto bytes = co_await dial(want);
  if (!bytes) co_return std::unexpected(bytes.error());
  http::ClientConnection& made = add(want, std::move(*bytes));
  HttpLease lease = begin_on(made);
  keep_warm(want);
  co_return lease;
}

io::Task<Result<std::unique_ptr<io::ByteStream>>> HttpPool::dial(const Want& want) {
  std::unique_ptr<io::ByteStream> bytes;
  const LaneKey& peer = want.key.peer;
  if (want.key.way == Way::lane) {
    auto session = std::make_unique<SessionBytes>();
    const Status opened = lanes_.open(peer, want.certificate, want.netns_fd, want.client, session->session);
    if (!opened) co_return std::unexpected(opened.error());
    bytes = std::move(session);
  } else {
    net::ConnectPlan plan = want.key.way == Way::local
                                ? net::to_local_pod(want.netns_fd, peer.source, peer.to, ports_.application)
                                : net::to_outside(want.netns_fd, peer.source, peer.to);
    plan.deadline = want.deadline;
    auto socket = co_await net::connect(driver_, plan);
    if (!socket) co_return std::unexpected(socket.error());
    socket->set_no_delay();
    bytes = std::make_unique<SocketBytes>(std::move(*socket));
  }
  co_return bytes;
}

size_t HttpPool::ready(const HttpKey& key) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return 0;
  return static_cast<size_t>(std::count_if(found->second.begin(), found->second.end(),
                                           [](const auto* one) { return one->can_begin(); }));
}

void HttpPool::keep_warm(const Want& want) {
  if (want.settings.warm == 0 || draining_ || ready(want.key) >= want.settings.warm) return;
  if (!warming_keys_.insert(want.key).second) return;
  Want more;
  more.key = want.key;
  more.client = want.client;
  more.netns_fd = want.netns_fd;
  more.certificate = want.certificate;
  more.service = want.service;
  more.settings = want.settings;
  warming_.spawn(warm_up(std::move(more)));
}

io::Task<void> HttpPool::warm_up(Want want) {
  while (!draining_ && ready(want.key) < want.settings.warm) {
    auto bytes = co_await dial(want);
    if (!bytes) break;  // the next request that comes finds out why
    add(want, std::move(*bytes));
  }
  warming_keys_.erase(want.key);
}

void HttpPool::on_connection_free(http::ClientConnection& connection) {
  const auto place = place_.find(&connection);
  if (place == place_.end()) return;
  const Entry& entry = *place->second;
  wake_one(entry.service);
  const uint32_t most = entry.settings.requests_per_connection_max;
  if (draining_ || (most > 0 && connection.exchanges_begun() >= most)) {
    if (!connection.retired()) connection.retire();
    return;
  }
  // The one that was used last is used next.
  auto& list = by_key_[entry.key];
  if (!list.empty() && list.back() != &connection) {
    std::erase(list, &connection);
    list.push_back(&connection);
  }
}

void HttpPool::on_connection_ended(http::ClientConnection& connection) {
  const auto place = place_.find(&connection);
  if (place == place_.end()) return;
  const auto found = by_key_.find(place->second->key);
  if (found != by_key_.end()) {
    std::erase(found->second, &connection);
    if (found->second.empty()) by_key_.erase(found);
  }
  if (connection.exchanges() > 0) return;  // its exchanges will see the end; the last one buries it
  const auto entry = place->second;
  const std::string service = std::move(entry->service);
  place_.erase(place);
  connections_.erase(entry);  // destroys it, and gives its permit back
  wake_one(service);
}

void HttpPool::drop_source(const std::string& uid, Reason reason) {
  for (auto at = connections_.begin(); at != connections_.end();) {
    Entry& entry = *at++;
    if (entry.key.peer.source_uid == uid) entry.connection->end(reason);
  }
}

bool HttpPool::has_source(const std::string& uid) const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [&](const Entry& entry) { return entry.key.peer.source_uid == uid; }) ||
         std::any_of(warming_keys_.begin(), warming_keys_.end(),
                     [&](const HttpKey& key) { return key.peer.source_uid == uid; });
}

void HttpPool::sweep(bool short_of_descriptors) {
  const io::TimePoint now = driver_.now();
  for (auto at = connections_.begin(); at != connections_.end();) {
    Entry& entry = *at++;
    http::ClientConnection& connection = *entry.connection;
    if (connection.retired()) continue;
    const bool idle = connection.exchanges() == 0 &&
                      (short_of_descriptors || now - connection.idle_since() > entry.settings.idle);
    const bool old = entry.settings.age.count() > 0 && now - connection.begun() > entry.settings.age;
    if (idle || old || connection.leaving()) connection.retire();
  }
}

void HttpPool::drain() {
  draining_ = true;
  for (auto at = connections_.begin(); at != connections_.end();) {
    Entry& entry = *at++;
    if (!entry.connection->retired()) entry.connection->retire();
  }
}

void HttpPool::close_all(Reason reason) {
  warming_.cancel();
  for (auto at = connections_.begin(); at != connections_.end();) (at++)->connection->end(reason);
}

size_t HttpPool::connections(bool h2) const {
  return static_cast<size_t>(std::count_if(connections_.begin(), connections_.end(),
                                           [&](const Entry& entry) { return entry.key.h2 == h2; }));
}

}  // namespace weir::upstream
