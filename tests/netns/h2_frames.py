"""HTTP/2 frames as bytes, for what no library would send (RFC 9113 section 4)."""

import select
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS, PRIORITY_FLAG = 4, 0x20
PROTOCOL_ERROR, STREAM_CLOSED, CANCEL, ENHANCE_YOUR_CALM = 1, 5, 8, 11
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    names = {"initial_window_size": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", names[name], value) for name, value in values.items()))


def number(value):
    return struct.pack(">I", value)


def request_head(method="GET", path="/", fields=()):
    """A header block that leaves the dynamic table alone, so that it may be sent again and again."""
    head = [(":method", method), (":scheme", "http"), (":authority", "web.servers"), (":path", path), *fields]
    return hpack.Encoder().encode([(name, value, True) for name, value in head])


def answer_head(status=200):
    return hpack.Encoder().encode([(":status", str(status), True)])


def literal(name, value):
    """A field that goes into the dynamic table."""
    return b"\x40" + integer(len(name), 7) + name + integer(len(value), 7) + value


def integer(value, bits):
    """HPACK's integers (RFC 7541 section 5.1), the first byte's other bits 0."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = [most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


class Reader:
    """The frames that come on a socket, as far as an attacker cares: it looks without waiting."""

    def __init__(self, connection, skip=0):
        self.socket, self.buffer, self.skip = connection, b"", skip  # skip: the length of a preface

    def frames(self, wait=0):
        """(kind, flags, stream, payload) of each whole frame that has come; raises when the stream ended."""
        while select.select([self.socket], [], [], wait)[0]:
            wait = 0
            data = self.socket.recv(1 << 16)
            self.buffer += data[self.skip:]
            self.skip = max(0, self.skip - len(data))
            while len(self.buffer) >= 9:
                length = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + length:
                    break
                kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
                yield kind, flags, stream, self.buffer[9:9 + length]
                self.buffer = self.buffer[9 + length:]
            if not data:
                raise ConnectionResetError("the stream ended")
