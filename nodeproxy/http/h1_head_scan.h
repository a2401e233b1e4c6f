#pragma once
// The guard before llhttp: finds where a head (or a trailer section) ends and refuses, byte by byte in the order they
// came, what two parsers could read in two ways. llhttp 8.1.0 even when strict takes a bare CR or LF before the first
// line, a bare LF as the empty line, folded lines, controls in a reason phrase and "#" in a target; loose, it ends a
// header line at a bare CR (CVE-2023-30589). What this guard lets through has lines that end in CRLF, a start line of
// three parts of this protocol, and fields that are "token:" and a value without controls.
// The answer depends on the bytes alone, never on how they were cut. Keeps positions only, no bytes.
// Owner: a decoder. Source: RFC 9112 sections 2, 3, 4 and 5.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "nodeproxy/http/h1_grammar.h"

namespace weir::http::h1 {

class HeadScan {
 public:
  enum class Start : uint8_t { request, response, trailers };
  enum class Step : uint8_t { need_more, whole, refused };

  void reset(Start start);
  // `text` begins with the head's first byte and holds all of it that has come; a later call goes on from where the
  // last one stopped.
  Step scan(std::string_view text);

  // The offset of the start line: one empty line before a request is skipped (RFC 9112 section 2.2).
  size_t begin() const { return begin_; }
  size_t end() const { return line_; }  // of a whole one: behind its empty line
  size_t method_size() const { return method_size_; }
  const Refusal& refusal() const { return refusal_; }

 private:
  Step refuse(const char* rule, uint16_t status = 400);
  Step too_long(std::string_view text);
  bool take_line(std::string_view line);  // false: refused, or the last one
  void take_start_line(std::string_view line);
  void take_request_line(std::string_view line);
  void take_status_line(std::string_view line);
  void take_version(std::string_view text);
  void take_field(std::string_view line);

  Start start_ = Start::request;
  bool started_ = false;  // the start line has been taken
  bool ended_ = false;
  uint32_t fields_ = 0;
  size_t begin_ = 0;
  size_t line_ = 0;  // where the line under way begins
  size_t at_ = 0;    // how far it has been looked at
  size_t method_size_ = 0;
  Refusal refusal_;
};

}  // namespace weir::http::h1
