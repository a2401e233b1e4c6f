// What a request costs in memory where nothing is configured for it, or only what needs none: nothing. Every operator new
// of this program is counted.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "nodeproxy/route/filters.h"
#include "tests/unit/route/tables.h"

namespace {
size_t allocations = 0;
}

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size != 0 ? size : 1);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

using namespace weir;
using namespace weir::route;
using namespace weir::route::test;

TEST_CASE("matching, choosing and filters that say nothing allocate nothing") {
  const auto one = table(R"(rules { backends { service: "a" port: 80 weight: 1 } }
    matches { path_exact: "/some/long/path/that/is/no/small/string" method: "PUT" }
    matches { path_prefix: "/some/long/path" headers { name: "version" exact: "two" } query { name: "q" exact: "a b" } }
    matches { path_regex: "/other/[a-z]+" })");
  http::Head head = get("/some/long/path/that/is/no/small/string?q=a+b", {{"version", "two"}});
  CHECK(match(*one, head, http::path_of(head.path)) == &one->matches[1]);  // and RE2 has warmed up
  const size_t before = allocations;
  const bool normal = http::normalise_target(head.path) == http::PathFault::none;
  const config::RouteMatch* found = match(*one, head, http::path_of(head.path));
  const config::RouteRule& rule = one->rules[found->rule];
  const config::Backend* backend = choose(rule, 77);
  filter_request(rule.filters, *found, head);
  filter_request(backend->filters, *found, head);
  filter_response(rule.filters, head);
  const size_t spent = allocations - before;
  CHECK(normal);
  CHECK(spent == 0);
}
