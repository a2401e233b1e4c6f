"""Limits of one source: who is at one is refused, at once and with the reason in log and metrics, and nobody else notices.
And descriptors that run out: accepting pauses, the proxy stays answerable, and all goes on once there are some again.
"""

import contextlib
import resource
import time

import pytest

import apps
import mesh_peer
from attacks import Toll
from certificates import ALICE, root_of
from mesh_peer import OPENED, Ended, Peer, opening, settings
from world import eventually, read_exactly
from wrong_certificates import Authority, files

CONNECTIONS, SESSIONS, HANDSHAKES = 60, 20, 20
MESH_OPTIONS = {"proxy_flags": ["--source-connections", str(CONNECTIONS), "--source-sessions", str(SESSIONS),
                                "--source-handshakes", str(HANDSHAKES)]}
REFUSALS, PAUSES = "weir_source_limit_refusals_total", "weir_accept_pauses_total"
KEPT = 64 + 64  # limits::reserved_descriptors and dialling_descriptors


@contextlib.contextmanager
def many(place, count, address):
    """So many connections to an echo server, all of which have been answered."""
    with contextlib.ExitStack() as held:
        connections = [held.enter_context(c) for c in place.connect_many(count, address, apps.ECHO)]
        for connection in connections:
            connection.sendall(b"hello")
        for connection in connections:
            assert read_exactly(connection, 5) == b"hello"
        yield connections


def told(mesh, node, what):
    assert what in (mesh.lab.directory / node / "proxy.log").read_text(), mesh.lab.weir(node).log_tail("proxy")


