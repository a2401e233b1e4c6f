#pragma once
// Errors are values: where it happened × the closed reason × the operating system's code. Small enough to be passed
// in registers along the path; `detail` is only filled off the path (configuration, start-up), where a person needs
// the name of the object at fault.
// Thread: values, no sharing.
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "nodeproxy/base/reason.h"

namespace weir {

// Which room or side an error comes from.
enum class Source : uint8_t { local, downstream, upstream, peer, policy, config, kernel, agent };

std::string_view label(Source source);

struct Error {
  Source source = Source::local;
  Reason reason = Reason::internal;
  int os_code = 0;  // errno (positive), or 0
  std::shared_ptr<const std::string> detail = {};

  // "<where>: <reason>: <sentence> (errno text) <detail>" for logs and people.
  std::string describe() const;
  bool operator==(const Error& other) const { return source == other.source && reason == other.reason; }
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// An error with a sentence of its own; off the path only.
std::unexpected<Error> fail(Source source, Reason reason, std::string detail, int os_code = 0);
inline std::unexpected<Error> fail(Source source, Reason reason, int os_code = 0) {
  return std::unexpected(Error{source, reason, os_code, {}});
}
// Maps errno of a socket or connect call to its reason (ECONNREFUSED → refused, …; anything else → io).
Reason reason_of_errno(int os_code);
// fail(source, reason_of_errno(errno)) with a sentence: for setup code around system calls.
std::unexpected<Error> fail_errno(Source source, std::string what, int os_code);

}  // namespace weir
