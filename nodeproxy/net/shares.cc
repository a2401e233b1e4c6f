// Counting what each source address holds. See shares.h.
#include "nodeproxy/net/shares.h"

#include <fmt/format.h>

#include <algorithm>

#include "nodeproxy/base/log.h"

namespace weir::net {
namespace {

constexpr std::array<std::string_view, kShareLimits> kNames{
    "connections at a time", "sessions at a time", "handshakes a second or at a time", "bytes of windows"};

Permit one_more(uint32_t& count) {
  ++count;
  return Permit(count);
}

}  // namespace

Share& Shares::of(const Ip& address) {
  std::unique_ptr<Share>& share = shares_[address];
  if (!share) {
    share = std::make_unique<Share>();
    share->address = address;
    share->windows.limit_bytes = limits_.buffered_bytes;
    share->handshakes_left = limits_.handshakes;
    share->counted = driver_.now();
  }
  return *share;
}

Result<Permit> Shares::connection(const Ip& address) {
  Share& share = of(address);
  if (share.connections >= limits_.connections)
    return std::unexpected(refuse(ShareLimit::connections, address));
  return one_more(share.connections);
}

Result<Permit> Shares::session(Share& share) {
  if (share.sessions >= limits_.sessions) return std::unexpected(refuse(ShareLimit::sessions, share.address));
  return one_more(share.sessions);
}

// A bucket that holds a second's handshakes and fills in one: a burst passes, a flood does not.
Result<Permit> Shares::handshake(Share& share) {
  count_handshakes_left(share);
  if (share.handshakes >= limits_.handshakes || share.handshakes_left < 1)
    return std::unexpected(refuse(ShareLimit::handshakes, share.address));
  share.handshakes_left -= 1;
  return one_more(share.handshakes);
}

void Shares::count_handshakes_left(Share& share) {
  const double most = limits_.handshakes;
  const std::chrono::duration<double> passed = driver_.now() - share.counted;
  share.handshakes_left = std::min(most, share.handshakes_left + passed.count() * most);
  share.counted = driver_.now();
}

Permit Shares::lane(Share& share) { return one_more(share.lanes); }

Status Shares::room(const Share& share, size_t bytes) {
  if (!share.windows.has(bytes)) return std::unexpected(refuse(ShareLimit::buffered_bytes, share.address));
  return {};
}

uint64_t Shares::limit_of(ShareLimit limit) const {
  switch (limit) {
    case ShareLimit::connections: return limits_.connections;
    case ShareLimit::sessions: return limits_.sessions;
    case ShareLimit::handshakes: return limits_.handshakes;
    case ShareLimit::buffered_bytes: break;
  }
  return limits_.buffered_bytes;
}

Error Shares::refuse(ShareLimit limit, const Ip& address) {
  const auto index = static_cast<size_t>(limit);
  ++refused_[index];
  const std::string what = fmt::format("{} {}", limit_of(limit), kNames[index]);
  if (const auto others = said_[index].now(driver_.now())) {
    log::warn("{} has reached its limit on this worker, {}: more is refused ({} such refusals went unsaid)",
              address.to_string(), what, *others);
  }
  return fail(Source::local, Reason::overloaded, "the source's limit: " + what).error();
}

void Shares::sweep() {
  std::erase_if(shares_, [this](const auto& entry) {
    Share& share = *entry.second;
    if (share.connections + share.sessions + share.handshakes + share.lanes > 0) return false;
    if (share.windows.used_bytes > 0) return false;
    count_handshakes_left(share);
    return share.handshakes_left >= limits_.handshakes;
  });
}

}  // namespace weir::net
