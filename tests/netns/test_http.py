"""HTTP/1.1 through the mesh, both ends in hand: what is forwarded, kept apart, passed back, refused.

The rules are those of the design's page on HTTP and of RFC 9112; each scenario is one of them. HTTP/2 is in test_h2.py.
"""

import hashlib
import socket
import threading
import time

import pytest

from http_ends import Ended, chunk, head
from http_world import OPAQUE, UNSAID, WEB_V2, HttpMesh, do, eventually, proxied, weir_only
from world import read_all

MESH = HttpMesh
MIB = 1 << 20


def exchange(mesh, request, answer, **more):
    """One exchange with both ends in hand: (what the server received, what the client received)."""
    with mesh.both_ends(**more) as ends:
        ends.client.send(request)
        server = ends.accept()
        received = server.request()
        server.send(answer)
        return received, ends.client.answer(received.method)


# --- What passes ---------------------------------------------------------------------------------------------------
def test_a_request_and_its_answer_arrive_as_they_were_sent(mesh):
    request = head("PATCH /a%7Eb//c/../d?x=%20&y HTTP/1.1", [("Host", "any.example:8080"), ("X-One", "1"), ("X-Two", "a, b"),
                                                             ("x-two", "c"), ("Content-Length", "4")]) + b"body"
    received, answer = exchange(mesh, request, head("HTTP/1.1 299 Odd", [("Content-Length", "2"), ("X-Answer", "é")]) + b"ok")
    assert received.start == "PATCH /a%7Eb//c/../d?x=%20&y HTTP/1.1" and received.body == b"body"
    assert received.values("Host") == ["any.example:8080"] and received.values("X-Two") == ["a, b", "c"]
    assert (answer.status, answer.body, answer.get("X-Answer")) == (299, b"ok", "é")


@pytest.mark.parametrize("port", [UNSAID, OPAQUE])
def test_http_passes_on_a_port_that_does_not_say_http(mesh, port):
    assert mesh.ask("POST", "/x", body=b"1", port=port).json["length"] == 1


def test_a_client_is_seen_with_its_own_address(mesh):
    for client in ("alice", "bob"):
        assert mesh.ask(client=client).json["client"] == getattr(mesh, client).v4


def test_requests_follow_each_other_on_one_connection(mesh):
    end = mesh.http()
    with end.socket:
        for number in range(50):
            assert end.ask("POST", f"/{number}", body=b"x" * number * 100).json["length"] == number * 100


def test_pipelined_requests_are_answered_in_order(mesh):
    end = mesh.http()
    with end.socket:
        end.send(*[head(f"GET /{n} HTTP/1.1", [("Host", "web"), *do(sleep=0.2 if n % 2 == 0 else 0)]) for n in range(6)])
        assert [end.answer().json["target"] for _ in range(6)] == [f"/{n}" for n in range(6)]


def test_a_method_that_nobody_knows_passes_with_its_case(mesh):
    assert mesh.ask("fRoB", "/").json["method"] == "fRoB"


@pytest.mark.parametrize("size", [0, 1, 65_535, 5 * MIB])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_any_size_pass_in_either_framing(mesh, size, chunked):
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    end = mesh.http()
    with end.socket:
        if chunked:
            end.send(head("POST / HTTP/1.1", [("Host", "web"), ("Transfer-Encoding", "chunked"), *do(bytes=size)]))
            for start in range(0, size, 50_000):
                end.send(chunk(body[start:start + 50_000]))
            end.send(b"0\r\n\r\n")
            assert len(end.answer().body) == size
        else:
            seen = end.ask("POST", "/", [("Content-Length", size)], body).json
            assert (seen["length"], seen["sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_trailers_pass_both_ways_and_stay_trailers(mesh):
    with mesh.both_ends() as ends:
        ends.client.send(head("POST / HTTP/1.1", [("Host", "web"), ("Transfer-Encoding", "chunked"), ("TE", "trailers"),
                                                  ("Trailer", "X-Sum")]), chunk(b"1"), b"0\r\nX-Sum: 7\r\n\r\n")
        server = ends.accept()
        request = server.request()
        assert [(n.lower(), v) for n, v in request.trailers] == [("x-sum", "7")] and not request.values("X-Sum")
        server.send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]), chunk(b"2"), b"0\r\nX-End: 8\r\n\r\n")
        answer = ends.client.answer()
        assert [(n.lower(), v) for n, v in answer.trailers] == [("x-end", "8")]
        assert answer.body == b"2" and not answer.values("X-End")


