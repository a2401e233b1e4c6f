// See h2_stream.h.
#include "nodeproxy/http/h2_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weir::http::h2 {
namespace {

constexpr size_t kRestGap = 64;
constexpr size_t kSpareStreams = 8;  // kept for the next: a stream in turn after stream allocates nothing

auto position(const std::vector<std::unique_ptr<Stream>>& streams, uint32_t id) {
  return std::lower_bound(streams.begin(), streams.end(), id,
                          [](const std::unique_ptr<Stream>& s, uint32_t wanted) { return s->id < wanted; });
}

}  // namespace

void BodyQueue::push(io::Buffer buffer) {
  bytes_ += buffer.size();
  if (first_.empty()) {
    first_ = std::move(buffer);
  } else {
    rest_.push_back(std::move(buffer));
  }
}

void BodyQueue::take(size_t bytes, std::byte* into) {
  bytes_ -= bytes;
  while (bytes > 0) {
    const size_t n = std::min(bytes, first_.size());
    std::memcpy(into, first_.bytes().data(), n);
    first_.consume(n);
    into += n;
    bytes -= n;
    if (!first_.empty()) return;
    first_ = rest_begin_ < rest_.size() ? std::move(rest_[rest_begin_++]) : io::Buffer();
    if (rest_begin_ == rest_.size() || rest_begin_ == kRestGap) {  // what was taken must not pile up
      rest_.erase(rest_.begin(), rest_.begin() + static_cast<ptrdiff_t>(rest_begin_));
      rest_begin_ = 0;
    }
  }
}

void BodyQueue::clear() {
  first_ = {};
  rest_.clear();
  rest_begin_ = bytes_ = 0;
}

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
