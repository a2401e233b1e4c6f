"""A peer with a right certificate that breaks a rule of the frames (mesh-protocol.md, "Rules of the frames"), as dialler
and as acceptor: its lane ends, the log names it and the rule, and the lanes of others go on.

tests/unit/mesh/rules_test.cc has the same rules without sockets; test_hostile_floods.py has what keeps to the rules.
"""

import contextlib
import select
import struct

import pytest

import apps
import mesh_peer
from certificates import ALICE, root_of
from impostor import impostor  # a fixture
from mesh_peer import (CREDIT, CRITICAL, DATA, FIN, GOAWAY, OPEN, OPENED, PAYLOAD_MAX, PING, RST, SETTINGS, Peer, field,
                       frame, number, opening, settings)
from world import LENT
from wrong_certificates import Authority, files

__all__ = ["impostor"]
BOB = "spiffe://cluster.local/ns/clients/sa/bob"
FULL = bytes(PAYLOAD_MAX)
TOO_LONG = PAYLOAD_MAX + 1
TOKEN = b"12345678"


@pytest.fixture(scope="module")
def authority(whole_mesh):
    return Authority.load(root_of(whole_mesh))


@pytest.fixture(scope="module")
def certificate(authority):
    return mesh_peer.client_context(*files(*authority.leaf(ALICE)))


@pytest.fixture(scope="module")
def other_certificate(authority):
    return mesh_peer.client_context(*files(*authority.leaf(BOB)))


def lane(mesh, certificate, *first):
    """A lane to echo-2 whose session 5 the echo server has accepted."""
    peer = Peer(mesh.outsider.connect(mesh.echo_2.v4, apps.ECHO), certificate)
    peer.send(settings(), opening(5, mesh.outsider.v4), *first)
    peer.until(OPENED, 5)
    return peer


# After SETTINGS and OPEN of session 5: (the rule, what breaks it).
def to_acceptor(me):
    def open_with(session, *fields):
        return frame(OPEN, session, b"".join(fields))

    client = mesh_peer.client_field(me)
    return {
        "SETTINGS twice": [settings()],
        "a frame of the lane names a session": [frame(PING, 5, TOKEN)],
        "session 0": [frame(DATA, 0, b"x")],
        "OPEN's session did not rise": [opening(5, me)],
        "OPEN is malformed": [open_with(6, b"abc")],
        "OPEN is malformed: no client": [open_with(6, field(2, b"uid"))],
        "OPEN is malformed: no field": [open_with(6)],
        "OPEN is malformed: two clients": [open_with(6, client, client)],
        "OPEN is malformed: a client of 4 bytes": [open_with(6, field(0x81, bytes(4)))],
        "OPEN is malformed: a field that ends behind it": [open_with(6, client, struct.pack("!BH", 2, 100) + b"x")],
        "OPEN is malformed: a name of 513 bytes": [open_with(6, client, field(3, b"n" * 513))],
        "OPEN is malformed: an empty name": [open_with(6, client, field(3, b""))],
        "OPENED to an acceptor": [frame(OPENED, 5)],
        "OPENED has a payload": [frame(OPENED, 5, b"x")],
        "DATA is empty": [frame(DATA, 5)],
        "DATA beyond the credit": [frame(DATA, 5, FULL)] * 200,
        "DATA after FIN": [frame(FIN, 5), frame(DATA, 5, b"x")],
        "FIN twice": [frame(FIN, 5), frame(FIN, 5)],
        "FIN has a payload": [frame(FIN, 5, b"x")],
        "RST is not 1 byte": [frame(RST, 5)],
        "CREDIT is not 4 bytes, or 0": [frame(CREDIT, 5, b"xxx")],
        "CREDIT is not 4 bytes, or 0: 0": [frame(CREDIT, 5, number(0))],
        "the credit is above 1 GiB": [frame(CREDIT, 5, number(0x7fffffff))],
        "the credit is above 1 GiB: in two": [frame(CREDIT, 5, number(0x3fff0000)), frame(CREDIT, 5, number(0x10000))],
        "PING is not 8 bytes": [frame(PING, 0, b"1234567")],
        "GOAWAY is malformed": [frame(GOAWAY, 0, b"1234")],
        "GOAWAY's last session rose": [frame(GOAWAY, 0, number(3) + b"\4"), frame(GOAWAY, 0, number(4) + b"\4")],
        "a frame of a session that was never opened": [frame(DATA, 6, b"x")],
        "a frame of a session that was never opened: FIN": [frame(FIN, 6)],
        "a frame of a session that was never opened: RST": [frame(RST, 6, b"\1")],
        "a frame of a session that was never opened: CREDIT": [frame(CREDIT, 0xffffffff, number(1))],
        "a critical frame of unknown type": [frame(99, 0, b"", CRITICAL)],
        "a critical frame of unknown type: 0": [frame(0, 5, b"x", CRITICAL)],
        "a frame is longer than the most": [frame(DATA, 5, b"", length=TOO_LONG)],
        "a frame is longer than the most: unknown": [frame(99, 5, b"", length=0xffff)],
    }


