"""What a hostile server can make a proxy spend, over HTTP/1.1 and HTTP/2, and what a neighbour notices. See attacks.py for
the gates, test_attacks.py for the two ways: at the client's own node, and at the node of the attacking pod itself.
"""

import contextlib
import time

import h2_frames as h2
import pytest

from h2_frames import END_HEADERS, END_STREAM, PREFACE, Reader, frame, number, request_head
from http_ends import chunk
from http_world import LENT, LENT_H2, HttpMesh, do, weir_only
from test_attacks import neighbour, scales  # fixtures

__all__ = ["neighbour", "scales"]
MESH = HttpMesh
pytestmark = weir_only
GET = b"GET / HTTP/1.1\r\nHost: web.servers\r\n\r\n"
ANSWER = h2.answer_head()
CALM = number(h2.ENHANCE_YOUR_CALM)
HINTS = h2.answer_head(103)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.contextmanager
def meeting(attack, listener, port, ask):
    """(a client's socket that has asked, the attacker's that is to answer), until either ends."""
    listener.settimeout(0.2)
    with attack.connection(port) as client:
        client.sendall(ask)
        server = attack.count(listener.accept()[0])
        try:
            client.setblocking(False)
            server.setblocking(False)
            yield client, server
        finally:
            attack.close(server)


def pour(attack, server, client, reads, more):
    """Sends `more()` as it is taken while the attack lasts; the client reads what comes, or nothing."""
    rest = b""
    while attack.lasts():
        rest = rest or more()
        moved = False
        with contextlib.suppress(BlockingIOError):
            rest, moved = rest[server.send(rest):], True
        with contextlib.suppress(BlockingIOError):
            if reads and not client.recv(1 << 20):
                return
            moved = moved or reads
        with contextlib.suppress(BlockingIOError):
            if not server.recv(1 << 16):
                return
        if not moved:
            time.sleep(0.001)


