// Making and describing errors; the mapping from errno to the closed vocabulary. See error.h.
#include "nodeproxy/base/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace weir {

std::string_view label(Source source) {
  switch (source) {
    case Source::local: return "local";
    case Source::downstream: return "downstream";
    case Source::upstream: return "upstream";
    case Source::peer: return "peer";
    case Source::policy: return "policy";
    case Source::config: return "config";
    case Source::kernel: return "kernel";
    case Source::agent: return "agent";
  }
  return "local";
}

std::string Error::describe() const {
  std::string text = fmt::format("{}: {}", label(source), sentence(reason));
  if (os_code != 0) text += fmt::format(" ({})", std::strerror(os_code));
  if (detail) text += ": " + *detail;
  return text;
}

std::unexpected<Error> fail(Source source, Reason reason, std::string detail, int os_code) {
  return std::unexpected(
      Error{source, reason, os_code, std::make_shared<const std::string>(std::move(detail))});
}

Reason reason_of_errno(int os_code) {
  switch (os_code) {
    case 0: return Reason::none;
    case ECONNREFUSED: return Reason::refused;
    case ETIMEDOUT: return Reason::connect_timeout;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EADDRNOTAVAIL: return Reason::unreachable;
    case EMFILE:
    case ENFILE: return Reason::out_of_descriptors;
    case ENOMEM:
    case ENOBUFS: return Reason::out_of_memory;
    case ECANCELED: return Reason::cancelled;
    default: return Reason::io;
  }
}

std::unexpected<Error> fail_errno(Source source, std::string what, int os_code) {
  return fail(source, reason_of_errno(os_code), std::move(what), os_code);
}

}  // namespace weir