FIRST = {
    "the first frame is not SETTINGS": [opening(1, "10.0.0.1")],
    "the first frame is not SETTINGS: unknown": [frame(99)],
    "the first frame is not SETTINGS: PING": [frame(PING, 0, TOKEN)],
    "SETTINGS is malformed": [frame(SETTINGS, 0, b"short")],
    "SETTINGS is malformed: version 0": [settings(version=0)],
    "SETTINGS is malformed: a window below the least": [settings(window=1)],
    "SETTINGS is malformed: a window above 1 GiB": [settings(window=(1 << 30) + 1)],
    "a frame of the lane names a session": [frame(SETTINGS, 1, settings()[8:])],
}


def told(mesh, what, identity=ALICE):
    """That node-2's log has the lane's end, by name and by rule."""
    rule = what.partition(": ")[0]
    entry = mesh.entry("node-2", reporter="destination", reason="protocol_error", detail=rule, verdict="failed")
    assert entry["source"]["principal"] == identity
    return entry


@pytest.mark.parametrize("what", to_acceptor("10.0.0.1"))
def test_a_dialler_that_breaks_a_rule_loses_its_lane_and_nobody_else_does(mesh, certificate, other_certificate, what):
    with (lane(mesh, other_certificate) as bystander, lane(mesh, certificate) as sibling,
          lane(mesh, certificate) as peer, mesh.rises("node-2", "weir_lanes_closed_total", reason="protocol_error")):
        try:
            peer.send(*to_acceptor(mesh.outsider.v4)[what])
            ending = peer.ending()[1]
        except OSError:
            ending = "reset"  # it had more to say
        assert ending in ("closed", "reset")
        told(mesh, what)
        mesh.entry("node-2", reporter="destination", reason="protocol_error", verdict="opened")  # its session
        assert bystander.echoes(5) and sibling.echoes(5)


@pytest.mark.parametrize("what", FIRST)
def test_a_dialler_whose_first_frame_is_wrong_loses_its_lane(mesh, certificate, other_certificate, what):
    with lane(mesh, other_certificate) as bystander:
        with Peer(mesh.outsider.connect(mesh.echo_2.v4, apps.ECHO), certificate) as peer:
            peer.send(*FIRST[what])
            assert peer.ending()[1] == "closed"
        told(mesh, what)
        assert bystander.echoes(5)


def test_a_lane_speaks_for_its_own_address_only(mesh, certificate):
    with lane(mesh, certificate) as peer:
        peer.send(opening(6, mesh.alice.v4))
        assert peer.until(RST, 6) == bytes([mesh_peer.BAD_OPEN])
        assert peer.echoes(5)
    assert not mesh.entries("node-2", source_pod="clients/alice")


def test_a_critical_field_of_open_that_is_not_known_is_refused_and_the_lane_goes_on(mesh, certificate):
    with lane(mesh, certificate) as peer:
        peer.send(opening(6, mesh.outsider.v4, field(0xff, b"x")))
        assert peer.until(RST, 6) == bytes([mesh_peer.BAD_OPEN])
        assert peer.echoes(5)


def test_more_sessions_than_a_lane_holds_are_refused_as_overloaded(mesh, certificate):
    with lane(mesh, certificate) as peer:
        peer.send(*(opening(6 + n, mesh.outsider.v4) for n in range(100)))
        assert peer.until(RST, 105) == bytes([mesh_peer.OVERLOADED])
        assert peer.echoes(5) and peer.echoes(50)


def test_what_a_peer_may_do_although_it_looks_odd_is_borne(mesh, certificate):
    """Unknown frames and flags, frames of ended sessions, SETTINGS that are longer, a frame cut at every byte."""
    with lane(mesh, certificate) as peer:
        peer.send(frame(99, 0, b"of the lane", 0x7f), frame(200, 77, FULL), frame(0, 5))
        peer.send(opening(6, mesh.outsider.v4), frame(RST, 6, b"\x0c"), frame(DATA, 6, FULL), frame(FIN, 6), frame(DATA, 3, b"x"))
        for byte in frame(DATA, 5, b"in pieces"):
            peer.send(bytes([byte]))
        got = b""
        while len(got) < len("in pieces"):
            got += peer.until(DATA, 5)
        assert got == b"in pieces"
    with Peer(mesh.outsider.connect(mesh.echo_2.v4, apps.ECHO), certificate) as peer:
        peer.send(frame(SETTINGS, 0, settings(version=9, features=2**64 - 1)[8:] + b"more"), opening(1, mesh.outsider.v4))
        assert peer.echoes(1)


