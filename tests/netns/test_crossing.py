"""WebSockets that one version of HTTP asks for and the other serves (RFC 8441 section 5), with real libraries at both ends.

python3-websockets speaks HTTP/1.1, python3-h2 HTTP/2; frames are websockets' on either side.
"""

import asyncio
import contextlib
import threading

import pytest
import websockets
from h2.settings import SettingCodes
from websockets.frames import OP_TEXT, Frame
from websockets.streams import StreamReader

from h2_ends import H2End
from http_ends import End, Ended
from http_world import HTTP, LENT, LENT_H2, WEB, HttpMesh, weir_only

MESH = HttpMesh
pytestmark = weir_only

OPENING = [(":protocol", "websocket"), ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")]
TAKES_IT = {SettingCodes.ENABLE_CONNECT_PROTOCOL: 1}


class Frames:
    """WebSocket frames on a stream of HTTP/2."""

    def __init__(self, end, stream):
        self.end, self.stream, self.masked = end, stream, end.h2.config.client_side
        self.reader, self.seen = StreamReader(), 0

    def say(self, text):
        self.end.send(self.stream.id, Frame(OP_TEXT, text.encode()).serialize(mask=self.masked))

    def hear(self):
        parsing = Frame.parse(self.reader.read_exact, mask=not self.masked)
        while True:
            try:
                next(parsing)
            except StopIteration as whole:
                return whole.value.data.decode()
            self.end.wait(lambda: len(self.stream.data) > self.seen or self.stream.over)
            assert len(self.stream.data) > self.seen, f"no more comes: {self.stream}"
            self.reader.feed_data(self.stream.data[self.seen:])
            self.seen = len(self.stream.data)


@contextlib.contextmanager
def echo_server(listener):
    """The library's own server on this socket, in a thread; gives the paths and subprotocols it was asked for."""
    loop, ready, asked = asyncio.new_event_loop(), threading.Event(), []

    async def echo(connection, path=None):
        asked.append((path or connection.path, connection.subprotocol))
        async for message in connection:
            await connection.send(message)

    async def serve():
        async with websockets.serve(echo, sock=listener, subprotocols=["chat"], compression=None, close_timeout=1):
            ready.set()
            await stop

    stop = loop.create_future()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield asked
    finally:
        loop.call_soon_threadsafe(stop.set_result, None)
        thread.join(10)


def connect(client, path="/chat"):
    return client.ask("CONNECT", path, OPENING, end=False)


def test_an_extended_connect_reaches_a_websocket_of_http_1_as_its_route_leads_a_get(mesh):
    mesh.route("chat", {"matches": [{"method": "GET", "path": {"type": "PathPrefix", "value": "/chat"}}],
                        "backendRefs": [{"name": "web-v2", "port": LENT}]})
    client = mesh.h2()
    with client.socket, mesh.web_3.listen(LENT) as listener, echo_server(listener) as asked:
        stream = connect(client, "/chat?room=1")
        client.wait(lambda: stream.fields)
        assert stream.status == 200 and stream.get("sec-websocket-protocol") == "chat"
        assert stream.get("sec-websocket-accept") is None and stream.get("upgrade") is None
        frames = Frames(client, stream)
        for text in ("hello", "é" * 70_000, "bye"):
            frames.say(text)
            assert frames.hear() == text
        assert asked == [("/chat?room=1", "chat")]
        beside = connect(client)
        client.wait(lambda: beside.fields)
        Frames(client, beside).say("two of one connection")
        client.h2.end_stream(stream.id)
        client.flush()
        client.answer(stream)
        assert stream.ended and not beside.over
    entry = mesh.entry("node-1", reporter="source", path="/chat", method="GET", protocol="http/2")
    assert entry["status"] == 200


def test_what_a_client_says_before_its_tunnel_is_agreed_to_is_no_request_of_its_server(mesh):
    mesh.route("chat", {"backendRefs": [{"name": "web-v2", "port": LENT}]})
    client = mesh.h2()
    with client.socket, mesh.web_3.listen(LENT) as listener:
        stream = connect(client)
        client.send(stream.id, b"GET /hidden HTTP/1.1\r\nHost: web.servers\r\n\r\n")
        listener.settimeout(10)
        server = End(listener.accept()[0])
        with server.socket:
            server.socket.settimeout(10)
            request = server.request()
            assert request.method == "GET" and request.get("Upgrade") == "websocket" and not request.body
            server.socket.settimeout(1)
            with pytest.raises(TimeoutError):
                pytest.fail(f"its server was asked for {server.request()}")
            server.reply(403, body=b"no")
            client.wait(lambda: stream.over)
            assert (stream.status, stream.data) == (403, b"no")
            with pytest.raises((TimeoutError, Ended, ConnectionResetError)):
                pytest.fail(f"its server was asked for {server.request()}")


def test_a_server_that_answers_without_switching_or_accepts_another_key_has_not_agreed(mesh):
    mesh.route("chat", {"backendRefs": [{"name": "web-v2", "port": LENT}]})
    answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
               b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"]
    client = mesh.h2()
    with client.socket, mesh.web_3.listen(LENT) as listener:
        listener.settimeout(10)
        for answer in answers:
            stream = connect(client)
            server = End(listener.accept()[0])
            with server.socket:
                server.socket.settimeout(10)
                server.request()
                server.send(answer)
                client.answer(stream)
            assert (stream.status, stream.data) == (502, b"bad_response\n")


def ask_by_library(mesh, talk):
    """The library's own client of HTTP/1.1, from a pod to the Service web."""
    async def run():
        connection = mesh.alice.connect(*mesh.address(WEB, HTTP))
        async with websockets.connect("ws://web.servers/chat?room=2", sock=connection, compression=None,
                                      subprotocols=["chat"]) as client:
            await talk(client)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_websocket_of_http_1_reaches_a_server_of_http_2_by_extended_connect(mesh):
    mesh.route("chat", {"backendRefs": [{"name": "web-v2", "port": LENT_H2}]})
    heads = []

    def serve(listener):
        with listener.accept()[0] as connection:
            connection.settimeout(10)
            server = H2End(connection, client=False, settings=TAKES_IT)
            stream = server.accept()
            heads.append(stream)
            server.reply(stream, 200, [("sec-websocket-protocol", "chat")], end=False)
            frames = Frames(server, stream)
            with contextlib.suppress(UnicodeDecodeError, AssertionError):  # the closing frame is no text
                while True:
                    frames.say(frames.hear())
            server.h2.end_stream(stream.id)
            server.flush()

    async def talk(client):
        assert client.subprotocol == "chat"
        for text in ("hello", "é" * 70_000, "bye"):
            await client.send(text)
            assert await client.recv() == text

    with mesh.web_3.listen(LENT_H2) as listener:
        listener.settimeout(10)
        server = threading.Thread(target=serve, args=(listener,), daemon=True)
        server.start()
        ask_by_library(mesh, talk)
        server.join(10)
    [head] = heads
    assert [head.get(n) for n in (":method", ":protocol", ":path", "sec-websocket-version")] == \
        ["CONNECT", "websocket", "/chat?room=2", "13"]
    assert head.get("sec-websocket-key") is None and head.get("upgrade") is None


def test_a_websocket_to_a_server_of_http_2_that_takes_none_is_answered_501(mesh):
    mesh.route("chat", {"backendRefs": [{"name": "web-v2", "port": LENT_H2}]})

    def serve(listener):
        with listener.accept()[0] as connection, contextlib.suppress(Ended, ConnectionResetError):
            server = H2End(connection, client=False)
            server.wait(lambda: server.fresh)
            server.reply(server.fresh[0])

    with mesh.web_3.listen(LENT_H2) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            ask_by_library(mesh, None)
    assert refused.value.status_code == 501
