#pragma once
// The HTTP connections of this worker towards endpoints, keyed by who talks to whom: nothing is shared across source
// pods, identities, endpoints, certificate generations or trust bundles (mesh-protocol.md "Identity"). An HTTP/1.1
// connection is a session of a lane, or a socket to a pod of this node or outside the mesh, and carries one exchange at a
// time; an HTTP/2 connection rides the same kinds and carries as many as its peer allows.
// Requests beyond a service's connections wait in a bounded, timed queue (the caller's circuit breaker counts them).
// Thread: one worker. Lifetime: the worker's; empty() before it goes.
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "nodeproxy/base/permit.h"
#include "nodeproxy/config/snapshot.h"
#include "nodeproxy/http/connection.h"
#include "nodeproxy/io/child_scope.h"
#include "nodeproxy/io/signal.h"
#include "nodeproxy/upstream/lane_pool.h"

namespace weir::upstream {

enum class Way : uint8_t { lane, local, plain };

struct HttpKey {
  LaneKey peer;  // source pod and address, endpoint, expected identity
  Way way = Way::plain;
  bool h2 = false;
  uint64_t generation = 0, trust_version = 0;  // of the certificate (lanes)

  bool operator==(const HttpKey&) const = default;
};

// The same over names that others own: what a request asks with, which copies none of them.
struct HttpKeyView {
  std::string_view source_uid;
  Ip source;
  SocketAddress to;
  std::string_view identity, destination_uid;
  Way way = Way::plain;
  bool h2 = false;
  uint64_t generation = 0, trust_version = 0;

  bool operator==(const HttpKeyView&) const = default;
};
HttpKeyView view_of(const HttpKey& key);

// One exchange's hold on a connection. Given back when it goes.
class HttpLease {
 public:
  HttpLease() = default;
  HttpLease(http::ClientConnection& connection, http::MessageStream& stream, bool reused)
      : connection_(&connection), stream_(&stream), reused_(reused) {}
  HttpLease(HttpLease&& other) noexcept
      : connection_(std::exchange(other.connection_, nullptr)),
        stream_(other.stream_),
        reused_(other.reused_) {}
  HttpLease& operator=(HttpLease&& other) noexcept {
    release();
    connection_ = std::exchange(other.connection_, nullptr);
    stream_ = other.stream_;
    reused_ = other.reused_;
    return *this;
  }
  ~HttpLease() { release(); }
  void release() {
    if (connection_) std::exchange(connection_, nullptr)->give_back(*stream_);
  }

  explicit operator bool() const { return connection_ != nullptr; }
  http::MessageStream& stream() const { return *stream_; }
  // The connection had carried an exchange before: its peer may have closed it meanwhile.
  bool reused() const { return reused_; }
  // Nothing of the request can have reached an application: any other endpoint may be tried.
  bool unprocessed() const { return connection_->unprocessed(*stream_); }
  bool unshared() const { return connection_->exchanges() <= 1; }

 private:
  http::ClientConnection* connection_ = nullptr;
  http::MessageStream* stream_ = nullptr;
  bool reused_ = false;
};

class HttpPool final : private http::ClientConnectionEvents {
 public:
  HttpPool(io::Driver& driver, LanePool& lanes, net::PortRanges& ports)
      : driver_(driver), lanes_(lanes), ports_(ports) {}
  ~HttpPool();

  struct Want {
    HttpKey key;
    SocketAddress client;                             // named in OPEN
    int netns_fd = -1;                                // of the source pod
    std::shared_ptr<const tls::Context> certificate;  // lanes
    std::string service = {};                         // whose room is waited for
    config::PoolSettings settings = {};
    Permit permit = {};                   // held as long as the connection that is made
    bool fresh = false;                   // not one that was used before (after a stale one)
    io::TimePoint deadline = io::kNever;  // of making a connection
  };
  // An exchange's place on a connection that is there, or on a new one. Errors: the dial's.
  io::Task<Result<HttpLease>> lease(Want want);
  // The same on a connection that is there; none: it would have to be made, or others are to be kept warm beside it.
  std::optional<HttpLease> reuse(const HttpKeyView& key, bool fresh, const config::PoolSettings& settings);
  // Whether lease() would not have to make a connection.
  bool has_room(const HttpKey& key, bool fresh) const { return find(view_of(key), fresh) != nullptr; }
  // Waits until a connection to the service became free or has ended; first come, first woken.
  io::Task<Status> wait_for_room(std::string service, io::TimePoint deadline);

  void drop_source(const std::string& uid, Reason reason);
  bool has_source(const std::string& uid) const;
  // Retires idle and old connections, and those whose peer is leaving; all that carry nothing if descriptors are short.
  // Call a few times a second.
  void sweep(bool short_of_descriptors = false);
  void drain();  // no connection is kept once its exchanges have ended
  void close_all(Reason reason);
  bool empty() const { return connections_.empty() && warming_.empty(); }
  size_t connections(bool h2) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(const HttpKeyView& key) const;
    size_t operator()(const HttpKey& key) const { return (*this)(view_of(key)); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const HttpKey& one, const HttpKey& other) const { return one == other; }
    bool operator()(const HttpKeyView& one, const HttpKey& other) const { return one == view_of(other); }
    bool operator()(const HttpKey& one, const HttpKeyView& other) const { return view_of(one) == other; }
  };
  http::ClientConnection* find(const HttpKeyView& key, bool fresh) const;
  static HttpLease begin_on(http::ClientConnection& connection);
  io::Task<Result<std::unique_ptr<io::ByteStream>>> dial(const Want& want);
  // PoolSettings::warm: connections that are ready before they are needed, to each endpoint in use.
  void keep_warm(const Want& want);
  io::Task<void> warm_up(Want want);
  size_t ready(const HttpKey& key) const;
  http::ClientConnection& add(Want& want, std::unique_ptr<io::ByteStream> bytes);
  void wake_one(const std::string& service);
  void on_connection_ended(http::ClientConnection& connection) override;
  void on_connection_free(http::ClientConnection& connection) override;

  struct Entry {
    HttpKey key;
    std::string service;
    config::PoolSettings settings;
    Permit permit;
    std::unique_ptr<http::ClientConnection> connection;
  };
  io::Driver& driver_;
  LanePool& lanes_;
  net::PortRanges& ports_;
  std::list<Entry> connections_;
  std::unordered_map<const http::ClientConnection*, std::list<Entry>::iterator> place_;
  std::unordered_map<HttpKey, std::vector<http::ClientConnection*>, Hash, Equal> by_key_;
  struct Waiter {
    std::string service;
    io::Signal room;
  };
  std::list<Waiter*> waiters_;
  io::ChildScope warming_{driver_};
  std::unordered_set<HttpKey, Hash> warming_keys_;
  bool draining_ = false;
};

}  // namespace weir::upstream
