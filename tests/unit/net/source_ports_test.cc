// The ranges of Weir's own source ports, split between workers.
#include "nodeproxy/net/source_ports.h"

#include <catch2/catch.hpp>
#include <set>

namespace weir::net {
namespace {

TEST_CASE("workers share a range without ever handing out the same port") {
  std::set<uint16_t> seen;
  for (uint32_t worker = 0; worker < 3; ++worker) {
    SourcePorts ports(100, 110, worker, 3, 7);
    for (uint32_t i = 0; i < ports.count(); ++i) {
      const uint16_t port = ports.next();
      CHECK(port >= 100);
      CHECK(port <= 110);
      CHECK(seen.insert(port).second);
    }
  }
  CHECK(seen.size() == 11);
}

TEST_CASE("the whole range is used before a port comes again") {
  SourcePorts ports(limits::lane_port_first, limits::lane_port_last, 0, 1, 7);
  const uint16_t first = ports.next();
  for (uint32_t i = 1; i < ports.count(); ++i) CHECK(ports.next() != first);
  CHECK(ports.next() == first);
}

TEST_CASE("a long stretch of ports in use is left in a few jumps") {
  const std::set<uint16_t> in_use = [] {
    SourcePorts other(limits::app_port_first, limits::app_port_last, 0, 1, 1);
    std::set<uint16_t> held;
    for (int i = 0; i < 2000; ++i) held.insert(other.next());
    return held;
  }();
  SourcePorts ports(limits::app_port_first, limits::app_port_last, 0, 1,
                    1);  // and begins where the other did
  int tries = 0;
  while (in_use.contains(ports.next())) {
    ports.jump();
    REQUIRE(++tries < 16);
  }
  CHECK(tries > 0);
}

}  // namespace
}  // namespace weir::net
