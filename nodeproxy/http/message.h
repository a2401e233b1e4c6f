#pragma once
// An HTTP message as every room sees it, whichever version carried it: a head, its fields in order, and the pieces in
// which it travels. Names keep the case they came with and are compared without it; what framing said (Content-Length,
// Transfer-Encoding, Connection and what it names) is taken out by the decoders and written anew by the encoders, so
// nothing between them can contradict the body (http.md, rule zero).
// Thread: values, one worker. Source: RFC 9110 sections 5 and 6.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nodeproxy/base/http_syntax.h"
#include "nodeproxy/io/buffer.h"

namespace weir::http {

enum class Version : uint8_t { http_1_0, http_1_1, http_2 };

struct Field {
  std::string_view name, value;
};

// Fields in the order they came. One text holds all names and values; views into it are good until the next change.
class Headers {
 public:
  void add(std::string_view name, std::string_view value);
  // The only one of its name afterwards; takes the place of the first.
  void set(std::string_view name, std::string_view value);
  bool remove(std::string_view name);  // all of that name; whether there was one
  // The first of that name.
  std::optional<std::string_view> get(std::string_view name) const;
  size_t count(std::string_view name) const;
  // Whether a comma-separated list field has this token (case-insensitive), over all its lines.
  bool has_token(std::string_view name, std::string_view token) const;
  size_t size() const { return live_; }
  bool empty() const { return live_ == 0; }
  void clear();  // keeps its memory, up to a size
  void fit();    // gives back what a large text has grown beyond its size

  class Iterator {
   public:
    Iterator(const Headers& headers, size_t at) : headers_(headers), at_(at) { skip(); }
    Field operator*() const { return headers_.field(at_); }
    Iterator& operator++() {
      ++at_;
      skip();
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    void skip() {
      while (at_ < headers_.slots_.size() && headers_.slots_[at_].removed) ++at_;
    }
    const Headers& headers_;
    size_t at_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, slots_.size()}; }

 private:
  friend class Iterator;
  struct Slot {
    uint32_t name_at = 0, name_size = 0, value_at = 0, value_size = 0;
    bool removed = false;
  };
  Field field(size_t at) const {
    const Slot& slot = slots_[at];
    return {std::string_view(text_).substr(slot.name_at, slot.name_size),
            std::string_view(text_).substr(slot.value_at, slot.value_size)};
  }
  Slot append(std::string_view name, std::string_view value);

  std::string text_;
  std::vector<Slot> slots_;
  size_t live_ = 0;
};

using http_syntax::same_field;

// A request's or a response's head. Of a request the first block counts, of a response `status`.
struct Head {
  std::string method;     // case kept
  std::string scheme;     // "http" where nobody said
  std::string authority;  // of :authority, absolute-form or Host, as it came; never in `headers` as Host
  std::string path;       // origin-form with its query ("/a?b"), "*" for OPTIONS *, empty for CONNECT
  uint16_t status = 0;

  Version version = Version::http_1_1;
  Headers headers;  // without Host, Connection, framing and hop-by-hop fields
  // Of the body to come; none: not known. Of an answer to HEAD and of a 304: what a GET would have got, and no body comes.
  std::optional<uint64_t> content_length;
  // The protocol that a 1.1 request asks to switch to, or that its 101 agrees on ("websocket"); h2 extended CONNECT's
  // :protocol (RFC 8441), which stands here as the GET with Upgrade that 1.1 would say. Empty: none.
  std::string upgrade;
  bool expect_continue = false;  // Expect: 100-continue (the field stays in `headers`)

  bool informational() const { return status >= 100 && status < 200 && status != 101; }
  bool is_request() const { return status == 0; }
  bool is_extended_connect() const { return version == Version::http_2 && !upgrade.empty(); }
  void clear();
};

// As much of a message as is there: a head, a part of the body, its end; any of them may be missing. A whole small
// message is one piece, so it is written with one send.
struct Piece {
  Head* head = nullptr;  // the stream's own; good until that stream has read its next message
  io::Buffer body;
  std::unique_ptr<Headers> trailers;  // with `end` only
  bool end = false;                   // the message is whole
};

}  // namespace weir::http
