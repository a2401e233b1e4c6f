#pragma once
// A head or trailers as they come out of HPACK, field by field, and what nghttp2 1.52 leaves to us of RFC 9113 section
// 8 (it has checked names, values, the set and order of pseudo-headers, connection-specific fields and `te` before):
// limits on the decoded list, one authority, one Cookie, the path's form, fields that must not be trailers.
// Owner: a Connection, one for all its blocks, since only one is read at a time. Thread: its worker.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "nodeproxy/http/message.h"

namespace weir::http::h2 {

class HeadReader {
 public:
  enum class Kind : uint8_t { request, response, trailers };

  HeadReader(size_t bytes_max, uint32_t fields_max) : bytes_max_(bytes_max), fields_max_(fields_max) {}
  void begin(Kind kind);
  void add(std::string_view name, std::string_view value);
  // After the last field. The rule that the head breaks, or null.
  const char* finish();

  Kind kind() const { return kind_; }
  bool too_large() const { return too_large_; }  // fields behind the limit were left out
  // As SETTINGS_MAX_HEADER_LIST_SIZE counts, of what was kept.
  size_t kept_bytes() const { return too_large_ ? bytes_max_ : bytes_; }
  Head& head() { return head_; }  // trailers: in its `headers`

 private:
  void add_pseudo(std::string_view name, std::string_view value);
  bool add_known(std::string_view name, std::string_view value);

  const size_t bytes_max_;
  const uint32_t fields_max_;
  Head head_;
  std::string cookie_;
  size_t bytes_ = 0;
  uint32_t fields_ = 0;
  uint32_t crumbs_ = 0;
  Kind kind_ = Kind::request;
  bool too_large_ = false;
};

}  // namespace weir::http::h2
