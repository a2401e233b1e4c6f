"""What TLS may meet before it knows its peer, and from one that it knows: a ClientHello in every cut, handshakes that are
begun and left, floods of KeyUpdates, silence, truncation. See attacks.py for the gates; an ordinary connection is a lane
with one request here. test_hostile_floods.py has the floods of frames.
"""

import contextlib
import os
import socket
import time

import pytest

import hostile
import mesh_peer
from certificates import ALICE
from hostile import GET, certificate, context, dial, lane, scales  # fixtures among them
from http_world import HttpMesh, weir_only
from impostor import impostor  # a fixture
from mesh_peer import ALERT, APPLICATION_DATA, Ended, Records, first_flight, frame, handshaken, in_records, opening, padded
from mesh_peer import settings
from test_attacks import neighbour  # a fixture
from world import LENT, LINGER_RESET

__all__ = ["certificate", "context", "impostor", "neighbour", "scales"]
MESH = HttpMesh
pytestmark = weir_only
UNKNOWN = frame(99)
MANY = 10_000


# --- What must work, and what must be told ---------------------------------------------------------------------------
CUTS = {
    "byte by byte": lambda hello: [bytes([byte]) for byte in hello],
    "in records of one byte": lambda hello: [in_records(hello, 1)],
    "in records of one byte, byte by byte": lambda hello: [bytes([byte]) for byte in in_records(hello, 1)],
    "in two records, the second with a pause": lambda hello: paused(in_records(hello, 200), 205),
    "cut in its header": lambda hello: paused(hello, 3),
}


def paused(sent, at):
    yield sent[:at]
    time.sleep(0.3)  # above the deadline of detection, which counts only for a client that says nothing
    yield sent[at:]


@pytest.mark.parametrize("cut", CUTS)
def test_a_client_hello_is_understood_in_every_cut(mesh, context, cut):
    with dial(mesh) as connection:
        assert handshaken(connection, context, CUTS[cut]).startswith(settings()[:4])


def test_a_client_hello_of_15_kib_is_understood(mesh, certificate):
    offers = ["weir/1", *(f"{n:0250}" for n in range(59))]
    with dial(mesh) as connection:
        assert handshaken(connection, mesh_peer.client_context(*certificate, alpn=offers), lambda hello: [hello])


@pytest.mark.parametrize("size", [17_000, 60_000, 65_536])
def test_a_client_hello_that_is_too_long_is_refused(mesh, context, size):
    with dial(mesh) as connection, pytest.raises((Ended, ConnectionResetError)):
        handshaken(connection, context, lambda hello: [padded(hello, size)])
    mesh.entry("node-2", reporter="destination", reason="handshake_failed", verdict="failed")


def test_half_a_client_hello_that_ends_reaches_no_application(mesh, context):
    with mesh.web_3.listen() as listener:
        listener.settimeout(0.5)
        with mesh.stranger.connect(mesh.web_3.v4, LENT) as connection:
            connection.sendall(first_flight(context)[3][:100])
        mesh.entry("node-2", reporter="destination", reason="truncated", verdict="failed")
        with pytest.raises(TimeoutError):
            listener.accept()


def records(mesh, certificate):
    peer = Records(dial(mesh), *certificate)
    peer.send(settings(), opening(1, mesh.stranger.v4), frame(mesh_peer.DATA, 1, GET))
    assert peer.until(mesh_peer.DATA, 1).startswith(b"HTTP/1.1 200")
    return peer


