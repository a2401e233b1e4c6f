// Requests as a client may send them, to the decoder. However they are cut, the events are the same; and what was taken
// is written and taken again as the same message: nothing is forwarded that would be read differently. The first byte
// says how to cut, and whether a refused upgrade lets HTTP go on.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/unit/http/h1_round_trip.h"

namespace {

using namespace weir::http::h1::test;

std::string in_steps(std::string_view text, size_t step, bool stay) {
  Driver driver(weir::http::h1::Decoder::Role::requests, {}, stay);
  run(driver, text, [step] { return step; });
  driver.fin();
  return driver.run().text();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool stay = data[0] & 1;
  const size_t step = (data[0] >> 1) + 1;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string whole = in_steps(text, size, stay);
  for (const size_t cut : {step, size_t{1}}) {
    if (const std::string got = in_steps(text, cut, stay); got != whole) {
      std::fprintf(stderr, "in steps of %zu\n%sand whole\n%s", cut, got.c_str(), whole.c_str());
      std::abort();
    }
  }
  if (const std::string wrong = round_trip_requests(text); !wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    std::abort();
  }
  return 0;
}
