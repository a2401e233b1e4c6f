// Lanes against any plaintext: a peer with a valid certificate may send what it likes. The first byte chooses the role and
// how the rest is cut. Besides not crashing: windows bound what is delivered, and every session is told once that it ended.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "nodeproxy/mesh/lane.h"

namespace {

using namespace weir;

struct Holder : mesh::SessionEvents {
  mesh::Session* session = nullptr;
  size_t received = 0;
  int resets = 0;
  bool reader = true;

  void on_data(std::span<const std::byte> bytes) override {
    received += bytes.size();
    if (resets > 0 || session->over()) std::abort();
    if (reader) session->consumed(bytes.size());
    if (!reader && received > limits::session_window_initial_bytes) std::abort();  // beyond the window
  }
  void on_fin() override {
    if (resets > 0) std::abort();
    if (reader) session->fin();
  }
  void on_reset(Reason, bool) override {
    if (++resets > 1) std::abort();
  }
};

struct End : mesh::LaneEvents {
  std::map<uint32_t, std::unique_ptr<Holder>> held;

  void hold(mesh::Session* session) {
    auto holder = std::make_unique<Holder>();
    holder->session = session;
    holder->reader = session->id() % 2 == 1;
    session->set_events(holder.get());
    held[session->id()] = std::move(holder);
  }
  void on_open(mesh::Session& session, const mesh::OpenInfo&) override {
    if (session.id() % 3 != 0) session.accept_open();
    hold(&session);
    session.write(io::make_buffer(100));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const mesh::Role role = data[0] & 1 ? mesh::Role::dialler : mesh::Role::acceptor;
  const size_t step = data[0] & 2 ? (data[0] >> 2) + 1 : size;
  std::span<const std::byte> rest = std::as_bytes(std::span(data + 1, size - 1));
  weir::Budget budget, peer_budget;
  End end;
  {
    mesh::Lane lane(role, end, {.budget = &budget, .peer_budget = &peer_budget});
    Holder unused;
    for (int i = 0; i < 4 && role == mesh::Role::dialler; ++i) {
      if (const auto session = lane.open({}, unused)) end.hold(*session);
    }
    std::vector<std::byte> memory(4096);
    const auto produce = [&] {
      mesh::Plaintext flush;
      flush.begin(memory);
      lane.produce(flush);
      flush.end();
      lane.produced();
    };
    while (!rest.empty()) {
      const size_t n = std::min(step, rest.size());
      if (!lane.consume(rest.first(n))) {
        if (!lane.ended()) std::abort();
        break;
      }
      rest = rest.subspan(n);
      if (lane.wants_output()) produce();
    }
    for (auto& [id, holder] : end.held) {
      if (lane.ended() && !holder->session->over()) std::abort();
      holder->session->release();
    }
    while (lane.wants_output()) produce();
  }
  if (budget.used_bytes + peer_budget.used_bytes != 0) std::abort();
  return 0;
}
