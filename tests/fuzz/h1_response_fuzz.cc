// Responses as an application may send them, to the decoder; the properties are those of h1_request_fuzz. The first byte
// says how to cut, the second what the first four responses answer.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/unit/http/h1_round_trip.h"

namespace {

using namespace weir::http::h1::test;

std::string in_steps(std::string_view text, size_t step, const std::vector<weir::http::Head>& to) {
  Driver driver(weir::http::h1::Decoder::Role::responses, to);
  run(driver, text, [step] { return step; });
  driver.fin();
  return driver.run().text();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t step = size_t{data[0]} + 1;
  const weir::http::Head kinds[] = {asking("GET"), asking("HEAD"), asking("GET", "websocket, a/1"),
                                    asking("CONNECT")};
  std::vector<weir::http::Head> to;
  for (int bit = 0; bit < 8; bit += 2) to.push_back(kinds[data[1] >> bit & 3]);
  const std::string_view text(reinterpret_cast<const char*>(data + 2), size - 2);
  const std::string whole = in_steps(text, size, to);
  for (const size_t cut : {step, size_t{1}}) {
    if (const std::string got = in_steps(text, cut, to); got != whole) {
      std::fprintf(stderr, "in steps of %zu\n%sand whole\n%s", cut, got.c_str(), whole.c_str());
      std::abort();
    }
  }
  if (const std::string wrong = round_trip_responses(text, to); !wrong.empty()) {
    std::fprintf(stderr, "%s\n", wrong.c_str());
    std::abort();
  }
  return 0;
}
