#pragma once
// A head or trailers as the list that nghttp2 compresses: pseudo-headers first, connection-specific fields left out, the
// length written from what the head says. nghttp2 lower-cases names as it copies them. What is not legal in HTTP/2 is
// refused, never sent: nghttp2 checks nothing that goes out.
// Owner: its thread, one for all its connections. Thread: a worker. The list points into the head: good until either
// changes.
#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "nodeproxy/http/message.h"

namespace weir::http::h2 {

class HeadWriter {
 public:
  // Each gives the rule that the head breaks, or null: then fields() is to be submitted.
  const char* request(const Head& head);
  // `to_connect`: it answers a CONNECT, so a 2xx has no length.
  const char* response(const Head& head, bool to_connect);
  const char* trailers(const Headers& trailers);
  const std::vector<nghttp2_nv>& fields() const { return fields_; }
  bool too_large() const { return too_large_; }  // that was the rule

 private:
  void add(std::string_view name, std::string_view value);
  const char* add_all(const Headers& headers, bool extended);
  void add_length(const Head& head);
  void clear();

  std::vector<nghttp2_nv> fields_;
  std::array<char, 24> length_{};
  std::array<char, 4> status_{};
  size_t bytes_ = 0;
  bool too_large_ = false;
};

// The one of this thread: heads are submitted as soon as they are written.
HeadWriter& writer();

// The decoded size of what is sent; nghttp2 is given room for it with HPACK at its worst.
inline constexpr size_t kSentHeadBytesMax = size_t{128} * 1024;

}  // namespace weir::http::h2
