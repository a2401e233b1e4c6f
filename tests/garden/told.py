"""The server behind those of the seven that cannot say themselves what they understood; `told.py PORT`.

They pass on what they saw in X-Method, X-Target (or X-Line, the whole request line) and X-Host; the body is what they
forwarded. It takes any method, and is strict where the others may differ: framing by digits, bare hex and CRLF alone, and
400 for all else. The answer's X-Opinion is as in opinion.js.
"""

import asyncio
import base64
import hashlib
import json
import re
import sys

from opinion import shortened

FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*\r\n")
SIZE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Bad(Exception):
    """Not a request."""


def head_of(data):
    """(request line, fields by lower-case name, where the head ends), or None while it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    line_end = data.find(b"\r\n")
    fields, at = {}, line_end + 2
    while at < end + 2:
        field = FIELD.match(data, at)
        if not field:
            raise Bad
        fields.setdefault(field[1].lower(), []).append(field[2])
        at = field.end()
    return data[:line_end], fields, end + 4


def chunked_body(data, at):
    """(body, where it ends), or None."""
    body = b""
    while True:
        line = SIZE.match(data, at)
        if not line:
            if len(data) - at > 12 or b"\r\n" in data[at:]:
                raise Bad
            return None
        at, size = line.end(), int(line[1], 16)
        if size == 0:
            break
        if len(data) < at + size + 2:
            return None
        if data[at + size:at + size + 2] != b"\r\n":
            raise Bad
        body, at = body + data[at:at + size], at + size + 2
    while True:  # trailers
        if data.startswith(b"\r\n", at):
            return body, at + 2
        field = FIELD.match(data, at)
        if not field:
            if b"\n" in data[at:]:
                raise Bad
            return None
        at = field.end()


def request_of(data):
    """(opinion, where the request ends), or None while it is not whole."""
    if not (head := head_of(data)):
        return None
    line, fields, at = head
    coding, lengths = fields.get(b"transfer-encoding", []), fields.get(b"content-length", [])
    if coding:
        if [c.lower() for c in coding] != [b"chunked"] or lengths:
            raise Bad
        if not (found := chunked_body(data, at)):
            return None
        body, at = found
    else:
        if len(lengths) > 1 or not all(n.isdigit() for n in lengths):
            raise Bad
        size = int(lengths[0]) if lengths else 0
        if len(data) < at + size:
            return None
        body, at = data[at:at + size], at + size

    def say(name, own):
        return fields.get(name, [own])[0].decode("latin-1")

    whole = fields.get(b"x-line", [line])[0]
    host = fields.get(b"host", [b""])[0]
    target = say(b"x-target", whole[whole.find(b" ") + 1:whole.rfind(b" ")])
    return [say(b"x-method", line.split(b" ")[0]), shortened(target), say(b"x-host", b"" if host == b"told" else host), len(body),
            hashlib.sha1(body).hexdigest() if body else ""], at


class Told(asyncio.Protocol):
    """One connection of a server."""

    def connection_made(self, transport):
        self.transport, self.data, self.continued = transport, b"", False

    def data_received(self, data):
        self.data += data
        try:
            while self.data and (found := request_of(self.data)):
                opinion, end = found
                self.data, self.continued = self.data[end:], False
                said = base64.b64encode(json.dumps(opinion, ensure_ascii=False).encode("latin-1"))
                self.transport.write(b"HTTP/1.1 200 OK\r\nX-Opinion: " + said + b"\r\nContent-Length: 0\r\n\r\n")
            head = None if self.continued else head_of(self.data)
            if head and b"expect" in head[1]:  # Apache passes it on, and waits.
                self.continued = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        except Bad:
            self.transport.write(BAD)
            self.transport.close()


async def main(port):
    server = await asyncio.get_running_loop().create_server(Told, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
