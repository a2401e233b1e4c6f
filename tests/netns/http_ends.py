"""Both ends of HTTP/1.1 on sockets: what scenarios send, and what they received, byte for byte.

`End` reads and writes messages on one connected socket, as a client (`ask`, `answer`) or as a server (`request`,
`reply`). It keeps names, order and framing as they were on the wire (RFC 9112), refuses what breaks the framing, and
adds nothing: a scenario says every field itself. Used by the applications in the pods and by the scenarios alike.
"""

import json

CRLF = b"\r\n"


class Ended(AssertionError):
    """The stream ended (or was reset) where a message should have gone on."""


class Message:
    """A request or a response: start line, fields in order, body, trailers. `interim` are the 1xx before a response."""

    def __init__(self, start, fields):
        self.start, self.fields = start, fields
        self.body, self.trailers, self.interim, self.chunked = b"", [], [], False

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    def values(self, name):
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name, default=None):
        found = self.values(name)
        return ", ".join(found) if found else default

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.start!r} {self.fields} body {len(self.body)} bytes {self.body[:200]!r} trailers {self.trailers}>"


def lines_of(fields):
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in fields)


def head(start, fields=()):
    """The bytes of a head."""
    return start.encode("latin-1") + CRLF + lines_of(fields) + CRLF


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def pairs(fields):
    return list(fields.items()) if isinstance(fields, dict) else list(fields)


class End:
    """One end of an HTTP/1.1 connection on a connected socket; whoever lent the socket closes it."""

    def __init__(self, connection):
        self.socket, self.buffer, self.over = connection, b"", False

    # --- Reading -------------------------------------------------------------------------------------------------
    def more(self):
        """Reads once; False at the end of the stream."""
        data = b"" if self.over else self.socket.recv(1 << 16)
        self.over = not data
        self.buffer += data
        return bool(data)

    def line(self):
        while CRLF not in self.buffer:
            if not self.more():
                raise Ended(f"the stream ended in a line: {self.buffer[:200]!r}")
        line, self.buffer = self.buffer.split(CRLF, 1)
        return line.decode("latin-1")

    def take(self, count):
        while len(self.buffer) < count:
            if not self.more():
                raise Ended(f"the stream ended {count - len(self.buffer)} bytes before its message: {self.buffer[-80:]!r}")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def fields(self):
        found = []
        while line := self.line():
            name, colon, value = line.partition(":")
            assert colon and name == name.strip(), f"not a field: {line!r}"
            found.append((name, value.strip(" \t")))
        return found

    def head(self):
        """A message without its body, or None where the stream ended in order before one."""
        while not self.buffer:
            if not self.more():
                return None
        start = self.line()
        return Message(start, self.fields())

    def chunks(self, message):
        """The chunks of a body, one at a time; the trailers at the end go into the message."""
        message.chunked = True
        while size := int(self.line().split(";")[0], 16):
            data = self.take(size)
            assert self.take(2) == CRLF, "a chunk is longer than it says"
            yield data
        message.trailers = self.fields()

    def body(self, message, until_end):
        """Reads the body that the fields announce; `until_end`: a body without length ends with the stream."""
        if message.get("Transfer-Encoding"):
            assert message.get("Transfer-Encoding").lower() == "chunked", message
            message.body = b"".join(self.chunks(message))
        elif message.values("Content-Length"):
            message.body = self.take(int(message.get("Content-Length")))
        elif until_end:
            while self.more():
                pass
            message.body, self.buffer = self.buffer, b""
        return message

    def request(self, with_body=True):
        """The next request, or None at the end of the stream."""
        message = self.head()
        return self.body(message, False) if message and with_body else message

    def answer(self, method="GET", with_body=True):
        """The next response to a request of this method, with its 1xx beside it."""
        interim = []
        while True:
            message = self.head()
            if message is None:
                raise Ended("the stream ended instead of a response")
            if not 100 <= message.status < 200 or message.status == 101:
                break
            interim.append(message)
        message.interim = interim
        if with_body and method != "HEAD" and message.status not in (101, 204, 304):
            self.body(message, True)
        return message

    def at_end(self):
        """Whether the other side has ended in order, with nothing more."""
        return not self.buffer and not self.more()

    # --- Writing -------------------------------------------------------------------------------------------------
    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def send_request(self, method="GET", target="/", fields=(), body=b"", host="web.servers"):
        """A request with Host, and Content-Length where there is a body and the fields say nothing of it."""
        every = [("Host", host)] + pairs(fields)
        if body and not {"content-length", "transfer-encoding"} & {name.lower() for name, _ in every}:
            every.append(("Content-Length", len(body)))
        self.send(head(f"{method} {target} HTTP/1.1", every), body)

    def ask(self, method="GET", target="/", fields=(), body=b"", host="web.servers"):
        """Sends a request and reads its response."""
        self.send_request(method, target, fields, body, host)
        return self.answer(method)

    def reply(self, status=200, fields=(), body=b"", reason="Said"):
        every = pairs(fields)
        if not {"content-length", "transfer-encoding"} & {name.lower() for name, _ in every}:
            every.append(("Content-Length", len(body)))
        self.send(head(f"HTTP/1.1 {status} {reason}", every), body)
