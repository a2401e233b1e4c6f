// Bytes come out of the queue as they went in, however they are cut, and nothing is held when it is empty.
#include "nodeproxy/io/buffer_queue.h"

#include <catch2/catch.hpp>
#include <string>

namespace weir::io {

TEST_CASE("a queue gives its bytes in order, whatever buffers they came in") {
  BufferQueue queue;
  std::string expected, got;
  for (size_t i = 0; i < 200; ++i) {
    const std::string part(i % 7 + 1, static_cast<char>('a' + i % 26));
    expected += part;
    queue.push(copy_to_buffer(std::as_bytes(std::span(part.data(), part.size()))));
    if (i % 3 != 0) continue;
    std::string taken(std::min<size_t>(5, queue.size()), ' ');
    queue.take(taken.size(), reinterpret_cast<std::byte*>(taken.data()));
    got += taken;
  }
  CHECK(queue.size() == expected.size() - got.size());
  std::string rest(queue.size(), ' ');
  queue.take(rest.size(), reinterpret_cast<std::byte*>(rest.data()));
  CHECK(got + rest == expected);
  CHECK(queue.size() == 0);
}

TEST_CASE("a cleared queue is empty and takes anew") {
  BufferQueue queue;
  for (int i = 0; i < 40; ++i) queue.push(make_buffer(3));
  queue.clear();
  CHECK(queue.size() == 0);
  queue.push(make_buffer(2));
  CHECK(queue.size() == 2);
}

}  // namespace weir::io
