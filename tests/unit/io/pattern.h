#pragma once
// Streams whose every byte is known from its place, so that one that is lost, doubled or out of order is seen.
// Thread: the test's. Lifetime: one test case.
#include <algorithm>
#include <vector>

#include "nodeproxy/io/socket.h"
#include "nodeproxy/io/task.h"

namespace weir::io {

// Byte i of a stream with this key.
inline std::byte pattern(uint64_t key, uint64_t i) {
  return static_cast<std::byte>(((i + key) * 0x9E3779B97F4A7C15ULL) >> 56);
}

inline Task<void> send_pattern(Socket& socket, uint64_t key, size_t total, Status& status) {
  std::vector<std::byte> chunk(100'000);
  for (size_t sent = 0; sent < total; sent += chunk.size()) {
    chunk.resize(std::min(chunk.size(), total - sent));
    for (size_t i = 0; i < chunk.size(); ++i) chunk[i] = pattern(key, sent + i);
    status = co_await socket.send(chunk);
    if (!status) co_return;
  }
  socket.shutdown_write();
}

// Counts the bytes that are as they should be, until FIN; stops counting at the first wrong one.
inline Task<void> receive_pattern(Socket& socket, uint64_t key, ReceiveSize size, uint64_t& right) {
  for (;;) {
    Result<Buffer> got = co_await socket.receive(size);
    if (!got || got->empty()) co_return;
    for (const std::byte byte : got->bytes()) {
      if (byte != pattern(key, right)) co_return;
      ++right;
    }
  }
}

}  // namespace weir::io
