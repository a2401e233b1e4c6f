// See h2_glitches.h. The numbers: 500 rapid resets or 250 malformed requests at once and 25 or 12 a second for ever
// (nghttp2 ≥ 1.57 takes 1,000 and 33, Envoy 500 within its first second of life); half of all streams may be reset as
// long as the other half is served.
#include "nodeproxy/http/h2_glitches.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace weir::http::h2 {
namespace {

constexpr uint32_t kPointsMax = 2000;
constexpr uint32_t kLeakPerSecond = 100;
constexpr uint32_t kServedStream = 4;
constexpr uint32_t kEarnedMax = 1'000'000;
constexpr uint32_t kFull = kPointsMax + 1;

struct Price {
  uint32_t points;
  bool from_earned;
  const char* rule;
};

constexpr std::array<Price, 14> kPrices = {{
    {2, true, "too many PING frames"},
    {1, true, "too many WINDOW_UPDATE frames"},
    {1, true, "too many PRIORITY frames"},
    {2, true, "too many empty DATA frames"},
    {1, true, "too many frames of unknown types"},
    {2, true, "too many informational answers"},
    {20, false, "too many SETTINGS frames"},
    {20, false, "too many GOAWAY frames"},
    {1, false, "too many streams were reset by the peer"},
    {4, false, "too many streams were reset by the peer before an answer"},
    {8, false, "too many streams broke a rule and had to be reset"},
    {4, false, "too many streams were opened above the limit"},
    {kFull, false, "more CONTINUATION frames than any head needs"},
    {kFull, false, "the peer does not read: too many replies to its control frames wait"},
}};
static_assert(kPrices.size() == static_cast<size_t>(Glitch::unread_replies) + 1);

const Price& price_of(Glitch glitch) { return kPrices[static_cast<size_t>(glitch)]; }

}  // namespace

const char* Glitches::rule(Glitch glitch) { return price_of(glitch).rule; }

void Glitches::advance(io::TimePoint now) {
  if (points_ == 0) {
    leaked_at_ = now;
    return;
  }
  constexpr auto kPerPoint = std::chrono::nanoseconds(std::chrono::seconds(1)) / kLeakPerSecond;
  if (now <= leaked_at_) return;
  const auto leaked = (now - leaked_at_) / kPerPoint;
  if (leaked >= points_) {
    points_ = 0;
    leaked_at_ = now;
  } else {
    points_ -= static_cast<uint32_t>(leaked);
    leaked_at_ += leaked * kPerPoint;  // what is less than a point goes on counting
  }
}

bool Glitches::add(Glitch glitch) {
  const Price& price = price_of(glitch);
  uint32_t points = price.points;
  if (price.from_earned) {
    const uint32_t paid = std::min(points, earned_);
    earned_ -= paid;
    points -= paid;
  }
  points_ = std::min(points_ + points, kFull);
  return points_ >= kFull;
}

void Glitches::data_sent(size_t bytes) {
  earned_ = static_cast<uint32_t>(std::min<uint64_t>(uint64_t{earned_} + 2 + bytes / 1024, kEarnedMax));
}

void Glitches::stream_served() { points_ -= std::min(points_, kServedStream); }

}  // namespace weir::http::h2
