"""What attacks by mesh peers are made of: their certificate, their lanes, and the scales of attacks.py with an ordinary
lane's costs: a request on a lane that is kept, or a lane for each.

The attacker is the pod stranger, which is outside the mesh and dials web-3 on node-2 as a proxy would.
"""

import contextlib
import ssl

import pytest

import mesh_peer
from attacks import Scales
from certificates import ALICE, root_of
from mesh_peer import Ended, Peer, Records, frame, opening, settings
from test_attacks import proxies
from world import eventually
from wrong_certificates import Authority, files

PORT = 8080  # the application's, HTTP/1.1
GET = b"GET / HTTP/1.1\r\nHost: web.servers\r\n\r\n"


def authority(mesh):
    return Authority.load(root_of(mesh))


@pytest.fixture(scope="module")
def certificate(whole_mesh):
    """Files of a right certificate, for `Records`."""
    return files(*authority(whole_mesh).leaf(ALICE))


@pytest.fixture(scope="module")
def context(certificate):
    return mesh_peer.client_context(*certificate)


def dial(mesh):
    return mesh.stranger.connect(mesh.web_3.v4, PORT)


@contextlib.contextmanager
def lane(attack, credentials):
    """A lane of the attacker's (of `Records` if it has files instead of a context), until the proxy ends it."""
    with attack.connection() as connection, contextlib.suppress(Ended, OSError):
        made = Records(connection, *credentials) if isinstance(credentials, tuple) else Peer(connection, credentials)
        try:
            made.send(settings())
            yield made
        finally:
            made.tls.close()


def ask(peer, session, me):
    """One request on a session of its own."""
    peer.send(opening(session, me), frame(mesh_peer.DATA, session, GET))
    answer = b""
    while not answer.endswith(b"}"):
        answer += peer.until(mesh_peer.DATA, session)
    peer.send(frame(mesh_peer.RST, session, b"\x0c"))


@pytest.fixture(scope="module")
def scales(whole_mesh, neighbour, context):
    me, web_3 = whole_mesh.stranger.v4, whole_mesh.web_3.v4

    def ordinary(attack, kept):
        while attack.lasts():
            with lane(attack, context) as peer:
                session = 1
                ask(peer, session, me)
                while kept and attack.lasts():
                    session += 1
                    ask(peer, session, me)

    made = Scales(proxies(whole_mesh), neighbour, lambda count: whole_mesh.stranger.connect_many(count, web_3, PORT), ordinary)
    made.attacker = me
    return made


def say(connection, context, *frames):
    """Begins a lane, says this as far as it is taken, and leaves it there: `connection` stays open."""
    with contextlib.suppress(OSError):
        peer = Peer(connection, context)
        peer.tls.settimeout(0.2)
        try:
            peer.send(*frames)
        finally:
            peer.tls.close()


def drain(peer):
    """Reads what has come."""
    peer.tls.settimeout(0)
    with contextlib.suppress(ssl.SSLWantReadError):
        while True:
            if not peer.tls.recv(1 << 16):
                raise Ended("closed")
    peer.tls.settimeout(0.2)


def nothing_is_left(mesh):
    def gone():
        for node in ("node-1", "node-2"):
            metrics = mesh.lab.metrics(node)
            assert metrics.total("weir_flows") <= 20 and mesh.lab.weir(node).descriptors("proxy") < 200
        assert mesh.lab.metrics("node-2").total("weir_sessions", role="acceptor") <= 20, "beside the neighbour's own"

    eventually(gone, 25)