def test_a_pod_at_its_limit_of_connections_is_refused_and_its_neighbour_is_not(mesh):
    outside = mesh.outsider.v4  # in plaintext, so a connection is two of the proxy's
    with many(mesh.alice, CONNECTIONS // 2, outside), mesh.rises("node-1", REFUSALS, limit="connections"):
        assert mesh.alice.fails(outside, apps.ECHO) == "reset"
        entry = mesh.entry("node-1", reporter="source", source_pod="clients/alice", verdict="failed")
        assert entry["reason"] == "overloaded" and entry["detail"] == f"the source's limit: {CONNECTIONS} connections at a time"
        mesh.bob.echo(outside)
    told(mesh, "node-1", f"{mesh.alice.v4} has reached its limit on this worker, {CONNECTIONS} connections at a time")
    eventually(lambda: mesh.alice.echo(outside))
    assert not mesh.entries("node-1", source_pod="clients/bob", verdict="failed")


def test_a_pod_at_its_limit_of_sessions_is_refused_at_both_ends_and_its_neighbour_is_not(mesh):
    server = mesh.echo_2.v4
    with many(mesh.alice, SESSIONS, server) as connections, mesh.rises("node-2", REFUSALS, limit="sessions"):
        assert mesh.alice.fails(server, apps.ECHO) == "reset"
        for node, reporter in (("node-1", "source"), ("node-2", "destination")):
            entry = mesh.entry(node, reporter=reporter, source_pod="clients/alice", verdict="failed")
            assert entry["reason"] == "overloaded"
        assert entry["detail"] == f"the source's limit: {SESSIONS} sessions at a time"
        mesh.bob.echo(server)
        connections[0].sendall(b"still here")
        assert read_exactly(connections[0], 10) == b"still here"
    told(mesh, "node-2", f"{mesh.alice.v4} has reached its limit on this worker, {SESSIONS} sessions at a time")
    eventually(lambda: mesh.alice.echo(server))


def test_a_peer_above_its_handshakes_a_second_is_refused_and_others_are_not(mesh):
    context = mesh_peer.client_context(*files(*Authority.load(root_of(mesh)).leaf(ALICE)))
    me, server = mesh.outsider.v4, mesh.echo_2.v4

    def lane():
        with mesh.outsider.connect(server, apps.ECHO) as connection:
            peer = Peer(connection, context)
            with peer.tls:
                peer.send(settings(), opening(1, me))
                peer.until(OPENED, 1)

    time.sleep(1.1)  # with a second's worth
    with mesh.rises("node-2", REFUSALS, limit="handshakes"):
        with pytest.raises((Ended, ConnectionError, OSError)):
            for _ in range(50 * HANDSHAKES):
                lane()
        mesh.bob.echo(server)
    entry = mesh.entry("node-2", reporter="destination", verdict="failed")
    assert entry["source"]["address"].startswith(f"{me}:") and entry["reason"] == "overloaded"
    assert entry["detail"] == f"the source's limit: {HANDSHAKES} handshakes a second or at a time"
    time.sleep(1.1)
    lane()


@contextlib.contextmanager
def descriptors_limited(pid, to):
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (to, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def hello(held, place, count, address):
    """So many connections on which hello was said; None is one that was reset before."""
    def one():
        try:
            connection = held.enter_context(place.connect(address, apps.ECHO))
            connection.sendall(b"hello")
            return connection
        except ConnectionError:  # a reset is told once: a read would find the end
            return None

    return [one() for _ in range(count)]


def answers(connections, timeout):
    """(how many were answered, how many were reset, who still waits)"""
    answered, reset, waiting, last = 0, 0, [], time.monotonic() + timeout
    for connection in connections:
        try:
            if connection:
                connection.settimeout(max(0.01, last - time.monotonic()))
                assert read_exactly(connection, 5) == b"hello"
                answered += 1
            else:
                reset += 1
        except ConnectionResetError:
            reset += 1
        except TimeoutError:
            waiting.append(connection)
    return answered, reset, waiting


@pytest.mark.parametrize("left", [20, -KEPT - 4], ids=["few left", "none left"])
def test_where_descriptors_run_out_accepting_pauses_and_then_goes_on(mesh, left):
    proxy, outside = mesh.lab.weir("node-1"), mesh.outsider.v4
    with contextlib.ExitStack() as held:
        (there,) = held.enter_context(many(mesh.bob, 1, mesh.echo_2.v4))
        before, pid = proxy.descriptors("proxy"), proxy.pid("proxy")
        pauses = mesh.total("node-1", PAUSES, reason="out_of_descriptors")
        with descriptors_limited(pid, before + KEPT + left):
            # The kernel takes them all; what becomes of them is the proxy's to say. What io_uring accepts in one go may be
            # more than there was, and is sent away; who comes later waits.
            flood = hello(held, mesh.alice, 24, outside) + hello(held, mesh.bob, 24, outside)
            answered, reset, waiting = answers(flood, 1)
            assert answered <= max(0, left + KEPT // 2) // 2
            late = hello(held, mesh.alice, 5, outside) + hello(held, mesh.bob, 5, outside)
            assert answers(late, 1) == (0, 0, late), (answered, reset)
            there.sendall(b"still here")
            assert read_exactly(there, 10) == b"still here"
            toll = Toll(pid)
            time.sleep(1)
            assert toll.take().seconds < 0.3, "waiting is work"
            if left > 0:  # and so it can be asked, and is not taken for dead
                assert mesh.total("node-1", PAUSES, reason="out_of_descriptors") > pauses
                assert proxy.ready("proxy")[0]
        assert answers(waiting + late, 5) == (len(waiting + late), 0, [])
        told(mesh, "node-1", "accepting pauses: Too many open files; connections wait in the kernel's queue")
        failed = mesh.entries("node-1", reporter="source", verdict="failed")
        assert len(failed) == reset and all(e["reason"] == "out_of_descriptors" for e in failed), failed
    assert mesh.total("node-1", PAUSES, reason="out_of_descriptors") > pauses
    mesh.alice.echo(outside)
    mesh.alice.echo(mesh.echo_2.v4)
    eventually(lambda: proxy.descriptors("proxy") <= before)
