// See h2_head_reader.h.
#include "nodeproxy/http/h2_head_reader.h"

#include <algorithm>
#include <charconv>

#include "nodeproxy/http/h2_rules.h"

namespace weir::http::h2 {
namespace {

constexpr size_t kFieldOverheadBytes = 32;  // RFC 9113 section 6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE

}  // namespace

void HeadReader::begin(Kind kind) {
  kind_ = kind;
  head_.clear();
  head_.version = Version::http_2;
  cookie_.clear();
  bytes_ = 0;
  fields_ = crumbs_ = 0;
  too_large_ = false;
}

void HeadReader::add(std::string_view name, std::string_view value) {
  bytes_ += name.size() + value.size() + kFieldOverheadBytes;
  const bool pseudo = name.front() == ':';
  if (!pseudo) ++fields_;
  if (bytes_ > bytes_max_ || fields_ > fields_max_) too_large_ = true;
  if (too_large_) return;
  if (pseudo) {
    add_pseudo(name, value);
  } else if (!add_known(name, value)) {
    head_.headers.add(name, value);
  }
}

void HeadReader::add_pseudo(std::string_view name, std::string_view value) {
  if (name == ":path") {
    head_.path = value;
  } else if (name == ":method") {
    head_.method = value;
  } else if (name == ":scheme") {
    head_.scheme = value;
  } else if (name == ":authority") {
    head_.authority = value;
  } else if (name == ":protocol") {
    head_.upgrade = value;
  } else if (name == ":status") {
    std::from_chars(value.data(), value.data() + value.size(), head_.status);
  }
}

// Fields that do not go into `headers` as they are. The lengths keep all others at one comparison.
bool HeadReader::add_known(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 4:
      if (name != "host") return false;
      // :authority, which came before, wins; and neither is a trailer.
      if (kind_ == Kind::request && head_.authority.empty()) head_.authority = value;
      return kind_ != Kind::response;
    case 6:
      if (name == "expect" && kind_ == Kind::request) {
        head_.expect_continue = same_field(value, "100-continue");
        return false;
      }
      if (name != "cookie" || kind_ != Kind::request) return false;
      ++crumbs_;
      if (!cookie_.empty() && !value.empty())
        cookie_ += "; ";  // an empty crumb must not leave a space at the edge
      cookie_ += value;
      return crumbs_ > 1;  // the first holds the place
    case 14: {
      if (name == "http2-settings") return true;
      if (name != "content-length") return false;
      uint64_t length = 0;
      std::from_chars(value.data(), value.data() + value.size(), length);
      if (kind_ != Kind::trailers) head_.content_length = length;
      return true;
    }
    // RFC 8441 section 5: of no meaning here, and 1.1 will have one of its own.
    case 17: return name == "sec-websocket-key" && kind_ == Kind::request && !head_.upgrade.empty();
    default: return false;
  }
}

const char* HeadReader::finish() {
  if (crumbs_ > 1) head_.headers.set("cookie", cookie_);
  head_.headers.fit();
  if (kind_ == Kind::response) return head_.status < 100 ? "the status is not from 100 to 999" : nullptr;
  if (kind_ == Kind::trailers) return nullptr;
  const bool connect = head_.method == "CONNECT", tunnel = connect && head_.upgrade.empty();
  if (tunnel) head_.scheme = "http";
  if (connect) head_.content_length.reset();
  // Routes and policies see one thing, whichever version asks for it.
  if (connect && !tunnel) head_.method = "GET";
  // What was cut off may be what is missing: such a head is never forwarded.
  if (too_large_) return nullptr;
  return broken_target_rule(head_, tunnel);
}

}  // namespace weir::http::h2