# --- HTTP/1.1 --------------------------------------------------------------------------------------------------------
HOSTILE = {
    "1xx heads without end": (b"", b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n" * 100),
    "a head without end": (b"HTTP/1.1 200 OK\r\n", b"X-Field: value\r\n" * 100),
    "a line without end": (b"HTTP/1.1 200 OK\r\nX-Field: ", b"v" * 4000),
    "a reason without end": (b"HTTP/1.1 200 ", b"r" * 4000),
    "trailers without end": (CHUNKED + b"0\r\n", b"X-Field: value\r\n" * 100),
    "bytes after the answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"x" * 4000),
    "answers that nobody asked for": (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" * 100),
    "an extension without end": (CHUNKED + b"1;", b"e" * 4000),
    "chunk sizes with extensions": (CHUNKED, b"1;" + b"e" * 1000 + b"\r\nb\r\n"),
    "a chunk size of zeros": (CHUNKED, b"0" * 4000),
    "chunks of a byte": (CHUNKED, chunk(b"b") * 1000),
    "a chunk without end": (CHUNKED + b"7fffffffffffffff\r\n", b"c" * 4000),
    "a body without end": (b"HTTP/1.1 200 OK\r\n\r\n", b"b" * 4000),
    "an upgrade that nobody asked for": (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", b"y" * 4000),
}


@pytest.mark.parametrize("what,reads", [(what, True) for what in HOSTILE] + [(what, False) for what in HOSTILE if "end" in what],
                         ids=lambda value: {True: "read", False: "unread"}.get(value, value))
def test_a_hostile_answer_costs_its_server_more_than_the_proxy(scales, whole_mesh, what, reads):
    first, more = HOSTILE[what]
    with whole_mesh.web_3.listen(LENT) as listener:

        def act(attack):
            while attack.lasts():
                with contextlib.suppress(TimeoutError), meeting(attack, listener, LENT, GET) as (client, server):
                    server.send(first)
                    pour(attack, server, client, reads, lambda: more)

        scales.weigh(act)


# --- HTTP/2 ----------------------------------------------------------------------------------------------------------
def bomb(status, times=15):
    return frame(h2.HEADERS, END_HEADERS, 1, h2.answer_head(status) + h2.literal(b"x", b"v" * 3900) + b"\xbe" * times)


FLOODS = {
    "1xx heads": lambda: frame(h2.HEADERS, END_HEADERS, 1, HINTS) * 50,
    "1xx heads that HPACK makes large": lambda: bomb(103) + frame(h2.HEADERS, END_HEADERS, 1, HINTS + b"\xbe" * 15) * 50,
    "SETTINGS": lambda: (h2.settings(initial_window_size=1) + h2.settings(initial_window_size=65_535)) * 25,
    "PING": lambda: frame(h2.PING, 0, 0, b"whatever") * 50,
    "WINDOW_UPDATE": lambda: frame(h2.WINDOW_UPDATE, 0, 0, number(1)) * 50,
    "PRIORITY": lambda: frame(h2.PRIORITY, 0, 1, number(0) + b"\x10") * 50,
    "GOAWAY": lambda: frame(h2.GOAWAY, 0, 0, number(0x7fffffff) + number(0)) * 50,
    "RST_STREAM of what is over": lambda: frame(h2.RST_STREAM, 0, 1, number(h2.CANCEL)) * 50,
    "CONTINUATION": lambda: frame(h2.HEADERS, 0, 1, ANSWER) + frame(h2.CONTINUATION, 0, 1) * 5000,
    "empty DATA": lambda: frame(h2.DATA, 0, 1) * 50,
    "PUSH_PROMISE": lambda: frame(h2.PUSH_PROMISE, END_HEADERS, 1, number(2) + GET_BLOCK) * 50,
}
GET_BLOCK = request_head()


@pytest.mark.parametrize("what", FLOODS)
def test_a_servers_flood_costs_it_its_stream_or_its_connection(scales, whole_mesh, what):
    ask = PREFACE + h2.settings() + frame(h2.HEADERS, END_HEADERS | END_STREAM, 1, GET_BLOCK)
    ended = []
    with whole_mesh.web_3.listen(LENT_H2) as listener:

        def act(attack):
            while attack.lasts(ended):
                with contextlib.suppress(TimeoutError), meeting(attack, listener, LENT_H2, ask) as (client, server):
                    reader = Reader(server, skip=len(PREFACE))
                    server.send(h2.settings())
                    if "DATA" in what:
                        server.send(frame(h2.HEADERS, END_HEADERS, 1, ANSWER))
                    ended.append(until_goaway(attack, server, reader, FLOODS[what]))

        scales.weigh(act)
    assert any(ended), "nobody minded"


def until_goaway(attack, server, reader, more):
    """Sends until the proxy says GOAWAY with an error, calls the one stream too much, or leaves; whether it did."""
    rest = b""
    try:
        while attack.lasts(False):
            rest = rest or more()
            with contextlib.suppress(BlockingIOError):
                rest = rest[server.send(rest):]
            for kind, _, _, payload in reader.frames(0.001):
                if (kind == h2.GOAWAY and any(payload[4:8])) or (kind == h2.RST_STREAM and payload == CALM):
                    return True
    except ConnectionError:
        return True
    return False


def test_answers_that_hpack_makes_large_hold_what_their_server_paid_for(scales, whole_mesh):
    ask = PREFACE + h2.settings(initial_window_size=0) + b"".join(
        frame(h2.HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, request_head(fields=do())) for n in range(100))
    with whole_mesh.web_3.listen(LENT_H2) as listener:

        def act(attack):
            while attack.lasts():
                with contextlib.suppress(TimeoutError), meeting(attack, listener, LENT_H2, ask) as (client, server):
                    reader, first = Reader(server, skip=len(PREFACE)), bomb(200)
                    server.send(h2.settings())
                    while attack.lasts():
                        for kind, _, stream, _ in reader.frames(0.01):
                            if kind == h2.HEADERS:
                                block = first[9:] if first else ANSWER + b"\xbe" * 15
                                server.send(frame(h2.HEADERS, END_HEADERS, stream, block))
                                first = b""

        scales.weigh(act)
