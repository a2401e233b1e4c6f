"""The recorder: a raw server behind the proxy, which keeps every byte that each upstream connection received.

`recorder.py ADDRESS PORT` listens (port 0: any) and prints its port. It answers what looks like a whole request with a
minimal response, so that the proxy goes on; its own reading of the bytes decides nothing else. On a line of stdin, it
prints a JSON list of what came since the last one: {"pieces": [base64, …], "rest": base64} for each connection, where each
piece is one request as far as the recorder can tell (or all that followed, once it cannot tell), and the rest is a request
that the proxy began and did not end.
"""

import asyncio
import base64
import json
import re
import sys

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BAD = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HEAD_END = re.compile(rb"\r?\n\r?\n")
LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*(\d+)[ \t]*\r?$", re.I | re.M)
CODING = re.compile(rb"^transfer-encoding[ \t]*:.*chunked[ \t]*\r?$", re.I | re.M)
SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,16})[^\n]*\n")
EXPECT = re.compile(rb"^expect:[ \t]*100-continue[ \t]*\r?$", re.I | re.M)


def chunked_end(data, at):
    """Where a chunked body ends; None: not yet; -1: it is none."""
    while True:
        line = SIZE.match(data, at)
        if not line:
            return None if b"\n" not in data[at:] else -1
        at, size = line.end(), int(line[1], 16)
        if size == 0:
            break
        at += size + 2
        if size > 1 << 30:
            return -1
        if at > len(data):
            return None
    while True:  # trailers
        end = data.find(b"\n", at)
        if end < 0:
            return None
        empty = data[at:end] in (b"", b"\r")
        at = end + 1
        if empty:
            return at


def request_end(data):
    """(where the first request ends or None or -1, its head)"""
    start = 0
    while data.startswith((b"\r\n", b"\n"), start):
        start += 2 if data[start:start + 1] == b"\r" else 1
    head_end = HEAD_END.search(data, start)
    if not head_end:
        return None, b""
    head = data[:head_end.start() + 1]
    if CODING.search(head):
        return chunked_end(data, head_end.end()), head
    if length := LENGTH.search(head):
        end = head_end.end() + int(length[1])
        return (end if end <= len(data) else None), head
    return head_end.end(), head


class Recorder(asyncio.Protocol):
    """One upstream connection."""

    everyone = []

    def connection_made(self, transport):
        self.transport, self.data, self.pieces, self.open, self.continued = transport, b"", [], True, False
        self.everyone.append(self)

    def data_received(self, data):
        self.data += data
        while self.data and self.open:
            end, head = request_end(self.data)
            if end is None:
                if head and not self.continued and EXPECT.search(head):
                    self.continued = True
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            if end < 0:
                self.pieces.append(self.data)
                self.data = b""
                self.transport.write(BAD)
                self.transport.close()
                return
            self.pieces.append(self.data[:end])
            self.data, self.continued = self.data[end:], False
            self.transport.write(OK)

    def connection_lost(self, _error):
        self.open = False

    @classmethod
    def harvest(cls):
        told = []
        for connection in cls.everyone:
            if connection.pieces or (connection.data and not connection.open):
                rest = b"" if connection.open else connection.data
                told.append({"pieces": [base64.b64encode(p).decode() for p in connection.pieces],
                             "rest": base64.b64encode(rest).decode()})
                connection.pieces = []
        cls.everyone[:] = [c for c in cls.everyone if c.open]
        return told


async def main(address, port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Recorder, address, port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        sys.stdout.write(json.dumps(Recorder.harvest()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
