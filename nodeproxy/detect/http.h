#pragma once
// Whether what a client says is HTTP: by what the service's port is declared to speak, else by its first bytes, which
// must be a valid method token and a target, or the HTTP/2 preface. Doubt means opaque (http.md "Which protocol").
// Pure. Thread: any. Source: RFC 9110 section 9.1, RFC 9112 section 3, RFC 9113 section 3.4; Service.appProtocol (KEP-3726).
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace weir::detect {

// What a port is declared to carry.
enum class Hint : uint8_t {
  unknown,  // the first bytes decide, within the deadline
  http,     // HTTP/1.1 or HTTP/2: the client speaks first, without a deadline
  opaque,   // no look at all
};

// `app_protocol` wins over the port's name ("http", "http-web", "grpc", "tcp", "mysql-main", …); where neither says
// anything, the well-known ports of protocols whose server speaks first are opaque.
Hint hint_of(std::string_view app_protocol, std::string_view port_name, uint16_t port);
// Whether the port is declared to be HTTP/2 by prior knowledge (appProtocol kubernetes.io/h2c, http2, grpc).
bool declared_h2(std::string_view app_protocol, std::string_view port_name);

enum class Speech : uint8_t { need_more, http1, http2, opaque };

// `declared`: the port is HTTP's, so a method token decides; else the whole request line must be one.
Speech speech_of(std::span<const std::byte> first_bytes, bool declared);

}  // namespace weir::detect
