#pragma once
// The guard before llhttp's chunk lines: a size in bare hex, extensions that are bounded and go no further, CRLF and
// nothing else, also behind the data. Byte by byte, so nothing is kept and the cut does not matter.
// Owner: a decoder, for one body. Source: RFC 9112 section 7.1.
#include <cstdint>
#include <string_view>

#include "nodeproxy/http/h1_grammar.h"

namespace weir::http::h1 {

class ChunkScan {
 public:
  enum class Step : uint8_t { need_more, whole, refused };

  void reset() { *this = ChunkScan(); }  // for another body
  // A size line: takes from the front of `text`. `digits` are those that were taken, for llhttp. Whole: size() is known.
  Step size_line(std::string_view& text, std::string_view& digits);
  // The CRLF behind a chunk's data.
  Step data_end(std::string_view& text);

  uint64_t size() const { return size_; }
  const Refusal& refusal() const { return refusal_; }

 private:
  enum class At : uint8_t { size, extension, line_feed };
  Step refuse(const char* rule);
  Step end_line(std::string_view& text);
  Step take_extension(std::string_view& text);

  At at_ = At::size;
  bool cr_ = false;  // the CR of data_end has come
  uint32_t digits_ = 0;
  uint32_t extension_bytes_ = 0;
  uint64_t overhead_bytes_ = 0;  // of lines so far, less what their data excuses
  uint64_t size_ = 0;
  Refusal refusal_;
};

}  // namespace weir::http::h1
