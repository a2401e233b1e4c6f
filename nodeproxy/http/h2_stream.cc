// See h2_stream.h.
#include "nodeproxy/http/h2_stream.h"

#include <algorithm>
#include <utility>

namespace weir::http::h2 {
namespace {

constexpr size_t kSpareStreams = 8;  // kept for the next: a stream in turn after stream allocates nothing

auto position(const std::vector<std::unique_ptr<Stream>>& streams, uint32_t id) {
  return std::lower_bound(streams.begin(), streams.end(), id,
                          [](const std::unique_ptr<Stream>& s, uint32_t wanted) { return s->id < wanted; });
}

}  // namespace

Stream* StreamTable::find(uint32_t id) const {
  if (streams_.empty() || streams_.back()->id < id) return nullptr;
  if (streams_.back()->id == id) return streams_.back().get();
  Stream* stream = position(streams_, id)->get();
  return stream->id == id ? stream : nullptr;
}

Stream* StreamTable::add(uint32_t id) {
  std::unique_ptr<Stream> stream;
  if (spare_.empty()) {
    stream = std::make_unique<Stream>();
  } else {
    stream = std::move(spare_.back());
    spare_.pop_back();
  }
  stream->id = id;
  return streams_.emplace_back(std::move(stream)).get();
}

void StreamTable::remove(Stream* stream) {
  const auto at = position(streams_, stream->id);
  const auto index = at - streams_.begin();
  removed_.push_back(std::move(streams_[static_cast<size_t>(index)]));
  streams_.erase(streams_.begin() + index);
}

void StreamTable::sweep() {
  for (std::unique_ptr<Stream>& stream : removed_) {
    if (spare_.size() == kSpareStreams) break;
    *stream = Stream();
    spare_.push_back(std::move(stream));
  }
  removed_.clear();
}

std::vector<uint32_t> StreamTable::ids() const {
  std::vector<uint32_t> ids;
  ids.reserve(streams_.size());
  for (const auto& stream : streams_) ids.push_back(stream->id);
  return ids;
}

}  // namespace weir::http::h2
