"""Lanes whose TLS session is resumed: whose, and whose not. With one session on a lane, every further one needs a lane.

What may be resumed under which policy, bundle and time is the simulator's matrix (sim/resumption_test.cc).
"""

import contextlib
import signal

import pytest

import apps
from test_lifecycle import restart
from world import eventually, read_exactly


@pytest.fixture(scope="module", autouse=True)
def one_session_on_a_lane(whole_mesh):
    settings = next(d for d in whole_mesh.lab.manifests.of_kind("ConfigMap") if d["metadata"]["name"] == "weir")
    whole_mesh.lab.apply(settings | {"data": settings["data"] | {"sessionsPerLane": "1"}})
    whole_mesh.settle()


def handshakes(mesh, node, role):
    """(full, resumed) of a node's proxy so far, and how many of its handshakes failed."""
    of_kind = (mesh.total(node, "weir_tls_handshakes_total", role=role, kind=kind) for kind in ("full", "resumed"))
    return *of_kind, mesh.total(node, "weir_tls_handshakes_failed_total")


@contextlib.contextmanager
def held(client, server, count):
    """So many connections at once, opened one after the other, each of which works."""
    with contextlib.ExitStack() as stack:
        for i in range(count):
            connection = stack.enter_context(client.connect(server.v4, apps.ECHO))
            connection.sendall(b"number %d" % i)
            assert read_exactly(connection, 8) == b"number %d" % i
        yield


def what_it_takes(mesh, client, server, count):
    """(full, resumed) handshakes for so many connections from node-1 to node-2; both nodes must say the same."""
    ends = {"node-1": "client", "node-2": "server"}
    before = {node: handshakes(mesh, node, role) for node, role in ends.items()}
    with held(client, server, count):
        def counted():
            rises = {node: tuple(b - a for a, b in zip(before[node], handshakes(mesh, node, role)))
                     for node, role in ends.items()}
            assert sum(rises["node-1"]) == count and rises["node-1"] == rises["node-2"], rises
            return rises["node-1"]

        full, resumed, failed = eventually(counted, 5)
    assert failed == 0
    return full, resumed


def test_one_handshake_of_a_pod_is_full_and_the_next_are_resumed(mesh):
    assert what_it_takes(mesh, mesh.alice, mesh.echo_2, 6) == (1, 5)
    for node, reporter in (("node-1", "source"), ("node-2", "destination")):
        eventually(lambda: len(mesh.entries(node, reporter=reporter, reason="none")) >= 6 or False, 5)
        assert {e["source"]["principal"] for e in mesh.entries(node, reporter=reporter)} == {
            "spiffe://cluster.local/ns/clients/sa/alice"}
    known = mesh.total("node-2", "weir_tls_chains_total", how="known")
    assert known >= 5, "the chain of a peer that is known was followed again"


def test_another_pod_does_not_resume_what_was_the_firsts(mesh):
    mesh.alice.echo(mesh.echo_2.v4)
    assert what_it_takes(mesh, mesh.bob, mesh.echo_2, 3) == (1, 2)


def test_an_acceptor_that_was_killed_knows_no_ticket_and_serves_all_the_same(mesh):
    mesh.alice.echo(mesh.echo_2.v4)
    mesh.lab.weir("node-2").stop("proxy", signal.SIGKILL)
    restart(mesh, "node-2", "proxy")
    eventually(lambda: mesh.total("node-1", "weir_lanes", role="dialler") == 0)
    assert what_it_takes(mesh, mesh.alice, mesh.echo_2, 4) == (1, 3)
    assert not mesh.entries("node-1", reporter="source", verdict="failed")
