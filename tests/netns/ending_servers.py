"""Servers that end as the client's first words order: raw streams, HTTP/1.1 and HTTP/2. The clients are endings.py.

One thread for each connection. Run as `ending_servers.py KIND PORT …` in a pod.
"""

import contextlib
import sys
import threading
import time

import hpack

import apps
import h2_frames as h2
from h2_frames import END_HEADERS, END_STREAM, frame
from http_ends import End, chunk, head
from world import read_exactly, reset

BLOCK = bytes(30_000)
GONE = (OSError, AssertionError)  # whatever a peer does that goes away
ANSWER = h2.answer_head()
AN_HOUR = 3600


def wait_for_its_end(connection):
    with contextlib.suppress(OSError):
        while connection.recv(1 << 16):
            pass


class Raw(apps.Handler):
    """The first byte is the order."""

    def handle(self):
        with contextlib.suppress(*GONE):
            self.obey(self.request, self.request.recv(1))

    @staticmethod
    def obey(connection, order):
        if order == b"e":    # echo, to the end
            while data := connection.recv(65536):
                connection.sendall(data)
        elif order == b"r":  # RST instead of an answer
            reset(connection)
        elif order == b"u":  # close with bytes unread, which is an RST too
            connection.close()
        elif order == b"h":  # half-close first, and read to the end
            connection.shutdown(1)
            wait_for_its_end(connection)
        elif order == b"m":  # RST in the middle of an answer
            connection.sendall(BLOCK)
            reset(connection)
        elif order == b"b":  # an answer without end
            while True:
                connection.sendall(BLOCK)
        elif order == b"a":  # RST once the client has half-closed
            wait_for_its_end(connection)
            reset(connection)
        elif order == b"s":  # nothing is read and nothing said
            connection.setblocking(True)
            wait_for_reset(connection)


def wait_for_reset(connection):
    """Until the kernel knows of an end, without reading what has come."""
    for _ in range(2000):
        if connection.getsockopt(6, 11, 1) != b"\1":  # TCP_INFO begins with the state; 1 is ESTABLISHED
            return
        time.sleep(0.01)


class Http1(apps.Handler):
    """The path is the order; a connection serves until an order ends it."""

    def handle(self):
        end = End(self.request)
        with contextlib.suppress(*GONE):
            while (request := end.request(with_body=False)) and self.obey(end, request.target[1:], request):
                pass

    @staticmethod
    def obey(end, order, request):
        """Whether the connection goes on."""
        connection = end.socket
        if order == "ok":
            end.body(request, False)
            end.reply(body=b"ok")
            return True
        if order == "reset":
            reset(connection)
        elif order == "half-head":
            end.send(b"HTTP/1.1 200 OK\r\nContent-Le")
            reset(connection)
        elif order == "mid":
            end.send(head("HTTP/1.1 200 OK", [("Content-Length", 1 << 20)]), BLOCK)
            reset(connection)
        elif order == "short":
            end.send(head("HTTP/1.1 200 OK", [("Content-Length", 1 << 20)]), BLOCK)
        elif order == "chunk":
            end.send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]), chunk(BLOCK), b"7530\r\nabc")
        elif order == "garbage":
            end.send(b"\0\1\2 this is no HTTP\r\n\r\n")
        elif order == "early":
            end.send(head("HTTP/1.1 413 Said", [("Content-Length", 0), ("Connection", "close")]))
        elif order == "endless":
            end.send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]))
            while True:
                end.send(chunk(BLOCK))
        elif order.startswith("upgrade"):
            end.send(head("HTTP/1.1 101 Switching Protocols", [("Connection", "upgrade"), ("Upgrade", "words")]))
            read_exactly(connection, 5)
            if order == "upgrade-reset":
                reset(connection)
        if order in ("never", "timed", "upgrade"):
            wait_for_its_end(connection)
        return False


class Http2(apps.Handler):
    """The path is the order; streams that have been left go on being served with the others of their connection."""

    def handle(self):
        with contextlib.suppress(*GONE, hpack.HPACKError):
            self.serve(self.request)

    def serve(self, connection):
        connection.settimeout(AN_HOUR)
        reader, decoder = h2.Reader(connection, skip=len(h2.PREFACE)), hpack.Decoder()
        connection.sendall(h2.settings() + frame(h2.WINDOW_UPDATE, 0, 0, h2.number(1 << 30)))
        self.waiting = {}  # streams whose order counts once their request is whole
        while True:
            for kind, flags, stream, payload in reader.frames(AN_HOUR):
                if kind == h2.HEADERS:
                    self.waiting[stream] = dict(decoder.decode(payload))[":path"][1:]
                elif kind == h2.RST_STREAM:
                    self.waiting.pop(stream, None)
                elif kind == h2.PING and not flags & h2.ACK:
                    connection.sendall(frame(h2.PING, h2.ACK, 0, payload))
                elif kind == h2.SETTINGS and not flags & h2.ACK:
                    connection.sendall(frame(h2.SETTINGS, h2.ACK, 0))
                whole = kind in (h2.HEADERS, h2.DATA) and flags & END_STREAM
                if whole and stream in self.waiting and not self.obey(connection, stream, self.waiting.pop(stream)):
                    return

    @staticmethod
    def obey(connection, stream, order):
        """Whether the connection goes on."""
        answer = frame(h2.HEADERS, END_HEADERS, stream, ANSWER)
        begun = answer + frame(h2.DATA, 0, stream, BLOCK[:10_000])
        if order == "ok":
            connection.sendall(answer + frame(h2.DATA, END_STREAM, stream, b"ok"))
        elif order == "large":
            connection.sendall(answer + frame(h2.DATA, 0, stream, BLOCK[:16_000]) * 3 + frame(h2.DATA, END_STREAM, stream))
        elif order == "stream-reset":
            connection.sendall(frame(h2.RST_STREAM, 0, stream, h2.number(2)))
        elif order == "mid-stream-reset":
            connection.sendall(begun + frame(h2.RST_STREAM, 0, stream, h2.number(2)))
        elif order == "mid-reset":
            connection.sendall(begun)
            reset(connection)
        elif order == "mid-end":
            connection.sendall(begun)
            return False
        elif order == "reset":
            reset(connection)
        elif order == "goaway":
            connection.sendall(frame(h2.GOAWAY, 0, 0, h2.number(0) + h2.number(0)))
            return False
        elif order == "garbage":
            connection.sendall(bytes(range(200)))
            return False
        return True  # "never", "timed": no answer


def main(arguments):
    kinds = {"raw": Raw, "h1": Http1, "h2": Http2}
    for kind, port in zip(arguments[::2], arguments[1::2], strict=True):
        threading.Thread(target=apps.Server(("::", int(port)), kinds[kind]).serve_forever).start()
    print("serves", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
