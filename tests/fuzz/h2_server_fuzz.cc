// An HTTP/2 server against any bytes after the preface: promises to the owner are kept, and pieces of any size (the first
// byte) give the same events as the whole.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/h2_observer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::http::h2;
  if (size == 0) return 0;
  std::string wire = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  wire.append(std::string_view("\0\0\0\4\0\0\0\0\0", 9));
  wire.append(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto events = [&](size_t step) {
    Observer observer;
    observer.connection = Connection::server(observer);
    return observer.run(std::as_bytes(std::span(wire)), step);
  };
  expect_same(events(wire.size()), events(size_t{data[0]} + 1));
  return 0;
}
