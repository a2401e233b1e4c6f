"""HTTP/2 and gRPC through the mesh, both ends in hand: streams, resets, trailers, flow control, GOAWAY."""

import time

import pytest

from h2_ends import GRPC_FIELDS, call, framed
from http_world import GRPC, H2, LENT_H2, UNSAID_H2, WEB_V2, HttpMesh, beyond_haproxy, do, proxied, weir_only

MESH = HttpMesh
MIB = 1 << 20
NO_ERROR, CANCEL, REFUSED_STREAM, ENHANCE_YOUR_CALM = 0, 8, 7, 11


def begun(ends, body=b"", **asked):
    """A request under way: (the client's Stream, the server's end, the server's Stream)."""
    mine = ends.client.ask("POST", "/under/way", body=body, **asked)
    server = ends.accept()
    return mine, server, server.accept()


@pytest.mark.parametrize("port", [H2, GRPC, UNSAID_H2])
def test_http_2_passes_with_and_without_a_hint(mesh, port):
    if port == UNSAID_H2 and mesh.between == "haproxy":
        port = H2  # HAProxy must be told what the server speaks.
    stream = mesh.ask_h2("PUT", "/a%7Eb?c", [("x-one", "1"), ("cookie", "a=1"), ("cookie", "b=2")], b"body", port=port)
    assert stream.status == 200 and b'"/a%7Eb?c"' in stream.data and b'"length": 4' in stream.data
    assert b'"x-one", "1"' in stream.data and b"a=1" in stream.data and b"b=2" in stream.data


def test_a_hundred_streams_share_a_connection_and_none_waits_for_another(mesh):
    end = mesh.h2()
    with end.socket:
        slow = end.ask(fields=do(sleep=1))
        quick = [end.ask("POST", f"/{n}", body=b"z" * n * 100) for n in range(90)]
        end.wait(lambda: all(s.over for s in quick))
        assert not slow.over and all(s.status == 200 and f'"/{n}"'.encode() in s.data for n, s in enumerate(quick))
        assert end.answer(slow).status == 200


@pytest.mark.parametrize("size", [0, 1, 65_535, 5 * MIB])
def test_streams_of_any_size_pass_both_ways(mesh, size):
    end = mesh.h2()
    with end.socket:
        stream = end.answer(end.ask("POST", "/", do(bytes=size), b"z" * size))
        assert stream.status == 200 and stream.data == b"x" * size


