"""Requests that end badly, by the client or by the server, over HTTP/1.1 and HTTP/2: ways for endings.py.

A way is a function of a connection to the servers of ending_servers.py; it returns how it ended, as its client saw it, and
stands beside all that this may be. "left": the client did not look.
"""

import functools
import time

import hpack

import h2_frames as h2
from h2_frames import END_HEADERS, END_STREAM, PREFACE, Reader, frame, number
from http_ends import End, Ended, chunk
from world import reset

HALF = bytes(10_000)
FAILED = {"500", "502", "503"}  # answers of a proxy's own in place of one that did not come whole
# Of an answer that was cut; the RST of a server overtakes what it has said.
CUT = {"cut", "reset"} | FAILED


# --- HTTP/1.1 --------------------------------------------------------------------------------------------------------
def request(path, method="GET", *fields, body=b""):
    lines = [f"{method} /{path} HTTP/1.1", "Host: web.servers", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def answered(connection):
    """The status of an answer that came whole; "cut" or "reset" if it did not."""
    end = End(connection)
    try:
        return str(end.answer().status)
    except Ended:
        return "cut"
    except ConnectionResetError:
        return "reset"


def asked(sent):
    def way(connection):
        connection.sendall(sent)
        return answered(connection)
    return way


def left(sent, abruptly, after=0):
    """Says so much, and goes."""
    def way(connection):
        connection.sendall(sent)
        time.sleep(after)
        if abruptly:
            reset(connection)
        return "left"
    return way


def served_then_reset(connection):
    end = End(connection)
    for _ in range(3):
        connection.sendall(request("ok"))
        end.answer()
    reset(connection)
    return "left"


def unread_answer_then_reset(connection):
    connection.sendall(request("endless"))
    connection.recv(1000)
    time.sleep(0.05)
    reset(connection)
    return "left"


def upgraded(path, abruptly):
    def way(connection):
        connection.sendall(request(path, "GET", "Connection: Upgrade", "Upgrade: words"))
        End(connection).answer()
        connection.sendall(b"hello")
        if abruptly:
            reset(connection)
            return "left"
        return answered(connection)
    return way


LONG = "Content-Length: 1000000"
H1 = {
    "half a head, then RST": (left(b"GET /ok HTT", True), {"left"}),
    "half a head, then FIN": (left(b"GET /ok HTT", False), {"left"}),
    "a request, then RST": (left(request("never"), True, 0.03), {"left"}),
    "a request, then FIN": (left(request("never"), False, 0.03), {"left"}),
    "half a body, then RST": (left(request("ok", "POST", LONG, body=HALF), True), {"left"}),
    "half a body, then FIN": (left(request("ok", "POST", LONG, body=HALF), False), {"left"}),
    "half a chunk, then FIN": (
        left(request("ok", "POST", "Transfer-Encoding: chunked", body=chunk(HALF) + b"ff\r\nabc"), False), {"left"}),
    "100-continue that never comes": (left(request("never", "POST", LONG, "Expect: 100-continue"), True, 0.03), {"left"}),
    "requests served, then RST": (served_then_reset, {"left"}),
    "no request": (asked(b"\0\1\2\r\n\r\n"), {"400", "left", "reset", "cut"}),
    "the server resets instead of an answer": (asked(request("reset", "POST", "Content-Length: 0")), FAILED),
    "the server resets in the head": (asked(request("half-head", "POST", "Content-Length: 0")), FAILED),
    "the server resets in mid-body": (asked(request("mid")), CUT),
    "the server closes in mid-body": (asked(request("short")), CUT),
    "the server closes in mid-chunk": (asked(request("chunk")), CUT),
    "the server answers with garbage": (asked(request("garbage", "POST", "Content-Length: 0")), FAILED),
    "the server answers early and closes": (
        asked(request("early", "POST", LONG, body=HALF)), {"413"} | FAILED),  # the RST of what it has not read overtakes it too
    "an endless answer is not read": (unread_answer_then_reset, {"left"}),
    "an upgrade that the client resets": (upgraded("upgrade", True), {"left"}),
    "an upgrade that the server resets": (upgraded("upgrade-reset", False), {"reset"}),
}
H1_TIMED = {"a time-out": (asked(request("timed")), {"504"})}


# --- HTTP/2 ----------------------------------------------------------------------------------------------------------
@functools.cache
def h2_head(path, method="GET"):
    return h2.request_head(method, f"/{path}")


def ask(stream, path, whole=True, method="GET"):
    return frame(h2.HEADERS, END_HEADERS | (END_STREAM if whole else 0), stream, h2_head(path, method))


BEGIN = PREFACE + h2.settings()


def h2_answered(connection):
    """The status of an answer on stream 1 that came whole; else "stream reset", "goaway", or "cut" and "reset"."""
    connection.settimeout(15)
    reader, decoder, status = Reader(connection), hpack.Decoder(), ""
    try:
        while True:
            for kind, flags, stream, payload in reader.frames(15):
                if kind == h2.HEADERS:
                    status = dict(decoder.decode(payload)).get(":status", status)
                elif kind == h2.RST_STREAM and stream == 1:
                    return "stream reset"
                elif kind == h2.GOAWAY and any(payload[4:8]):
                    return "goaway"
                elif kind == h2.PING and not flags & h2.ACK:
                    connection.sendall(frame(h2.PING, h2.ACK, 0, payload))
                if stream == 1 and kind in (h2.HEADERS, h2.DATA) and flags & END_STREAM:
                    return status
    except ConnectionResetError as error:
        return "cut" if error.args == ("the stream ended",) else "reset"


def h2_asked(*sent):
    def way(connection):
        connection.sendall(BEGIN + b"".join(sent))
        return h2_answered(connection)
    return way


def h2_left(*sent, abruptly, after=0.0):
    return left(BEGIN + b"".join(sent), abruptly, after)


def h2_unread(connection):
    """Reads a little of ten answers, or that each has failed: a connection to a server is shared, and may end."""
    connection.sendall(BEGIN + b"".join(ask(stream, "large") for stream in range(1, 21, 2)))
    reader, ended, came = Reader(connection), 0, 0
    while came < 1000 and ended < 10:
        for kind, flags, _, payload in reader.frames(15):
            came += len(payload) if kind == h2.DATA else 0
            ended += kind == h2.RST_STREAM or (kind in (h2.HEADERS, h2.DATA) and flags & END_STREAM)
            assert kind != h2.GOAWAY, payload
    reset(connection)
    return "left"


MANY = b"".join(ask(stream, "never") for stream in range(1, 21, 2))
H2_CUT = CUT | {"stream reset"}
H2 = {
    "half a preface, then RST": (left(PREFACE[:10], True), {"left"}),
    "half a preface, then FIN": (left(PREFACE[:10], False), {"left"}),
    "settings, then FIN": (h2_left(abruptly=False), {"left"}),
    "half a frame, then RST": (h2_left(ask(1, "ok")[:12], abruptly=True), {"left"}),
    "ten streams, then RST": (h2_left(MANY, abruptly=True, after=0.03), {"left"}),
    "ten streams, then FIN": (h2_left(MANY, abruptly=False, after=0.03), {"left"}),
    "half a body, then RST": (h2_left(ask(1, "ok", False, "POST"), frame(h2.DATA, 0, 1, HALF), abruptly=True), {"left"}),
    "a stream reset in mid-body": (h2_left(ask(1, "ok", False, "POST"), frame(h2.DATA, 0, 1, HALF),
                                           frame(h2.RST_STREAM, 0, 1, number(8)), abruptly=False, after=0.01), {"left"}),
    "GOAWAY under a stream": (h2_left(ask(1, "never"), frame(h2.GOAWAY, 0, 0, number(0) + number(0)), abruptly=False), {"left"}),
    "answers that are not read": (h2_unread, {"left"}),
    "a broken frame": (h2_asked(ask(1, "never"), frame(h2.DATA, 0, 0, b"x")), {"goaway"}),
    "the server resets the stream": (h2_asked(ask(1, "stream-reset", method="POST")), FAILED | {"stream reset"}),
    "the server resets the stream in mid-body": (h2_asked(ask(1, "mid-stream-reset")), H2_CUT),
    "the server resets instead of an answer": (h2_asked(ask(1, "reset", method="POST")), FAILED | {"stream reset"}),
    "the server resets in mid-body": (h2_asked(ask(1, "mid-reset")), H2_CUT),
    "the server closes in mid-body": (h2_asked(ask(1, "mid-end")), H2_CUT),
    "the server says GOAWAY": (h2_asked(ask(1, "goaway", method="POST")), FAILED | {"stream reset"}),
    "the server answers with garbage": (h2_asked(ask(1, "garbage", method="POST")), FAILED | {"stream reset"}),
}
# Its connection to the server is shared, and may end before the time is over.
H2_TIMED = {"a time-out": (h2_asked(ask(1, "timed")), {"504"} | FAILED)}
