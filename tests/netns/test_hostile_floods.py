"""A peer with a right certificate that keeps to the rules of the frames, or nearly, and floods: what it can make the proxy
hold and spend, and what a neighbour notices. See attacks.py for the gates and hostile.py for an ordinary lane's costs;
test_hostile_lane.py has the rules.
"""

import pytest

import hostile
import mesh_peer
from hostile import GET, certificate, context, lane, scales  # fixtures among them
from http_world import HttpMesh, do, weir_only
from http_ends import head
from mesh_peer import CREDIT, DATA, FIN, GOAWAY, OPEN, PAYLOAD_MAX, PING, RST, frame, number, opening, settings
from test_attacks import neighbour  # a fixture

__all__ = ["certificate", "context", "neighbour", "scales"]
MESH = HttpMesh
pytestmark = weir_only
CANCELLED = b"\x0c"
HUGE = head("GET / HTTP/1.1", [("Host", "web.servers"), *do(bytes=8 << 20)])

# Frames number 0, 1, … of a lane on which session 1 is open; {me} is the attacker's address.
FLOODS = {
    "pings": lambda n, me: frame(PING, 0, bytes(8)),
    "replies to pings that nobody sent": lambda n, me: frame(PING, 0, bytes(8), mesh_peer.REPLY),
    "unknown frames": lambda n, me: frame(99),
    "unknown frames with a payload": lambda n, me: frame(99, 7, bytes(PAYLOAD_MAX)),
    "credit by single bytes": lambda n, me: frame(CREDIT, 1, number(1)),
    "data of a byte": lambda n, me: frame(DATA, 1, b"x"),
    "frames of an ended session": lambda n, me: frame(FIN, 2),
    "GOAWAY again and again": lambda n, me: frame(GOAWAY, 0, number(0) + b"\4"),
    "sessions that are opened and reset": lambda n, me: opening(n + 3, me) + frame(RST, n + 3, CANCELLED),
    "sessions that are opened and ended": lambda n, me: opening(n + 3, me) + frame(FIN, n + 3),
    "sessions that are opened, asked on and reset":
        lambda n, me: opening(n + 3, me) + frame(DATA, n + 3, GET) + frame(RST, n + 3, CANCELLED),
    "sessions above the most": lambda n, me: opening(n + 3, me),
    "sessions that are refused": lambda n, me: opening(n + 3, me, mesh_peer.field(0xff, b"")),
    "sessions for another address": lambda n, me: opening(n + 3, "10.0.0.1"),
    "OPEN with many fields": lambda n, me: frame(
        OPEN, n + 3, mesh_peer.client_field(me) + mesh_peer.field(9, b"") * 5000),
}


@pytest.mark.parametrize("reads", [True, False], ids=["read", "not read"])
@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_of_frames_costs_its_sender_in_proportion(scales, context, what, reads):
    def act(attack):
        while attack.lasts():
            with lane(attack, context) as peer:
                peer.send(opening(1, scales.attacker), opening(2, scales.attacker), frame(RST, 2, CANCELLED))
                peer.tls.settimeout(0.2)
                sent = 0
                while attack.lasts():
                    peer.send(*(FLOODS[what](sent + n, scales.attacker) for n in range(20)))
                    sent += 20
                    if reads:
                        hostile.drain(peer)

    scales.weigh(act)


HELD = {  # said on fifty lanes, and then nothing
    "a lane without a word": lambda me: [],
    "a header cut in two": lambda me: [frame(PING)[:5]],
    "a frame of which most is missing": lambda me: [frame(OPEN, 1, b"x" * 100, length=PAYLOAD_MAX)],
    "twenty sessions": lambda me: [opening(n, me) for n in range(1, 21)],
}


@pytest.mark.parametrize("what", HELD)
def test_fifty_lanes_that_wait_hold_little_and_stop_nobody(scales, context, what):
    def act(attack):
        for connection in attack.dial_many(50):
            hostile.say(connection, context, settings(), *HELD[what](scales.attacker))

    scales.weigh(act)


@pytest.mark.parametrize("window", [mesh_peer.WINDOW, 1 << 30], ids=["the default window", "a window of a GiB"])
def test_huge_answers_to_a_peer_that_does_not_read_wait_where_they_come_from(scales, context, window):
    def act(attack):
        for connection in attack.dial_many(5):
            asked = [part for n in range(1, 41) for part in (opening(n, scales.attacker), frame(DATA, n, HUGE))]
            hostile.say(connection, context, settings(window=window), *asked)

    scales.weigh(act)


def test_nothing_of_the_attacks_is_left(scales, whole_mesh):
    hostile.nothing_is_left(whole_mesh)
