#pragma once
// The few words of gRPC's protocol over HTTP/2 that a proxy has to know: status, time-out, and its own answers; and
// Retry-After, which any answer may carry.
// Pure. Thread: any. Source: gRPC "HTTP2 protocol mapping" (PROTOCOL-HTTP2.md), RFC 9110 section 10.2.3.
#include <chrono>
#include <optional>
#include <string_view>

#include "nodeproxy/http/message.h"

namespace weir::http {

// grpc-status of trailers, or of a trailers-only head; none where it is missing or no number.
std::optional<uint16_t> grpc_status(const Headers& headers);
// grpc-timeout; none where it is missing or malformed.
std::optional<std::chrono::nanoseconds> grpc_timeout(const Headers& headers);
// What is left of a deadline, as grpc-timeout says it.
void set_grpc_timeout(Headers& headers, std::chrono::nanoseconds left);
// Makes the head a trailers-only answer: HTTP 200, content type, grpc-status, grpc-message.
void grpc_answer(Head& head, uint16_t code, std::string_view message);
// Retry-After in seconds, bounded to a minute; zero where it is missing or a date.
std::chrono::nanoseconds retry_after(const Headers& headers);
// The wall clock, for what clients are told.
uint64_t unix_seconds();

}  // namespace weir::http
