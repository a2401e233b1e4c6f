"""What a hostile client can make a proxy spend, over HTTP/1.1 and HTTP/2: attacker's bytes against memory and processor,
and what a neighbour notices. See attacks.py for the gates; test_attacks_upstream.py has the hostile servers.

Each attack comes twice: `source`, from an enrolled pod at its own node's proxy, and `destination`, from a pod outside the
mesh straight at the proxy of the attacked pod's node, which parses because a policy looks into requests.
"""

import contextlib
import os
import time

import pytest

import h2_frames as h2
from attacks import LASTS, Neighbour, Scales, first_in_line
from h2_frames import END_HEADERS, END_STREAM, PREFACE, frame, number, request_head
from http_ends import chunk, head
from http_world import HTTP, SHOP, WEB_PODS, WEB_V2, HttpMesh, do, eventually, weir_only
from http_world import H2 as H2_PORT

MESH = HttpMesh
pytestmark = weir_only
APPLICATION = {HTTP: 8080, H2_PORT: 8081}
GET = request_head()
POST = request_head("POST")
LOOKS_INTO_REQUESTS = {
    "apiVersion": "weir.dev/v1alpha1", "kind": "AuthorizationPolicy",
    "metadata": {"name": "looks", "namespace": "servers"},
    "spec": {"selector": WEB_PODS, "action": "Deny", "rules": [{"to": [{"methods": ["FORBIDDEN"]}]}]}}


def ordinary(attack, kept):
    """What any client does: one small request after the other, on a connection that is kept or on one for each."""
    while attack.lasts():
        with attack.connection(HTTP) as connection:
            while attack.lasts():
                connection.sendall(b"GET / HTTP/1.1\r\nHost: web.servers\r\n\r\n")
                while not connection.recv(65536).endswith(b"}"):
                    pass
                if not kept:
                    break


def proxies(mesh):
    return [mesh.lab.weir(node).pid("proxy") for node in ("node-1", "node-2")]


@pytest.fixture(scope="module")
def neighbour(whole_mesh):
    """bob, who asks shop."""
    bob = Neighbour(whole_mesh, "bob", SHOP, HTTP)
    for pid in whole_mesh.lab.place("shop")[1].pids() + proxies(whole_mesh):
        first_in_line(pid)
    whole_mesh.begin = lambda: None  # the neighbour's connection stays open, so nothing is waited for
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, before + 5)
    yield bob
    os.setpriority(os.PRIO_PROCESS, 0, before)
    bob.stop()


@pytest.fixture(scope="module", params=["source", "destination"])
def scales(whole_mesh, neighbour, request):
    """Both ways in, one after the other."""
    web_3 = whole_mesh.web_3.v4
    if request.param == "destination":
        whole_mesh.lab.apply(LOOKS_INTO_REQUESTS)
        whole_mesh.settle()

    def dial(count, port):
        if request.param == "source":
            return whole_mesh.alice.connect_many(count, WEB_V2, port)
        return whole_mesh.stranger.connect_many(count, web_3, APPLICATION.get(port, port))

    yield Scales(proxies(whole_mesh), neighbour, dial, ordinary)
    if request.param == "destination":
        whole_mesh.lab.delete("AuthorizationPolicy", "servers", "looks")


# --- HTTP/2: frames that ask for work and give none ------------------------------------------------------------------
def flood(attack, unit, first=b"", batch=50, settings=h2.settings()):
    """Sends `unit(n)`, n = 0, 1, …, as fast as it is taken, on one connection after the other."""
    while attack.lasts(attack.codes):
        with attack.connection(H2_PORT) as connection:
            reader, sent = h2.Reader(connection), 0
            connection.sendall(PREFACE + settings + first)
            while attack.lasts(attack.codes):
                try:
                    connection.sendall(b"".join(unit(sent + n) for n in range(batch)))
                finally:
                    for kind, _, _, payload in reader.frames(0.001):
                        if kind == h2.GOAWAY:
                            attack.codes.append(int.from_bytes(payload[4:8], "big"))
                sent += batch


