// Failures in HTTP's and gRPC's words (http.md "Resilience semantics"; gRPC's statuses.md, "HTTP to gRPC status").
#include "nodeproxy/flow/plan.h"

namespace weir::flow {

io::Buffer tell(http::Head& answer, Reason reason, bool to_head) {
  std::string text;
  if (answer.status >= 400) text = std::string(label(reason)) + "\n";
  answer.content_length = text.size();
  if (!text.empty()) answer.headers.add("content-type", "text/plain");
  if (to_head || text.empty()) return {};
  return io::copy_to_buffer(std::as_bytes(std::span(text.data(), text.size())));
}

uint16_t status_of(Reason reason, Source from) {
  switch (reason) {
    case Reason::bad_request: return 400;
    case Reason::denied:
    case Reason::not_allowed:
    case Reason::plaintext_refused:
    case Reason::policy_changed: return 403;
    case Reason::upgrade_refused:
      return from == Source::upstream ? 501 : 403;  // the server's HTTP/2 takes none
    case Reason::route_not_found: return 404;
    case Reason::header_timeout: return 408;
    case Reason::head_too_large: return from == Source::upstream ? 502 : 431;
    case Reason::route_invalid:
    case Reason::internal: return 500;
    case Reason::bad_response:
    case Reason::server_reset:
    case Reason::stream_reset:
    case Reason::truncated:
    case Reason::flood:
    case Reason::protocol_error: return 502;
    case Reason::request_timeout:
    case Reason::backend_timeout:
    case Reason::idle_timeout: return 504;
    default: return 503;
  }
}

uint16_t grpc_code_of(Reason reason) {
  constexpr uint16_t kUnknown = 2, kDeadlineExceeded = 4, kPermissionDenied = 7, kResourceExhausted = 8,
                     kUnimplemented = 12, kInternal = 13, kUnavailable = 14;
  switch (status_of(reason)) {
    case 400:
    case 408: return kInternal;
    case 403: return kPermissionDenied;
    case 404: return kUnimplemented;
    case 431: return kResourceExhausted;
    case 500: return kUnknown;
    case 504: return kDeadlineExceeded;
    default: return kUnavailable;
  }
}

}  // namespace weir::flow
