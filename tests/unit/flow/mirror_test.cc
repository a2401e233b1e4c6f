// The pipe between a request and its mirror: bounded, and given up rather than waited for.
#include "nodeproxy/flow/mirror.h"

#include <catch2/catch.hpp>
#include <string>

#include "nodeproxy/base/limits.h"

namespace weir::flow {
namespace {

void add(MirrorPipe& pipe, std::string_view text, bool end = false) {
  pipe.add(std::as_bytes(std::span(text)), end);
}
std::string take(MirrorPipe& pipe) {
  const io::Buffer buffer = pipe.take();
  return {reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size()};
}

TEST_CASE("what the original sent is taken in order, and the end is the end when all is taken") {
  MirrorPipe pipe;
  add(pipe, "one");
  add(pipe, "two", true);
  CHECK(!pipe.ended());
  CHECK(take(pipe) == "one");
  CHECK(!pipe.ended());
  CHECK(take(pipe) == "two");
  CHECK(pipe.ended());
  CHECK(!pipe.given_up());
}

TEST_CASE("a request without a body ends at once") {
  MirrorPipe pipe;
  add(pipe, "", true);
  CHECK(pipe.ended());
  CHECK(take(pipe).empty());
}

TEST_CASE("every change wakes the mirror") {
  MirrorPipe pipe;
  add(pipe, "one");
  CHECK(pipe.changed().pending());
  pipe.changed().clear();
  pipe.close(true);
  CHECK(pipe.changed().pending());
}

TEST_CASE("a mirror that does not keep up is given up, and holds no memory from then on") {
  MirrorPipe pipe;
  const std::string block(16 * 1024, 'x');
  size_t held_bytes = 0;
  while (held_bytes + block.size() <= limits::http_retry_body_max_bytes) {
    add(pipe, block);
    held_bytes += block.size();
  }
  CHECK(!pipe.given_up());
  add(pipe, "x");
  CHECK(pipe.given_up());
  CHECK(take(pipe).empty());
  add(pipe, block);
  CHECK(take(pipe).empty());
}

TEST_CASE("what has been taken makes room for what comes") {
  MirrorPipe pipe;
  const std::string block(48 * 1024, 'x');
  for (int i = 0; i < 100; ++i) {
    add(pipe, block);
    REQUIRE(take(pipe).size() == block.size());
  }
  CHECK(!pipe.given_up());
}

TEST_CASE("an original that ends before its request was whole takes its mirror along") {
  MirrorPipe pipe;
  add(pipe, "half");
  pipe.close(false);
  CHECK(pipe.given_up());
}

TEST_CASE("an original that ends in order leaves its mirror what it still has to send") {
  MirrorPipe pipe;
  add(pipe, "whole", true);
  pipe.close(false);  // the answer was not: the copy of the request is
  CHECK(!pipe.given_up());
  CHECK(take(pipe) == "whole");
  CHECK(pipe.ended());
}

}  // namespace
}  // namespace weir::flow