def test_trailers_of_both_sides_pass(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        mine, server, theirs = begun(ends, end=False)
        ends.client.send(mine.id, b"data")
        ends.client.h2.send_headers(mine.id, [("x-sum", "7")], end_stream=True)
        ends.client.flush()
        server.wait(lambda: theirs.ended)
        assert (theirs.data, theirs.trailers) == (b"data", [("x-sum", "7")])
        server.reply(theirs, 200, [], b"answer", [("x-end", "8")])
        assert ends.client.answer(mine).trailers == [("x-end", "8")]


def test_a_clients_cancel_reaches_the_server_at_once_and_only_that_stream(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        mine, server, theirs = begun(ends)
        other = ends.client.ask("GET", "/other")
        also = server.accept()
        ends.client.cancel(mine)
        server.socket.settimeout(2)
        server.wait(lambda: theirs.reset is not None)
        assert theirs.reset == CANCEL and also.reset is None
        server.reply(also, 200, [], b"still here")
        assert ends.client.answer(other).data == b"still here"


@beyond_haproxy
def test_a_servers_reset_keeps_its_meaning(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        mine, server, theirs = begun(ends)
        server.reply(theirs, 200, end=False)
        ends.client.wait(lambda: mine.fields)
        server.cancel(theirs, ENHANCE_YOUR_CALM)
        assert ends.client.answer(mine).reset == ENHANCE_YOUR_CALM


@beyond_haproxy
def test_an_early_answer_ends_the_request_without_an_error(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        mine, server, theirs = begun(ends, end=False)
        server.reply(theirs, 200, [], b"enough")
        server.cancel(theirs, NO_ERROR)
        ends.client.wait(lambda: mine.over)
        assert mine.data == b"enough" and mine.reset in (None, NO_ERROR)


@proxied
def test_a_stalled_reader_stalls_its_stream_and_no_other(mesh):
    end = mesh.h2(service=WEB_V2)  # one pod, so that both streams share their connection to it too
    with end.socket:
        end.acknowledge = False
        stalled = end.ask(fields=do(bytes=8 * MIB))
        end.wait(lambda: len(stalled.data) >= 65_535 or stalled.over)
        assert not stalled.over, "more than the window came"
        end.h2.increment_flow_control_window(MIB)  # of the connection alone
        end.flush()
        assert end.answer(end.ask("GET", "/other")).status == 200
        end.acknowledge = True
        end.h2.increment_flow_control_window(16 * MIB)
        end.h2.increment_flow_control_window(16 * MIB, stalled.id)
        end.flush()
        assert len(end.answer(stalled).data) == 8 * MIB


@proxied
def test_a_server_that_says_goaway_costs_no_request(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        mine, server, theirs = begun(ends)
        server.h2.close_connection(last_stream_id=theirs.id)
        server.flush()
        second = ends.client.ask("GET", "/second")
        other = ends.accept()
        taken = other.accept()
        other.reply(taken, 200, [], b"second")
        assert ends.client.answer(second).data == b"second"


@weir_only
def test_a_refused_stream_is_tried_again_elsewhere_once(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        mine, server, theirs = begun(ends)
        server.cancel(theirs, REFUSED_STREAM)
        again = server.accept()
        server.reply(again, 200, [], b"again")
        assert ends.client.answer(mine).data == b"again"


@weir_only
@pytest.mark.parametrize("fields", [
    [("Upper", "case")], [("connection", "close")], [("transfer-encoding", "chunked")], [("te", "gzip")],
    [("x-space", " edge ")], [(":late", "pseudo")], [("content-length", "7")]], ids=lambda f: f[0][0])
def test_what_is_malformed_is_a_stream_error_and_reaches_nobody(mesh, fields):
    end = mesh.h2(validate=False)
    with end.socket:
        bad = end.ask("POST", "/bad", fields, b"1234")
        good = end.ask("GET", "/good")
        assert end.answer(bad).reset == 1 or bad.status == 400
        assert end.answer(good).status == 200, "the connection goes on"
    # How long a body is shows at its end alone: what came before was passed on, and is reset.
    if fields[0][0] != "content-length":
        assert not [e for pod in ("web-1", "web-2", "web-3") for e in mesh.requests(pod, target="/bad")]


@weir_only
@pytest.mark.parametrize("flood", ["resets", "pings", "settings"])
def test_a_flood_ends_its_connection_with_enhance_your_calm(mesh, flood):
    end = mesh.h2()
    with end.socket:
        try:
            for _ in range(20_000):
                if flood == "resets":
                    end.cancel(end.ask())
                elif flood == "pings":
                    end.h2.ping(b"12345678")
                else:
                    end.h2.update_settings({4: 65_535})
                end.flush()
                end.pump(0)
                if end.goaway or end.over:
                    break
        except (ConnectionError, TimeoutError):
            end.over = True
        assert end.goaway or end.over, "nobody minded"
        assert end.goaway is None or end.goaway.error_code == ENHANCE_YOUR_CALM
    mesh.entry("node-1", reason="flood")
    assert mesh.ask_h2(client="bob").status == 200


# --- gRPC ----------------------------------------------------------------------------------------------------------
def test_grpc_calls_pass_with_trailers_and_with_trailers_only(mesh):
    end = mesh.h2(port=GRPC)
    with end.socket:
        status, said, stream = call(end, "/weir.test.Echo/Say", b"hello")
        assert (status, said[0]) == (0, b"hello") and stream.get("content-type") == "application/grpc"
        assert call(end, "/weir.test.Echo/Say", b"", do(grpc=5))[0] == 5


def test_grpc_streams_flow_both_ways_at_once(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        mine, server, theirs = begun(ends, fields=GRPC_FIELDS, end=False)
        server.reply(theirs, 200, [("content-type", "application/grpc")], end=False)
        for number in range(10):
            ends.client.send(mine.id, framed(b"ping %d" % number))
            server.wait(lambda: theirs.data.endswith(b"ping %d" % number))
            server.send(theirs.id, framed(b"pong %d" % number))
            ends.client.wait(lambda: mine.data.endswith(b"pong %d" % number))
        ends.client.send(mine.id, b"", end=True)
        server.wait(lambda: theirs.ended)
        server.h2.send_headers(theirs.id, [("grpc-status", "0")], end_stream=True)
        server.flush()
        assert ends.client.answer(mine).get("grpc-status") == "0"


@weir_only
def test_a_grpc_call_that_the_proxy_answers_ends_with_a_grpc_status(mesh):
    end = mesh.h2(service="10.96.0.5", port=GRPC)  # the Service without a pod
    with end.socket:
        status, _, stream = call(end, "/weir.test.Echo/Say")
    assert (stream.status, status, stream.get("content-type")) == (200, 14, "application/grpc")


@weir_only
def test_a_grpc_timeout_is_honoured_and_passed_on_reduced(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        started = time.monotonic()
        mine, server, theirs = begun(ends, fields=GRPC_FIELDS + [("grpc-timeout", "700m")])
        assert theirs.get("grpc-timeout")[-1] in "mun" and theirs.get("grpc-timeout") != "700m"
        assert ends.client.answer(mine).get("grpc-status") == "4"
        assert 0.5 < time.monotonic() - started < 2
        server.wait(lambda: theirs.reset is not None)


@weir_only
def test_pings_find_a_server_that_is_there_no_more(mesh):
    with mesh.both_ends(port=LENT_H2) as ends:
        mine, _, _ = begun(ends)
        # The server's end answers no PING, since nobody pumps it: 30 s of silence and 20 s of waiting end the stream.
        ends.client.socket.settimeout(70)
        ends.client.wait(lambda: mine.over)
        assert mine.reset is not None or mine.status >= 500