def test_a_lane_that_ends_without_close_notify_resets_its_sessions(mesh, certificate):
    """The application must not take what was cut off for a stream that has ended."""
    with mesh.echo_2.listen() as listener:
        for ends, expected in ((Peer.close, "reset"), (Peer.shutdown, "reset")):
            peer = Peer(mesh.outsider.connect(mesh.echo_2.v4, LENT), certificate)
            peer.send(settings(), opening(1, mesh.outsider.v4), frame(DATA, 1, b"half a mess"))
            server = listener.accept()[0]
            assert server.recv(100) == b"half a mess"
            peer.until(OPENED, 1)
            ends(peer)
            with pytest.raises(ConnectionResetError):
                server.recv(100)
            mesh.entry("node-2", reporter="destination", reason="peer_lost")
            server.close()


# --- The acceptor breaks them ----------------------------------------------------------------------------------------
# After SETTINGS of both, OPEN of session 1 by the proxy, and OPENED.
TO_DIALLER = {
    "only the dialler opens": [opening(2, "10.0.0.1")],
    "OPENED twice": [frame(OPENED, 1)],
    "a frame of a session that was never opened": [frame(OPENED, 9)],
    "a frame of a session that was never opened: DATA": [frame(DATA, 9, b"x")],
    "SETTINGS twice": [settings()],
    "session 0": [frame(DATA, 0, b"x")],
    "DATA is empty": [frame(DATA, 1)],
    "DATA beyond the credit": [frame(DATA, 1, FULL)] * 1200,  # more than what a client that does not read has buffers for
    "DATA after FIN": [frame(FIN, 1), frame(DATA, 1, b"x")],
    "RST is not 1 byte": [frame(RST, 1, b"xx")],
    "the credit is above 1 GiB": [frame(CREDIT, 1, number(0xffffffff))],
    "PING is not 8 bytes": [frame(PING, 0)],
    "GOAWAY is malformed": [frame(GOAWAY, 0)],
    "GOAWAY's last session rose": [frame(GOAWAY, 0, number(1) + b"\4"), frame(GOAWAY, 0, number(2) + b"\4")],
    "a critical frame of unknown type": [frame(99, 0, b"", CRITICAL)],
    "a frame is longer than the most": [frame(DATA, 1, b"", length=TOO_LONG)],
}
# Before OPENED.
TOO_EARLY = {
    "DATA before OPENED": [settings(), frame(DATA, 1, b"x")],
    "FIN before OPENED": [settings(), frame(FIN, 1)],
    "the first frame is not SETTINGS": [frame(OPENED, 1)],
    "SETTINGS is malformed": [settings(version=0)],
}


@pytest.mark.parametrize("what", [*TO_DIALLER, *TOO_EARLY])
def test_an_acceptor_that_breaks_a_rule_loses_its_lane_and_its_client_is_reset(mesh, impostor, what):
    ends = []

    def act(peer):
        peer.until(OPEN, 1)
        if what in TO_DIALLER:
            peer.send(settings(), frame(OPENED, 1))
        with contextlib.suppress(OSError):  # the lane may be gone before all is sent
            peer.send(*TO_DIALLER.get(what, TOO_EARLY.get(what)))
        ends.append(peer.ending()[1])

    context = mesh_peer.server_context(*files(*impostor.root.leaf()))
    with mesh.alice.connect(mesh.echo_2.v4, apps.ECHO) as bystander:
        bystander.sendall(b"hello")
        assert bystander.recv(5) == b"hello"
        with (impostor.acts(act, context), mesh.rises("node-1", "weir_lanes_closed_total", reason="protocol_error"),
              pytest.raises(ConnectionResetError),  # before connect() has returned, when that was slow
              mesh.alice.connect(impostor.place.v4, LENT) as client):
            client.settimeout(5)
            client.sendall(b"hello")
            ended = select.poll()
            ended.register(client, 0)
            ended.poll(5000)  # for the reset, without reading: what is read is credited
            while client.recv(65536):
                pass
            raise AssertionError("it ended in order")
        mesh.entry("node-1", reporter="source", reason="protocol_error")
        assert set(ends) <= {"closed", "reset"} and ends
        bystander.sendall(b"again")
        assert bystander.recv(5) == b"again"