def test_fields_of_one_hop_and_those_that_connection_names_are_removed(mesh):
    request = head("GET / HTTP/1.1", [("Host", "web"), ("Connection", "keep-alive, X-Mine, Host"), ("X-Mine", "1"),
                                      ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "close"), ("X-Kept", "2")])
    received, answer = exchange(mesh, request, head("HTTP/1.1 200 OK", [
        ("Content-Length", "0"), ("Connection", "X-Theirs"), ("X-Theirs", "1"), ("Keep-Alive", "timeout=5"), ("X-Kept", "3")]))
    assert received.get("X-Kept") == "2" and received.values("Host") == ["web"], "framing and Host cannot be removed that way"
    assert answer.get("X-Kept") == "3"
    if mesh.between == "weir":
        assert not {"x-mine", "keep-alive", "proxy-connection"} & {name.lower() for name, _ in received.fields}
        assert not {"x-theirs", "keep-alive"} & {name.lower() for name, _ in answer.fields}


# --- Answers that have no body, come early, or in parts --------------------------------------------------------------
@pytest.mark.parametrize("method,status", [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_answer_that_has_no_body_has_none_whatever_it_claims(mesh, method, status):
    with mesh.both_ends() as ends:
        ends.client.send_request(method)
        server = ends.accept()
        server.request()
        claims = [("Content-Length", "100")] if status != 204 else []
        server.send(head(f"HTTP/1.1 {status} Said", claims + [("X-First", "1")]))
        answer = ends.client.answer(method)
        assert (answer.status, answer.body, answer.get("X-First")) == (status, b"", "1")
        ends.client.send_request("GET", "/next")
        assert server.request().target == "/next", "the connections go on"
        server.reply(200, body=b"next")
        assert ends.client.answer().body == b"next"


def test_100_continue_is_asked_for_and_given_end_to_end(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("POST", "/", [("Expect", "100-continue"), ("Content-Length", "4")])
        server = ends.accept()
        request = server.request(with_body=False)
        assert request.get("Expect").lower() == "100-continue"
        server.send(head("HTTP/1.1 100 Continue"))
        assert ends.client.head().status == 100
        ends.client.send(b"body")
        assert server.body(request, False).body == b"body"
        server.reply(200, body=b"ok")
        assert ends.client.answer().body == b"ok"


def test_a_final_answer_instead_of_100_continue_is_honoured(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("POST", "/", [("Expect", "100-continue"), ("Content-Length", "4000000")])
        server = ends.accept()
        server.request(with_body=False)
        server.reply(417, [("Connection", "close")], b"no")
        assert ends.client.answer().status == 417


def test_early_hints_come_before_their_answer(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request()
        server = ends.accept()
        server.request()
        server.send(head("HTTP/1.1 103 Early Hints", [("Link", "</style.css>; rel=preload")]))
        hints = ends.client.head()
        assert (hints.status, hints.get("Link")) == (103, "</style.css>; rel=preload")
        server.reply(200, body=b"ok")
        assert ends.client.answer().body == b"ok"


def test_an_early_answer_reaches_a_client_that_is_still_sending(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("POST", "/", [("Content-Length", str(64 * MIB))])
        ends.client.send(b"x" * 1000)
        server = ends.accept()
        server.request(with_body=False)
        server.reply(413, [("Connection", "close")], b"too much")
        answer = ends.client.answer()
        assert (answer.status, answer.body) == (413, b"too much")


def test_parts_of_an_answer_arrive_as_they_come(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request()
        server = ends.accept()
        server.request()
        server.send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked"), ("Content-Type", "text/event-stream")]))
        chunks = ends.client.chunks(ends.client.head())
        for number in range(5):
            server.send(chunk(b"data: %d\n\n" % number))
            assert next(chunks) == b"data: %d\n\n" % number
        server.send(b"0\r\n\r\n")
        assert next(chunks, "end") == "end"


def test_an_answer_without_length_ends_with_its_connection(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request()
        server = ends.accept()
        server.request()
        server.send(head("HTTP/1.1 200 OK", [("Connection", "close")]), b"a" * 100_000)
        server.socket.shutdown(socket.SHUT_WR)
        assert ends.client.answer().body == b"a" * 100_000


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_answer_cut_short_is_an_error_to_its_reader(mesh, framing):
    with mesh.both_ends() as ends:
        ends.client.send_request()
        server = ends.accept()
        server.request()
        if framing == "length":
            server.send(head("HTTP/1.1 200 OK", [("Content-Length", "100")]), b"half")
        else:
            server.send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]), chunk(b"half"))
        server.socket.close()
        with pytest.raises((Ended, ConnectionResetError)):
            ends.client.answer()


# --- Upgrades ------------------------------------------------------------------------------------------------------
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
           ("Sec-WebSocket-Version", "13")]
UPGRADED = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")]


def test_an_upgrade_becomes_a_tunnel_after_the_servers_101(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("GET", "/chat", UPGRADE)
        server = ends.accept()
        request = server.request()
        assert request.get("Upgrade") == "websocket" and "upgrade" in request.get("Connection").lower()
        server.send(head("HTTP/1.1 101 Switching Protocols", UPGRADED), b"\x81\x02hi")
        assert ends.client.answer().status == 101 and ends.client.take(4) == b"\x81\x02hi"
        ends.client.send(b"\x00GET / HTTP/1.1\r\n\r\n\xff" * 1000)
        assert server.take(20_000) == b"\x00GET / HTTP/1.1\r\n\r\n\xff" * 1000
        ends.client.socket.shutdown(socket.SHUT_WR)
        assert server.at_end()
        server.send(b"last words")
        server.socket.close()
        assert read_all(ends.client.socket) == b"last words"


def test_an_upgrade_that_the_server_does_not_take_stays_http(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("GET", "/chat", UPGRADE)
        server = ends.accept()
        server.request()
        server.reply(200, body=b"no")
        assert ends.client.answer().body == b"no"
        ends.client.send_request("GET", "/after")
        assert server.request().target == "/after"


@weir_only
def test_an_upgrade_to_h2c_is_stripped(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("GET", "/", [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
                                              ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")])
        server = ends.accept()
        names = {name.lower() for name, _ in server.request().fields}
        assert not {"upgrade", "http2-settings"} & names
        server.reply(200, body=b"ok")
        assert ends.client.answer().body == b"ok"


@weir_only
def test_connect_is_refused_where_no_policy_or_route_allows_it(mesh):
    with mesh.both_ends() as ends:
        ends.client.send(head("CONNECT inner.example:443 HTTP/1.1", [("Host", "inner.example:443")]))
        assert 400 <= ends.client.answer().status < 600
        ends.nothing_arrives()
    mesh.entry("node-1", kind="request", reason="upgrade_refused")


# --- Connections -----------------------------------------------------------------------------------------------------
def test_a_client_that_goes_away_is_gone_for_the_server_at_once(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request()
        server = ends.accept()
        server.request()
        server.send(head("HTTP/1.1 200 OK", [("Transfer-Encoding", "chunked")]), chunk(b"first"))
        ends.client.head()
        ends.client.socket.close()
        server.socket.settimeout(3)
        try:
            assert server.socket.recv(1) == b""
        except ConnectionResetError:
            pass


@weir_only
def test_a_pooled_connection_that_had_died_costs_the_client_nothing(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("GET", "/1")
        server = ends.accept()
        server.request()
        server.reply(200, body=b"one")
        assert ends.client.answer().body == b"one"
        server.socket.close()
        ends.client.send_request("GET", "/2")
        other = ends.accept()
        assert other.request().target == "/2"
        other.reply(200, body=b"two")
        assert ends.client.answer().body == b"two"


@proxied
def test_a_connection_that_the_server_wants_closed_is_not_used_again(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("GET", "/1")
        ends.accept().request()
        ends.servers[0].reply(200, [("Connection", "close")], b"one")
        assert ends.client.answer().body == b"one"
        ends.client.send_request("GET", "/2")
        other = ends.accept()
        assert other.request().target == "/2"
        other.reply(200, body=b"two")
        assert ends.client.answer().body == b"two"


class Flood(threading.Thread):
    """Sends bytes for ever, as fast as it may; `sent` tells how far it is."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection, self.sent, self.moved = connection, 0, time.monotonic()
        connection.settimeout(60)

    def run(self):
        try:
            while True:
                self.sent, self.moved = self.sent + self.connection.send(b"z" * 65536), time.monotonic()
        except OSError:
            pass

    def stalled(self):
        return time.monotonic() - self.moved > 1


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_stalled_reader_stalls_its_writer_and_nobody_else(mesh, direction):
    with mesh.both_ends() as ends:
        ends.client.send_request("POST", "/", [("Content-Length", str(1 << 40))])
        server = ends.accept()
        server.request(with_body=False)
        if direction == "down":
            server.send(head("HTTP/1.1 200 OK", [("Content-Length", str(1 << 40))]))
        flood = Flood((server if direction == "down" else ends.client).socket)
        flood.start()
        eventually(flood.stalled, 20)
        assert flood.sent < 64 * MIB, "somebody reads what the application does not"
        begun = time.monotonic()
        assert mesh.ask(service=WEB_V2).status == 200 and time.monotonic() - begun < 2
