// The sniffer of first bytes: any input, at once and cut into pieces, must give one and the same answer, and a final one
// must stay. The first byte is the size of the pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "nodeproxy/detect/client_hello.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using weir::detect::Sniff;
  if (size == 0) return 0;
  const size_t step = size_t{data[0]} + 1;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  const Sniff whole = weir::detect::sniff(bytes);
  weir::detect::ClientHelloSniffer sniffer;
  Sniff cut = Sniff::need_more;
  for (size_t n = 0; n < bytes.size();) {
    n = std::min(n + step, bytes.size());
    const Sniff now = sniffer.sniff(bytes.first(n));
    if (cut != Sniff::need_more && now != cut) std::abort();
    cut = now;
  }
  if (cut != whole) std::abort();
  return 0;
}
