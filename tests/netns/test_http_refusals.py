"""What HTTP/1.1 is refused, on either side, and what is no HTTP at all: one scenario for each rule.

The garden (tests/garden) tries these rules by the thousand; here each has its name, its status, its reason in the log.
"""

import time

import pytest

from http_ends import Ended, head
from http_world import LENT_UNSAID, OPAQUE, WEB_V2, HttpMesh, proxied, weir_only

MESH = HttpMesh


BAD = {
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
    "a length with a sign": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nbody",
    "chunked not last": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "identity": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bad chunk size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: a\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n",
    "an empty name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a Host that is none": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path without a slash": b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
}


@weir_only
@pytest.mark.parametrize("what", BAD)
def test_what_has_no_single_meaning_is_refused_and_its_connection_closed(mesh, what):
    with mesh.both_ends() as ends:
        ends.client.send(BAD[what])
        answer = ends.client.answer()
        assert answer.status == 400 and ends.client.at_end()
        ends.nothing_arrives()
    entry = mesh.entry("node-1", kind="request", reason="bad_request")
    assert entry["status"] == 400


@weir_only
def test_the_absolute_form_wins_and_rewrites_host(mesh):
    request = head("GET http://inner.example:81/p?q HTTP/1.1", [("Host", "outer.example")])
    with mesh.both_ends() as ends:
        ends.client.send(request)
        received = ends.accept().request()
    assert (received.target, received.values("Host")) == ("/p?q", ["inner.example:81"])


@weir_only
@pytest.mark.parametrize("request_head,status", [
    (b"GET /" + b"u" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Large: " + b"v" * 70_000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Many: v\r\n" * 101 + b"\r\n", 431),
], ids=["target", "field", "fields"])
def test_a_head_above_its_limit_has_a_clear_answer(mesh, request_head, status):
    with mesh.both_ends() as ends:
        ends.client.send(request_head)
        assert ends.client.answer().status == status
        ends.nothing_arrives()
    mesh.entry("node-1", kind="request", reason="head_too_large", status=status)


@proxied
def test_a_head_that_never_ends_is_given_up_after_ten_seconds(mesh):
    end = mesh.http()
    with end.socket:
        end.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        begun = time.monotonic()
        try:
            assert end.answer().status in (408, 400)
        except (Ended, ConnectionResetError):
            pass
        assert 8 < time.monotonic() - begun < 13


@weir_only
@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
    b"this is no HTTP at all\r\n\r\n"])
def test_a_bad_answer_is_a_502_and_its_connection_dies(mesh, answer):
    with mesh.both_ends() as ends:
        server = ends.asked()
        server.send(answer)
        assert ends.client.answer().status == 502
        try:
            assert server.head() is None
        except ConnectionResetError:
            pass
    mesh.entry("node-1", kind="request", reason="bad_response", status=502)


@weir_only
@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nX-Large: " + b"v" * 70_000,
    b"HTTP/1.1 200 OK\r\n" + b"X-Many: v\r\n" * 101,
    (b"HTTP/1.1 103 Hints\r\nLink: " + b"l" * 8000 + b"\r\n\r\n") * 9], ids=["field", "fields", "1xx heads"])
def test_an_answers_heads_above_their_limit_are_a_502_and_no_fault_of_the_clients(mesh, answer):
    with mesh.both_ends() as ends:
        server = ends.asked()
        server.send(answer)
        assert ends.client.answer().status == 502
    mesh.entry("node-1", kind="request", reason="head_too_large", status=502)


@weir_only
def test_bytes_after_an_answer_are_nobodys_and_end_its_connection(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("GET", "/1")
        server = ends.accept()
        server.request()
        server.reply(200, body=b"one")
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        assert ends.client.answer().body == b"one"
        time.sleep(0.1)
        ends.client.send_request("GET", "/2")
        other = ends.accept()
        assert other.request().target == "/2"
        other.reply(200, body=b"two")
        assert ends.client.answer().body == b"two"


# --- What is no HTTP -----------------------------------------------------------------------------------------------
@weir_only
def test_what_is_not_http_passes_untouched_where_no_hint_says_http(mesh):
    with mesh.web_3.listen(LENT_UNSAID) as listener, mesh.alice.connect(WEB_V2, LENT_UNSAID) as client:
        client.sendall(b"\x00\x01 not HTTP\r\n\r\n")
        server = listener.accept()[0]
        with server:
            assert server.recv(100) == b"\x00\x01 not HTTP\r\n\r\n"
            server.sendall(b"neither")
            assert client.recv(100) == b"neither"


@weir_only
def test_a_server_first_protocol_waits_no_longer_than_the_deadline_of_detection(mesh):
    with mesh.web_3.listen(LENT_UNSAID) as listener, mesh.alice.connect(WEB_V2, LENT_UNSAID) as client:
        begun = time.monotonic()
        server = listener.accept()[0]
        with server:
            server.sendall(b"220 speaks first\r\n")
            assert client.recv(100) == b"220 speaks first\r\n"
            assert time.monotonic() - begun < 1


@weir_only
def test_malformed_http_on_an_opaque_port_is_nobodys_business(mesh):
    with mesh.alice.connect("10.96.0.1", OPAQUE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n")
        client.settimeout(1)
        try:
            client.recv(100)
        except (TimeoutError, ConnectionResetError):
            pass
    assert not mesh.entries("node-1", kind="request")
