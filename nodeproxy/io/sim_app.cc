// Reading and writing of the scripted applications. See sim_app.h.
#include "nodeproxy/io/sim_app.h"

#include <array>
#include <cerrno>

namespace weir::io {

void SimApp::dial(const SimNetwork::Dial& dial) {
  local_ = dial.from;
  peer_ = dial.to;
  network_.dial(dial, [this](int error, SimEnd end) {
    if (error != 0) {
      error_ = error;
      closed_ = true;
      if (on_change) on_change(*this);
    } else if (closed_) {
      network_.close(end, true);
    } else {
      open(end);
    }
  });
}

void SimApp::open(SimEnd end) {
  end_ = end;
  local_ = network_.local(end);
  peer_ = network_.peer(end);
  network_.observe(end, this);
  on_network();
}

void SimApp::send(std::string_view bytes) {
  unsent_ += bytes;
  on_network();
}

void SimApp::finish() {
  finish_ = true;
  on_network();
}

void SimApp::reset() {
  if (connected() && !closed_) network_.close(end_, true);
  closed_ = true;
}

void SimApp::close() {
  if (connected() && !closed_) network_.close(end_, false);
  closed_ = true;
}

void SimApp::hold(bool on) {
  held_ = on;
  on_network();
}

bool SimApp::saw_reset() const { return error_ == ECONNRESET || error_ == EPIPE; }

// Never on the stack of whoever caused it.
void SimApp::on_network() {
  if (pumping_ || closed_ || !connected()) return;
  pumping_ = true;
  network_.at(network_.moment(), [this] {
    pumping_ = false;
    pump();
  });
}

void SimApp::pump() {
  if (closed_) return;
  bool changed = false;
  while (!closed_ && read_some()) changed = true;
  while (!closed_ && write_some()) changed = true;
  if (!closed_ && finish_ && !finished_ && unsent_bytes() == 0) {
    network_.shutdown_write(end_);
    finished_ = true;
    changed = true;
  }
  if (!closed_ && (error_ != 0 || (finished_ && saw_fin_))) {
    close();
    changed = true;
  }
  if (changed && on_change) on_change(*this);
}

bool SimApp::read_some() {
  if (held_ || saw_fin_ || error_ != 0) return false;
  std::array<std::byte, 4096> bytes;
  const int64_t got = network_.receive(end_, bytes.data(), bytes.size());
  if (got == -EAGAIN) return false;
  if (got < 0) {
    error_ = static_cast<int>(-got);
  } else if (got == 0) {
    saw_fin_ = true;
  } else {
    received_.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(got));
    received_bytes_ += static_cast<uint64_t>(got);
  }
  return true;
}

bool SimApp::write_some() {
  if (unsent_bytes() == 0 || error_ != 0) return false;
  const int64_t sent =
      network_.send(end_, reinterpret_cast<const std::byte*>(unsent_.data()) + sent_, unsent_bytes());
  if (sent == -EAGAIN) return false;
  if (sent < 0) {
    error_ = static_cast<int>(-sent);
    return true;
  }
  sent_ += static_cast<size_t>(sent);
  if (sent_ == unsent_.size()) {
    unsent_.clear();
    sent_ = 0;
  }
  return true;
}

SimAppListener::SimAppListener(SimNetwork& network, const SocketAddress& address, int node)
    : network_(network) {
  listener_.address = address;
  listener_.node = node;
  listener_.observer = this;
  network_.add_listener(listener_);
}

SimAppListener::~SimAppListener() { close(); }

void SimAppListener::close() {
  if (listener_.open) network_.remove_listener(listener_);
}

void SimAppListener::on_network() {
  while (!listener_.queue.empty()) {
    const SimEnd end = listener_.queue.front();
    listener_.queue.pop_front();
    SimApp& app = *accepted_.emplace_back(std::make_unique<SimApp>(network_));
    if (on_accept) on_accept(app);
    app.open(end);
  }
}

}  // namespace weir::io