BROKEN = {  # in one record after an ordinary request: the alert with which the proxy ends the lane
    "a record that does not open": (lambda peer: b"\x17\3\3\0\x20" + bytes(32), "BAD_RECORD_MAC"),
    "a record replayed": (lambda peer: peer.record(APPLICATION_DATA, UNKNOWN) * 2, "BAD_RECORD_MAC"),
    "a record of more than 16 KiB": (lambda peer: peer.record(APPLICATION_DATA, bytes(16_385)), "RECORD_OVERFLOW"),
    "a record of nothing but padding": (lambda peer: peer.record(0, b"", 100), "UNEXPECTED_MESSAGE"),
    "a plaintext alert": (lambda peer: b"\x15\3\3\0\2\1\0", "DECODE_ERROR"),
    "plaintext": (lambda peer: GET, "DECODE_ERROR"),
    "a ClientHello once more": (lambda peer: peer.record(mesh_peer.HANDSHAKE, b"\1\0\0\0"), "UNEXPECTED_MESSAGE"),
    "half a KeyUpdate": (lambda peer: peer.record(mesh_peer.HANDSHAKE, b"\x18\0\0"), "UNEXPECTED_MESSAGE"),
    "a KeyUpdate that asks for 2": (lambda peer: peer.record(mesh_peer.HANDSHAKE, b"\x18\0\0\1\2"), "DECODE_ERROR"),
    "33 KeyUpdates without data": (lambda peer: b"".join(peer.key_update() for _ in range(33)), "UNEXPECTED_MESSAGE"),
    "33 KeyUpdates that ask": (lambda peer: b"".join(peer.key_update(1) for _ in range(33)), "UNEXPECTED_MESSAGE"),
    "33 records without data": (lambda peer: b"".join(peer.record(APPLICATION_DATA, b"") for _ in range(33)),
                                "UNEXPECTED_MESSAGE"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_known_peer_whose_records_are_wrong_loses_its_lane_and_learns_why(mesh, certificate, what):
    make, alert = BROKEN[what]
    with records(mesh, certificate) as peer, mesh.rises("node-2", "weir_lanes_closed_total", reason="tls_error"):
        peer.raw.sendall(make(peer))
        assert alert in peer.ending()[1]
    entry = mesh.entry("node-2", reporter="destination", reason="tls_error", verdict="failed")
    assert entry["source"]["principal"] == ALICE


def test_key_updates_with_data_between_are_followed_and_answered(mesh, certificate):
    with records(mesh, certificate) as peer:
        for n in range(100):
            peer.raw.sendall(peer.key_update(n % 2) + peer.record(APPLICATION_DATA, frame(mesh_peer.DATA, 1, GET)))
            assert peer.until(mesh_peer.DATA, 1).startswith(b"HTTP/1.1 200")  # under the key that was asked for


# --- An acceptor that is none ----------------------------------------------------------------------------------------
SERVERS = {
    "garbage": (b"\x16\3\3\0\xc0" + os.urandom(0xc0), "handshake_failed"),
    "garbage that promises more": (b"\x16\3\3\x40\0" + os.urandom(200), "handshake_timeout"),
    "silence": (None, "handshake_timeout"),
    "plaintext": (b"HTTP/1.1 200 OK\r\n\r\n", "handshake_failed"),
    "a ServerHello without end": (b"\x16\3\3\x40\0\2\xff\xff\xff" + bytes(16_380), "handshake_failed"),
    "an alert": (b"\x15\3\3\0\2\2\x28", "handshake_failed"),
    "nothing, and its end": (b"", "handshake_failed"),
}


@pytest.mark.parametrize("what", SERVERS)
def test_an_acceptor_that_does_not_speak_tls_gets_nothing(mesh, impostor, what):
    sent, reason = SERVERS[what]
    with impostor.place.listen() as listener:
        listener.settimeout(5)
        with mesh.alice.connect(impostor.place.v4, LENT) as client:
            client.sendall(b"secret")
            server = listener.accept()[0]
            server.settimeout(5)
            received = server.recv(65536)
            if sent:
                server.sendall(sent)
            elif sent == b"":
                server.close()
            client.settimeout(15)
            with contextlib.suppress(ConnectionError):
                assert client.recv(1) == b"", "it was served"
        server.close()
    assert b"secret" not in received and received[0] == 22
    mesh.entry("node-1", reporter="source", reason=reason)


# --- What it may cost ------------------------------------------------------------------------------------------------
HELD = {  # said on many connections, and then nothing
    "nothing": lambda hello: b"",
    "a byte": lambda hello: hello[:1],
    "half a ClientHello": lambda hello: hello[:100],
    "the beginning of 64 KiB": lambda hello: padded(hello, 65_536)[:60_000],
    "a ClientHello": lambda hello: hello,
}


@pytest.mark.parametrize("what", HELD)
def test_a_hundred_handshakes_that_are_begun_and_left_hold_little_and_stop_nobody(scales, context, what):
    said = HELD[what](first_flight(context)[3])

    def act(attack):
        for connection in attack.dial_many(100):
            connection.sendall(said)

    scales.weigh(act)


def test_ten_thousand_connections_within_their_client_hello_hold_little_and_stop_nobody(scales, context):
    begun = first_flight(context)[3][:100]

    def act(attack):
        for _ in range(MANY // 100):  # before the deadline of detection, or they pass for a server-first client's
            for connection in attack.dial_many(100):
                connection.sendall(begun)
        time.sleep(0.5)
        # One after the other: what it takes the kernel to end them at once is no question of what they hold.
        while attack.sockets:
            for connection in attack.sockets[-50:]:
                attack.close(connection)
            time.sleep(0.005)

    assert scales.weigh(act).connections == MANY


STREAMS = {  # said again and again on connections that come one after the other
    "ClientHellos byte by byte": lambda hello: [bytes([byte]) for byte in hello],
    "ClientHellos in records of one byte": lambda hello: [in_records(hello, 1)],
    "ClientHellos that are left": lambda hello: [hello],
    "ClientHellos of 64 KiB": lambda hello: [padded(hello, 65_536)],
    "garbage behind a ClientHello": lambda hello: [hello, b"\x17\3\3\x40\0" + bytes(16_384)],
    "records of a ClientHello without end": lambda hello: [hello[:5] + b"\1\0\xff\xf0" + hello[9:], in_records(bytes(60_000), 1)],
    "garbage": lambda hello: [os.urandom(1000)],
    "garbage that begins as TLS": lambda hello: [hello[:9] + os.urandom(1000)],
}


@pytest.mark.parametrize("what", STREAMS)
def test_a_flood_of_handshakes_costs_the_proxy_in_proportion(scales, context, what):
    def act(attack):
        while attack.lasts():
            with attack.connection() as connection:
                for piece in STREAMS[what](first_flight(context)[3]):
                    connection.sendall(piece)

    scales.weigh(act)


def test_a_flood_of_refused_certificates_costs_the_proxy_in_proportion(scales, whole_mesh):
    root = hostile.authority(whole_mesh)
    middle = root
    for n in range(15):  # as much to verify as a chain may hold
        middle = middle.below(f"middle-{n}")
    refused = mesh_peer.client_context(*hostile.files(*middle.leaf("spiffe://cluster.local/Wrong")))

    def act(attack):
        while attack.lasts():
            with lane(attack, refused) as peer:
                peer.more()

    scales.weigh(act)


RECORDS = {  # of a known peer, again and again
    "KeyUpdates": lambda peer: peer.key_update(),
    "KeyUpdates that ask, between data": lambda peer: peer.key_update(1) + peer.record(APPLICATION_DATA, UNKNOWN),
    "records without data": lambda peer: peer.record(APPLICATION_DATA, b""),
    "records of a byte": lambda peer: b"".join(peer.record(APPLICATION_DATA, bytes([byte])) for byte in UNKNOWN),
    "records of padding": lambda peer: peer.record(APPLICATION_DATA, UNKNOWN, 16_000),
    "warnings": lambda peer: peer.record(ALERT, b"\1\x5a"),
    "pings in records of their own": lambda peer: peer.record(APPLICATION_DATA, frame(mesh_peer.PING, 0, bytes(8))),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_flood_of_records_costs_its_sender_in_proportion(scales, certificate, what):
    def act(attack):
        while attack.lasts():
            with lane(attack, certificate) as peer:
                peer.tls.settimeout(0.2)
                while attack.lasts():
                    peer.raw.sendall(b"".join(RECORDS[what](peer) for _ in range(20)))

    scales.weigh(act)


@pytest.mark.parametrize("abruptly", [False, True], ids=["without close_notify", "by RST"])
def test_lanes_that_are_cut_off_are_cleared_away(scales, context, abruptly):
    def act(attack):
        while attack.lasts():
            with lane(attack, context) as peer:
                peer.send(opening(1, scales.attacker), frame(mesh_peer.DATA, 1, GET * 10))
                peer.tls.close()
                if abruptly:
                    peer.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)

    scales.weigh(act)


def test_nothing_of_the_attacks_is_left(scales, whole_mesh):
    hostile.nothing_is_left(whole_mesh)
