"""Lanes that end badly, by a peer of the mesh protocol with a right certificate, in either role.

`WAYS` are a dialler's, for endings.py. Run as `ending_lanes.py PORT CERTIFICATE KEY` in a pod it is an acceptor that a proxy
takes for another proxy, and that ends the lanes it gets in each way in turn.
"""

import contextlib
import itertools
import socket
import sys
import threading

import apps
import mesh_peer
from mesh_peer import Ended, Peer, first_flight, frame, opening
from world import reset

ANSWER = frame(mesh_peer.DATA, 1, bytes(10_000))
CUT = frame(mesh_peer.PING, 0, bytes(8))[:5]
CANCELLED = b"\x0c"
GOAWAY = frame(mesh_peer.GOAWAY, 0, mesh_peer.number(0) + b"\4")


# --- As the acceptor -------------------------------------------------------------------------------------------------
def accepted(connection, context, *more):
    """A lane whose first session is accepted and answered, and what is said then."""
    peer = Peer(connection, context, server=True)
    peer.send(mesh_peer.settings())
    peer.until(mesh_peer.DATA)
    peer.send(frame(mesh_peer.OPENED, 1), ANSWER, *more)
    return peer


def hears_the_hello(connection, _):
    connection.recv(65536)


def resets_the_hello(connection, _):
    connection.recv(65536)
    reset(connection)


def answers_in_plaintext(connection, _):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


def says_half_a_hello(connection, _):
    connection.recv(65536)
    connection.sendall(b"\x16\3\3\x40\0\2\xff\xff\xff" + bytes(1000))
    reset(connection)


def is_cut_off(connection, context):
    accepted(connection, context).close()


def is_reset(connection, context):
    accepted(connection, context).tls.close()
    reset(connection)


def ends_in_order(connection, context):
    accepted(connection, context).shutdown()


def says_goaway(connection, context):
    accepted(connection, context, GOAWAY).close()


def breaks_a_rule(connection, context):
    accepted(connection, context, frame(mesh_peer.DATA, 999, b"x")).ending()


def resets_the_session_and_stops_in_a_frame(connection, context):
    accepted(connection, context, frame(mesh_peer.RST, 1, CANCELLED), CUT).close()


ACCEPTORS = [hears_the_hello, resets_the_hello, answers_in_plaintext, says_half_a_hello, is_cut_off, is_reset, ends_in_order,
             says_goaway, breaks_a_rule, resets_the_session_and_stops_in_a_frame]


def acceptor(certificate, key):
    context, turns = mesh_peer.server_context(certificate, key), itertools.cycle(ACCEPTORS)

    class Lane(apps.Handler):
        def handle(self):
            self.request.settimeout(10)
            with contextlib.suppress(OSError, Ended):
                next(turns)(self.request, context)

    return Lane


# --- As the dialler: connected to a pod's port, where the server of raw streams listens (ending_servers.py) -----------
def dialled(connection, context, *more):
    """A lane with an echo on session 1 that works, and what is said then."""
    peer = Peer(connection, context)
    me = connection.getsockname()[0]
    peer.send(mesh_peer.settings(), opening(1, me), frame(mesh_peer.DATA, 1, b"e"))
    assert peer.echoes(1)
    peer.send(*(opening(session, me) for session in (2, 3)), frame(mesh_peer.DATA, 2, b"b"), *more)
    return peer


def half_a_hello(connection, context):
    connection.sendall(first_flight(context)[3][:100])
    return "left"


def a_hello_then_rst(connection, context):
    connection.sendall(first_flight(context)[3])
    reset(connection)
    return "left"


def a_hello_answered_then_rst(connection, context):
    connection.sendall(first_flight(context)[3])
    connection.recv(65536)
    reset(connection)
    return "left"


def a_hello_then_garbage(connection, context):
    connection.sendall(first_flight(context)[3] + b"\x17\3\3\x40\0" + bytes(16384))
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return "ended"


def cut_off(connection, context):
    dialled(connection, context).close()
    return "left"


def reset_under_sessions(connection, context):
    dialled(connection, context).tls.close()
    reset(connection)
    return "left"


def closed_in_order_under_sessions(connection, context):
    peer = dialled(connection, context)
    peer.tls.settimeout(10)
    with contextlib.suppress(OSError):  # DATA comes where close_notify is waited for
        peer.tls.unwrap()
    peer.close()
    return "left"


def half_closed_sessions_then_cut_off(connection, context):
    dialled(connection, context, *(frame(mesh_peer.FIN, session) for session in (1, 2, 3))).close()
    return "left"


def sessions_reset_then_cut_off_in_a_frame(connection, context):
    dialled(connection, context, *(frame(mesh_peer.RST, session, CANCELLED) for session in (1, 2, 3)), CUT).close()
    return "left"


def goaway_then_cut_off(connection, context):
    dialled(connection, context, GOAWAY).close()
    return "left"


def a_broken_rule(connection, context):
    peer = dialled(connection, context, frame(mesh_peer.DATA, 999, b"x"))
    ended = peer.ending()[1]
    peer.close()
    return ended


WAYS = {way.__name__.replace("_", " "): (way, {"left"}) for way in (
    half_a_hello, a_hello_then_rst, a_hello_answered_then_rst, cut_off, reset_under_sessions, closed_in_order_under_sessions,
    half_closed_sessions_then_cut_off, sessions_reset_then_cut_off_in_a_frame, goaway_then_cut_off)}
WAYS["a hello then garbage"] = a_hello_then_garbage, {"ended"}
WAYS["a broken rule"] = a_broken_rule, {"closed", "reset"}


def main(port, certificate, key):
    threading.Thread(target=apps.Server(("::", int(port)), acceptor(certificate, key)).serve_forever).start()
    print("serves", flush=True)


if __name__ == "__main__":
    socket.setdefaulttimeout(10)
    main(*sys.argv[1:])
