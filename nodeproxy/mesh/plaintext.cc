// See plaintext.h.
#include "nodeproxy/mesh/plaintext.h"

namespace weir::mesh {

void Plaintext::begin(std::span<std::byte> memory) {
  end();
  memory_ = memory;
}

std::span<std::byte> Plaintext::add(size_t n) {
  const std::span<std::byte> added = memory_.subspan(copied_, n);
  if (n == 0) return added;
  copied_ += n;
  bytes_ += n;
  const bool goes_on = !pieces_.empty() && pieces_.back().data() + pieces_.back().size() == added.data();
  if (goes_on) {
    pieces_.back() = {pieces_.back().data(), pieces_.back().size() + n};
  } else {
    pieces_.push_back(added);
  }
  return added;
}

void Plaintext::refer(Bytes bytes) {
  pieces_.push_back(bytes);
  bytes_ += bytes.size();
}

void Plaintext::end() {
  pieces_.clear();
  kept_.clear();
  copied_ = bytes_ = 0;
}

}  // namespace weir::mesh
