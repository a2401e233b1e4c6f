#pragma once
// A scripted application at the edge of the simulated network: what a test holds in its hand instead of a client or a
// server. It reads whatever comes (unless held) and writes what it was given as room appears.
// Thread: the simulation's. Lifetime: the world's.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nodeproxy/io/sim_network.h"

namespace weir::io {

class SimApp final : private SimObserver {
 public:
  explicit SimApp(SimNetwork& network) : network_(network) {}

  // Queued without bound, also before the connection stands.
  void send(std::string_view bytes);
  void finish();       // FIN after what is queued
  void reset();        // RST now
  void close();        // as close(2): a RST when unread bytes are left, else a FIN
  void hold(bool on);  // does not read: the peer feels it
  // Called after anything changed.
  std::function<void(SimApp&)> on_change;

  const std::string& received() const { return received_; }
  std::string take_received() { return std::exchange(received_, {}); }
  uint64_t received_bytes() const { return received_bytes_; }  // also what was taken
  size_t unsent_bytes() const { return unsent_.size() - sent_; }
  bool connected() const { return end_.connection != 0; }
  int error() const { return error_; }  // 0, or errno of the connect or of a broken connection
  bool saw_fin() const { return saw_fin_; }
  bool saw_reset() const;
  bool closed() const { return closed_; }
  SocketAddress local() const { return local_; }
  SocketAddress peer() const { return peer_; }

 private:
  friend class SimWorld;
  friend class SimAppListener;
  void dial(const SimNetwork::Dial& dial);
  void open(SimEnd end);
  void on_network() override;
  void pump();
  bool read_some();
  bool write_some();

  SimNetwork& network_;
  SimEnd end_;
  SocketAddress local_, peer_;
  std::string received_, unsent_;
  size_t sent_ = 0;
  uint64_t received_bytes_ = 0;
  int error_ = 0;
  bool held_ = false, pumping_ = false, finish_ = false, finished_ = false, saw_fin_ = false, closed_ = false;
};

// A listening application.
class SimAppListener final : private SimObserver {
 public:
  SimAppListener(SimNetwork& network, const SocketAddress& address, int node);
  ~SimAppListener();
  // Called with each new connection, before it reads anything.
  std::function<void(SimApp&)> on_accept;
  const std::vector<std::unique_ptr<SimApp>>& accepted() const { return accepted_; }
  void close();  // from now on connects are refused

 private:
  void on_network() override;
  SimNetwork& network_;
  SimListener listener_;
  std::vector<std::unique_ptr<SimApp>> accepted_;
};

}  // namespace weir::io
