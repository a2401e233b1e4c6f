// The world of sim.h: who exists, whose turn it is, and what was left open.
#include <algorithm>

#include "nodeproxy/base/log.h"
#include "nodeproxy/io/sim_descriptor.h"

namespace weir::io {

using namespace std::chrono_literals;

SimWorld::SimWorld(uint64_t seed, const SimNetwork::Options& options)
    : seed_(seed), network_(seed, options) {}

SimWorld::~SimWorld() = default;

SimDriver& SimWorld::add_driver(int node) {
  const Ip ip = *Ip::parse("10.0.0." + std::to_string(node + 1));
  drivers_.push_back(std::unique_ptr<SimDriver>(new SimDriver(*this, node, ip)));
  return *drivers_.back();
}

int SimWorld::listen(SimDriver& driver, const SocketAddress& address, size_t backlog) {
  const int fd = add_descriptor(driver);
  SimDriver::Descriptor& descriptor = *find(fd);
  descriptor.state = SimDriver::Descriptor::State::listening;
  descriptor.listener.address = address;
  descriptor.listener.node = driver.node();
  descriptor.listener.backlog = backlog;
  descriptor.listener.observer = &descriptor;
  network_.add_listener(descriptor.listener);
  return fd;
}

void SimWorld::capture(const Ip& ip, SimDriver& driver, int fd) {
  if (SimDriver::Descriptor* descriptor = driver.mine(fd, "capture by"))
    network_.capture(ip, descriptor->listener);
}

SimApp& SimWorld::connect_app(const SocketAddress& from, const SocketAddress& to, int through, int node) {
  SocketAddress source = from;
  if (source.port == 0) source.port = next_port();
  SimDriver::Descriptor* listener = through >= 0 ? find(through) : nullptr;
  SimApp& app = *apps_.emplace_back(std::make_unique<SimApp>(network_));
  app.dial({.from = source, .to = to, .node = node, .through = listener ? &listener->listener : nullptr});
  return app;
}

SimAppListener& SimWorld::listen_app(const SocketAddress& address, int node) {
  return *app_listeners_.emplace_back(std::make_unique<SimAppListener>(network_, address, node));
}

bool SimWorld::waits_in_queue(const SimApp& app) const {
  return std::ranges::any_of(descriptors_, [&](const auto& entry) {
    return std::ranges::any_of(entry.second->listener.queue, [&](const SimEnd& end) {
      return app.connected() && end.connection == app.end_.connection;
    });
  });
}

// --- Time ---------------------------------------------------------------------------------------------------------

SimDriver* SimWorld::any_with_work() {
  std::vector<SimDriver*> found;
  for (const auto& driver : drivers_) {
    if (driver->has_work()) found.push_back(driver.get());
  }
  return found.empty() ? nullptr : found[network_.random.below(found.size())];
}

bool SimWorld::step(TimePoint until) {
  if (SimDriver* driver = any_with_work()) {
    driver->poll();
    return true;
  }
  TimePoint next = network_.next_event();
  for (const auto& driver : drivers_) next = std::min(next, driver->timers().next());
  if (next > until) return false;
  if (network_.next_event() <= next) {
    network_.run_next_event();
  } else {
    network_.advance_to(next);
  }
  return true;
}

// Lets the rest of the world run until this driver has something to do.
void SimWorld::wait_for(SimDriver& driver, TimePoint until) {
  until = std::min(until, driver.timers().next());
  while (!driver.has_work() && now() < until) {
    if (!step(until)) {
      if (until != kNever) network_.advance_to(until);
      return;  // nothing will ever happen, or not before `until`
    }
  }
}

void SimWorld::run_until_idle() {
  for (;;) {
    if (SimDriver* driver = any_with_work()) {
      driver->poll();
    } else if (network_.next_event() != kNever) {
      network_.run_next_event();
    } else {
      return;
    }
  }
}

void SimWorld::run_for(Clock::duration duration) {
  const TimePoint end = now() + duration;
  while (step(end)) {
  }
  network_.advance_to(end);
}

bool SimWorld::run_until(const std::function<bool()>& done, Clock::duration limit) {
  const TimePoint end = now() + limit;
  while (!done()) {
    if (!step(end)) return false;
  }
  return true;
}

// --- Book-keeping -------------------------------------------------------------------------------------------------

SimDriver::Descriptor* SimWorld::find(int fd) {
  const auto found = descriptors_.find(fd);
  return found == descriptors_.end() ? nullptr : found->second.get();
}

// Numbers are used again soon, as a kernel does, so that a stale one is met by a stranger.
int SimWorld::add_descriptor(SimDriver& driver) {
  int fd = next_fd_;
  if (free_fds_.empty()) {
    ++next_fd_;
  } else {
    fd = free_fds_.back();
    free_fds_.pop_back();
  }
  auto descriptor = std::make_unique<SimDriver::Descriptor>();
  descriptor->driver = &driver;
  descriptor->birth = ++next_birth_;
  descriptors_.emplace(fd, std::move(descriptor));
  return fd;
}

uint16_t SimWorld::next_port() {
  const uint16_t port = next_port_;
  next_port_ = port == 60'999 ? 32'768 : static_cast<uint16_t>(port + 1);
  return port;
}

void SimWorld::broken(std::string what) {
  log::error("simulator, seed {}: {}", seed_, what);
  broken_.push_back(std::move(what));
}

std::vector<std::string> SimWorld::audit() {
  std::vector<std::string> found = std::exchange(broken_, {});
  for (const auto& [fd, descriptor] : descriptors_)
    found.push_back("descriptor " + std::to_string(fd) + " is open");
  for (const auto& driver : drivers_) {
    const std::string node = " on node " + std::to_string(driver->node());
    if (driver->in_flight() != 0)
      found.push_back(std::to_string(driver->in_flight()) + " operations in flight" + node);
    if (driver->buffers_on_loan() != 0) {
      found.push_back(std::to_string(driver->buffers_on_loan()) + " buffers on loan" + node);
    }
  }
  return found;
}

}  // namespace weir::io
