"""The applications and both ends of the HTTP scenarios themselves, in the lab without Weir: what they say is what was sent."""

import socket

import pytest

from h2_ends import GRPC_FIELDS, call, framed
from http_ends import Ended, chunk, head
from http_world import GRPC, LENT_H2, HttpMesh, do, eventually

MESH, MESH_OPTIONS = HttpMesh, {"between": "direct"}


def test_the_application_says_what_it_saw_and_logs_it(mesh):
    answer = mesh.ask("PUT", "/a%2Fb?c=d", [("X-Odd-Case", "v")], b"body")
    seen = answer.json
    assert (seen["pod"], seen["version"], seen["method"], seen["target"]) == ("web-3", "v2", "PUT", "/a%2Fb?c=d")
    assert seen["length"] == 4 and ["X-Odd-Case", "v"] in seen["headers"] and seen["client"] == mesh.alice.v4
    assert [e["target"] for e in mesh.requests("web-3")] == ["/a%2Fb?c=d"]


def test_the_application_does_as_it_is_told(mesh):
    assert mesh.ask(fields=do("web-3", status=503)).status == 503
    assert mesh.ask(fields=do("v2", bytes=100_000)).body == b"x" * 100_000
    assert mesh.ask(fields=do("web-1", status=503)).status == 200, "another pod's order"
    assert mesh.ask(fields=do(trailers=[["X-End", "yes"]])).trailers == [("X-End", "yes")]
    assert mesh.ask(fields=do(headers=[["X-More", "1"]])).get("X-More") == "1"
    with pytest.raises((Ended, ConnectionResetError)):
        mesh.ask(fields=do(reset=True))
    answer = mesh.ask("HEAD", "/")
    assert answer.body == b"" and int(answer.get("Content-Length")) > 0


def test_the_application_notices_a_client_that_goes_away(mesh):
    end = mesh.http()
    end.send_request(fields=do(sleep=5))
    end.socket.close()
    h2 = mesh.h2()
    h2.cancel(h2.ask(fields=do(sleep=5)))
    h2.pump(0.2)
    h2.socket.close()
    eventually(lambda: len(mesh.requests("web-3", "gone")) == 2)


def test_http_2_streams_are_answered_as_told_and_out_of_order(mesh):
    end = mesh.h2()
    with end.socket:
        slow, quick = end.ask(fields=do(sleep=0.4)), end.ask("POST", "/q", do(bytes=200_000), b"z" * 200_000)
        assert len(end.answer(quick).data) == 200_000 and not slow.over
        assert end.answer(slow).status == 200
        reset = end.answer(end.ask(fields=do(reset=True)))
        assert reset.reset == 2
        told = end.answer(end.ask(fields=do(trailers=[["x-end", "yes"]])))
        assert told.trailers == [("x-end", "yes")]


def test_grpc_calls_echo_their_messages_and_end_with_a_status(mesh):
    end = mesh.h2(port=GRPC)
    with end.socket:
        status, said, stream = call(end, "/weir.test.Echo/Say", b"hello")
        assert status == 0 and said[0] == b"hello" and b'"pod": "web-3"' in said[1] and stream.trailers
        status, said, stream = call(end, "/weir.test.Echo/Say", b"", do(grpc=7))
        assert (status, said, stream.trailers) == (7, [], [])
        two = end.answer(end.ask("POST", "/a.B/C", GRPC_FIELDS, framed(b"1") + framed(b"2")))
        assert two.get("grpc-status") == "0"


def test_a_scenario_holds_both_ends_of_an_exchange(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("POST", "/up", [("Transfer-Encoding", "chunked"), ("Trailer", "X-T")])
        server = ends.accept()
        request = server.request(with_body=False)
        ends.client.send(chunk(b"one"), chunk(b"two"), b"0\r\nX-T: 1\r\n\r\n")
        server.body(request, False)
        assert (request.body, request.trailers, request.chunked) == (b"onetwo", [("X-T", "1")], True)
        server.send(head("HTTP/1.1 103 Early Hints", [("Link", "</x>")]))
        server.send(head("HTTP/1.1 200 OK"), b"to the end")
        server.socket.shutdown(socket.SHUT_WR)
        answer = ends.client.answer()
        assert answer.body == b"to the end" and [m.status for m in answer.interim] == [103]


def test_a_scenario_holds_both_ends_of_an_http_2_connection(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        client, server = ends.client, ends.accept()
        asked = client.ask("POST", "/x", [("te", "trailers")], b"up")
        taken = server.accept()
        server.wait(lambda: taken.ended)
        assert taken.data == b"up" and taken.get(":authority") == "web.servers"
        server.reply(taken, 200, [("a", "b")], b"down", [("t", "1")])
        assert client.answer(asked).data == b"down" and asked.trailers == [("t", "1")]