def headers(n, block=GET, flags=END_HEADERS | END_STREAM):
    return frame(h2.HEADERS, flags, 2 * n + 1, block)


FLOODS = {
    "rapid reset": lambda n: headers(n) + frame(h2.RST_STREAM, 0, 2 * n + 1, number(h2.CANCEL)),
    "provoked resets by a window that overflows":
        lambda n: headers(n, POST, END_HEADERS) + frame(h2.WINDOW_UPDATE, 0, 2 * n + 1, number(0x7fffffff)),
    "provoked resets by malformed requests": lambda n: headers(n, request_head(fields=[("Upper", "case")])),
    "provoked resets by DATA beyond its length":
        lambda n: headers(n, request_head("POST", fields=[("content-length", "0")]), END_HEADERS)
        + frame(h2.DATA, END_STREAM, 2 * n + 1, b"x"),
    "SETTINGS": lambda n: h2.settings(initial_window_size=65_535 - n % 2),
    "PING": lambda n: frame(h2.PING, 0, 0, b"whatever"),
    "PRIORITY": lambda n: frame(h2.PRIORITY, 0, 2 * n + 1, number(0) + b"\x10"),
    "WINDOW_UPDATE": lambda n: frame(h2.WINDOW_UPDATE, 0, 0, number(1)),
    "frames of unknown types": lambda n: frame(0xee, 0, 0, b""),
    "HEADERS without a field": lambda n: headers(n, b""),
}
BROKEN = {  # errors of the connection, in nghttp2's reading of RFC 9113
    "a window that does not grow":
        (h2.PROTOCOL_ERROR, lambda n: headers(n, POST, END_HEADERS) + frame(h2.WINDOW_UPDATE, 0, 2 * n + 1, number(0))),
    "DATA of a request that has ended": (h2.STREAM_CLOSED, lambda n: headers(n) + frame(h2.DATA, 0, 2 * n + 1, b"x")),
}
ON_A_STREAM = {
    "empty DATA": lambda n: frame(h2.DATA, 0, 1),
    "padding alone": lambda n: frame(h2.DATA, 8, 1, b"\xff" + bytes(255)),
}
IN_A_HEAD = {
    "empty CONTINUATION": lambda n: frame(h2.CONTINUATION, 0, 1),
    "CONTINUATION of fields": lambda n: frame(h2.CONTINUATION, 0, 1, h2.literal(b"x-%d" % n, b"v" * 1000)),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_of_frames_costs_its_sender_its_connection_and_the_proxy_little(scales, what):
    assert h2.ENHANCE_YOUR_CALM in scales.weigh(lambda attack: flood(attack, FLOODS[what])).codes


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_the_connection_costs_the_connection(scales, what):
    code, unit = BROKEN[what]
    assert code in scales.weigh(lambda attack: flood(attack, unit)).codes


@pytest.mark.parametrize("what", ON_A_STREAM)
def test_a_flood_on_a_stream_costs_its_sender_its_connection(scales, what):
    first = headers(0, POST, END_HEADERS)
    assert h2.ENHANCE_YOUR_CALM in scales.weigh(lambda attack: flood(attack, ON_A_STREAM[what], first)).codes


@pytest.mark.parametrize("what", IN_A_HEAD)
def test_a_head_of_endless_continuations_is_ended_at_its_eighth(scales, what):
    first = headers(0, GET, END_STREAM)
    assert h2.ENHANCE_YOUR_CALM in scales.weigh(lambda attack: flood(attack, IN_A_HEAD[what], first)).codes


# --- HTTP/2: much for few bytes --------------------------------------------------------------------------------------
def bomb(fields, value=3900):
    """A head that puts one long field into the dynamic table and names it so many times: a byte each."""
    return GET + h2.literal(b"x", b"v" * value) + b"\xbe" * (fields - 1)


@pytest.mark.parametrize("fields,value", [(16, 3900), (16_000, 3900), (90, 640)],
                         ids=["just below the limit", "far above it", "many fields"])
def test_a_head_that_hpack_makes_large_is_paid_for_by_whoever_sends_it(scales, fields, value):
    again = GET + b"\xbe" * fields

    def act(attack):
        while attack.lasts():
            with attack.connection(H2_PORT) as connection:
                connection.sendall(PREFACE + h2.settings(initial_window_size=0))
                connection.sendall(headers(0, bomb(fields, value)) + b"".join(headers(n, again) for n in range(1, 100)))
                for _ in h2.Reader(connection).frames(0.1):
                    pass

    scales.weigh(act)


def test_streams_that_nobody_reads_hold_no_more_than_their_buffers(scales):
    ask = request_head(fields=do(bytes=4 << 20))

    def act(attack):
        connection = attack.dial(H2_PORT)
        connection.sendall(PREFACE + h2.settings(initial_window_size=0) + b"".join(headers(n, ask) for n in range(100)))

    scales.weigh(act)


def test_a_window_that_opens_by_single_bytes_is_a_flood(scales):
    ask = request_head(fields=do(bytes=1 << 20))

    def unit(n):
        return frame(h2.WINDOW_UPDATE, 0, 2 * (n % 50) + 1, number(1))

    first = b"".join(headers(n, ask) for n in range(50))
    scales.weigh(lambda attack: flood(attack, unit, first, settings=h2.settings(initial_window_size=0)))


# --- Slow and many ---------------------------------------------------------------------------------------------------
def trickle(attack, port, first, drip, connections=100):
    """Many connections that say a little now and then and never enough."""
    held = attack.dial_many(connections, port)
    for said in [first] + [drip] * 5:
        for connection in held:
            with contextlib.suppress(ConnectionError):  # some are ended: what says nothing may not pass for HTTP
                connection.sendall(said)
        time.sleep(LASTS / 6)


SLOW = {
    "nothing at all": (HTTP, b"", b""),
    "HTTP/1.1 heads": (HTTP, b"GET / HTTP/1.1\r\nHost: web.servers\r\nX-", b"a"),
    "HTTP/1.1 bodies": (HTTP, b"POST / HTTP/1.1\r\nHost: web.servers\r\nContent-Length: 1000000\r\n\r\n", b"b"),
    "HTTP/1.1 bodies in chunks":
        (HTTP, b"POST / HTTP/1.1\r\nHost: web.servers\r\nTransfer-Encoding: chunked\r\n\r\n", chunk(b"b")),
    "a preface alone": (H2_PORT, PREFACE, b""),
    "HTTP/2 heads": (H2_PORT, PREFACE + h2.settings() + frame(h2.HEADERS, 0, 1, GET), b""),
    "HTTP/2 bodies": (H2_PORT, PREFACE + h2.settings() + headers(0, POST, END_HEADERS), frame(h2.DATA, 0, 1, b"b")),
}


@pytest.mark.parametrize("what", SLOW)
def test_a_hundred_slow_clients_hold_little_and_stop_nobody(scales, what):
    scales.weigh(lambda attack: trickle(attack, *SLOW[what]))


def test_a_thousand_idle_connections_hold_little_and_stop_nobody(scales):
    def act(attack):
        attack.dial_many(1000, HTTP)

    scales.weigh(act)


@pytest.mark.parametrize("port", [HTTP, H2_PORT], ids=["HTTP/1.1", "HTTP/2"])
def test_huge_answers_to_slow_readers_wait_where_they_come_from(scales, port):
    ask = head("GET / HTTP/1.1", [("Host", "web.servers"), *do(bytes=8 << 20)])
    if port == H2_PORT:
        ask = PREFACE + h2.settings(initial_window_size=1 << 30) + frame(h2.WINDOW_UPDATE, 0, 0, number(1 << 30))
        ask += headers(0, request_head(fields=do(bytes=8 << 20)))

    def act(attack):
        for connection in attack.dial_many(20, port):
            connection.sendall(ask)

    scales.weigh(act)


@pytest.mark.parametrize("port", [HTTP, H2_PORT], ids=["HTTP/1.1", "HTTP/2"])
def test_answers_to_readers_that_have_left_are_given_up(scales, port):
    ask = head("GET / HTTP/1.1", [("Host", "web.servers"), *do(bytes=1 << 20)]) * 5
    if port == H2_PORT:
        block = request_head(fields=do(bytes=1 << 20))
        ask = PREFACE + h2.settings() + b"".join(headers(n, block) for n in range(20))

    def act(attack):
        while attack.lasts():
            connection = attack.dial(port)
            connection.sendall(ask)
            attack.close(connection, abruptly=True)

    scales.weigh(act)


# --- HTTP/1.1: framing -----------------------------------------------------------------------------------------------
CHUNKED = b"POST / HTTP/1.1\r\nHost: web.servers\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAMS = {
    "chunks of a byte": (CHUNKED, chunk(b"b") * 1000),
    "chunk sizes with extensions": (CHUNKED, b"1;" + b"e" * 1000 + b"\r\nb\r\n"),
    "an extension without end": (CHUNKED, b"1;" + b"e" * 4000),
    "a chunk size of zeros": (CHUNKED, b"0" * 4000),
    "a head without end": (b"GET / HTTP/1.1\r\n", b"X-Field: value\r\n" * 100),
    "a line without end": (b"GET / HTTP/1.1\r\nX-Field: ", b"v" * 4000),
    "a target without end": (b"GET /", b"t" * 4000),
    "a method without end": (b"", b"M" * 4000),
    "empty lines": (b"", b"\r\n" * 1000),
    "trailers without end": (CHUNKED + b"0\r\n", b"X-Field: value\r\n" * 100),
    "requests without reading": (b"", head("GET / HTTP/1.1", [("Host", "web.servers")]) * 100),
    "refused requests": (b"", b"GET / HTTP/1.1\r\n\r\n" * 100),
}


