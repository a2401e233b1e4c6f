// An HTTP/2 client with requests under way against any bytes of a server after its SETTINGS: promises to the owner are
// kept, and pieces of any size (the first byte) give the same events as the whole.
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/h2_observer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  using namespace weir::http::h2;
  if (size == 0) return 0;
  std::string wire("\0\0\0\4\0\0\0\0\0", 9);
  wire.append(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto events = [&](size_t step) {
    Observer observer;
    observer.connection = Connection::client(observer);
    for (int i = 0; i < 6;
         ++i) {  // GET, HEAD, CONNECT, and uploads: one finished, one not, one that is reset
      http::Head head;
      head.method = i == 1 ? "HEAD" : i == 2 ? "CONNECT" : i > 2 ? "POST" : "GET";
      head.scheme = "http";
      head.authority = "a.example";
      head.path = "/";
      const auto id = observer.connection->request(head, i < 2);
      if (!id) std::abort();
      observer.streams[*id];
      if (i >= 2) observer.connection->write(*id, io::copy_to_buffer(std::as_bytes(std::span("upload"))));
      if (i == 3) observer.connection->finish(*id);
      if (i == 5) observer.connection->reset(*id, kCancel);
    }
    return observer.run(std::as_bytes(std::span(wire)), step);
  };
  expect_same(events(wire.size()), events(size_t{data[0]} + 1));
  return 0;
}
