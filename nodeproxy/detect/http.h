#pragma once
// Whether what a client says is HTTP: by what the service's port is declared to speak (base/port_words.h), else by its
// first bytes, which must be a valid method token and a target, or the HTTP/2 preface. Doubt means opaque (http.md "Which
// protocol").
// Pure. Thread: any. Source: RFC 9110 section 9.1, RFC 9112 section 3, RFC 9113 section 3.4.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "nodeproxy/base/port_words.h"

namespace weir::detect {

using ports::declared_h2;
using ports::Hint;
using ports::hint_of;

enum class Speech : uint8_t { need_more, http1, http2, opaque };

// `declared`: the port is HTTP's, so a method token decides; else the whole request line must be one.
Speech speech_of(std::span<const std::byte> first_bytes, bool declared);

}  // namespace weir::detect
