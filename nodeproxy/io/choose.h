#pragma once
// Which driver a worker gets: io_uring where this kernel lets this process have it, else epoll, and why.
// Thread: the worker's, since a ring belongs to the thread that makes it.
#include <memory>
#include <string>

#include "nodeproxy/io/driver.h"

namespace weir::io {

enum class DriverChoice : uint8_t { automatic, io_uring, epoll };

struct ChosenDriver {
  std::unique_ptr<Driver> driver;
  std::string why_not_io_uring;  // empty: it is io_uring, or epoll was asked for
};

// `automatic` fails only where epoll does; the others where they themselves do.
Result<ChosenDriver> choose_driver(DriverChoice choice);

}  // namespace weir::io
