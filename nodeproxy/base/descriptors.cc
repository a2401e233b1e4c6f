// See descriptors.h.
#include "nodeproxy/base/descriptors.h"

#include <sys/eventfd.h>
#include <sys/resource.h>

#include <algorithm>

#include "nodeproxy/base/fd.h"

namespace weir {
namespace {

rlim_t soft_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

}  // namespace

uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit raised{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (limit.rlim_cur < limit.rlim_max && ::setrlimit(RLIMIT_NOFILE, &raised) == 0) return raised.rlim_cur;
  return limit.rlim_cur;
}

int64_t descriptors_beyond(int fd) {
  if (fd < 0) {
    const Fd next(::eventfd(0, EFD_CLOEXEC));
    return next ? descriptors_beyond(next.get()) : -1;
  }
  return static_cast<int64_t>(std::min<rlim_t>(soft_limit(), INT64_MAX)) - fd - 1;
}

}  // namespace weir
