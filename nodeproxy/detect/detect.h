#pragma once
// What the first bytes of an inbound connection are: a weir ClientHello, another TLS, or opaque bytes. Reads until that
// is decided or the deadline passes; what was read is handed on, so nothing is lost.
// Thread: one worker. Source: RFC 8446 section 4.1.2 (ClientHello), RFC 7301 (ALPN).
#include "nodeproxy/detect/http.h"
#include "nodeproxy/io/socket.h"

namespace weir::detect {

enum class Protocol : uint8_t {
  weir,         // a mesh peer: terminate
  foreign_tls,  // the application's own TLS: pass through untouched
  opaque,       // anything else
  silent,       // nothing came in time: a server-first protocol, or nobody
};

struct Hello {
  Protocol protocol = Protocol::silent;
  io::Buffer bytes;  // the first bytes, to be put back
  bool fin = false;  // the client ended its direction meanwhile
};

// `silence` is how long to wait for the first byte (kNever: a mesh peer, which speaks first); once bytes have come,
// limits::first_flight_timeout bounds the rest. Errors: the receive's; detect_timeout for a ClientHello begun and not
// ended, truncated for one that a FIN cut off.
io::Task<Result<Hello>> first_bytes(io::Driver& driver, io::Socket& socket, io::TimePoint silence);

// What an application's client says first: HTTP or opaque. `hint` unknown: waits limits::detect_timeout at most (then
// opaque, with no bytes); http: as long as it takes. The bytes are to be put back.
struct Heard {
  Speech speech = Speech::opaque;
  io::Buffer bytes;
  bool fin = false;
};
io::Task<Result<Heard>> application_speech(io::Driver& driver, io::Socket& client, Hint hint);
// The same where the first bytes have been read already.
io::Task<Result<Heard>> continue_speech(io::Driver& driver, io::Socket& client, io::Buffer first,
                                        bool declared);

}  // namespace weir::detect