@pytest.mark.parametrize("what", STREAMS)
def test_a_stream_of_bytes_costs_the_proxy_in_proportion(scales, what):
    first, more = STREAMS[what]

    def act(attack):
        while attack.lasts():
            with attack.connection(HTTP) as connection:
                connection.settimeout(0.2)
                connection.sendall(first)
                while attack.lasts():
                    connection.sendall(more)

    scales.weigh(act)


def test_ten_thousand_pipelined_requests_are_answered_in_their_time(scales):
    def act(attack):
        connection = attack.dial(HTTP)
        connection.setblocking(False)
        rest, answers = head("GET / HTTP/1.1", [("Host", "web.servers")]) * 10_000, 0
        while attack.lasts():
            try:
                rest = rest[connection.send(rest[:1 << 16]):]
            except BlockingIOError:
                time.sleep(0.001)
            try:
                answers += connection.recv(1 << 16).count(b"HTTP/1.1 200")
            except BlockingIOError:
                pass
        assert answers > 0

    scales.weigh(act)


ABUSES = {
    "an upgrade that is not answered": [("Connection", "upgrade"), ("Upgrade", "websocket")],
    "an upgrade to HTTP/2": [("Connection", "upgrade, http2-settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")],
    "an upgrade to many": [("Connection", "upgrade"), ("Upgrade", ", ".join(f"p{n}" for n in range(1000)))],
    "fields named by Connection": [("Connection", ", ".join(f"x-{n}" for n in range(1000))), ("X-1", "gone")],
}


@pytest.mark.parametrize("what", ABUSES)
def test_an_upgrade_that_nobody_takes_gives_nothing(scales, what):
    ask = head("GET / HTTP/1.1", [("Host", "web.servers"), *ABUSES[what]])

    def act(attack):
        while attack.lasts():
            with attack.connection(HTTP) as connection:
                connection.sendall(ask + b"\x81\x05bytes that are no HTTP" * 20)
                while connection.recv(1 << 16):
                    pass

    scales.weigh(act)


# --- Afterwards ------------------------------------------------------------------------------------------------------
def test_nothing_of_the_attacks_is_left(scales, whole_mesh):
    def gone():
        for node in ("node-1", "node-2"):
            metrics = whole_mesh.lab.metrics(node)
            assert metrics.total("weir_requests_in_flight") <= 1, "beside the neighbour's own"
            assert whole_mesh.lab.weir(node).descriptors("proxy") < 200
        return True

    eventually(gone, 15)
