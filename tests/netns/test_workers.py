"""How a pod's connections lie over the workers of a proxy: not as the kernel's hash has it, which here is as bad as can
be, for the agents open one listener where the proxies have two workers, so that one accepts everything."""

import collections
import contextlib
import json

import pytest

import apps
from world import NODES, eventually, read_exactly

MESH_OPTIONS = {"workers": 2, "listeners": 1}
pytestmark = pytest.mark.weir_only


def by_worker(mesh, node, pod):
    flows = json.loads(mesh.lab.weir(node).admin("proxy", "/flows"))
    return collections.Counter(flow["worker"] for flow in flows if flow["pod"].endswith(f"/{pod}"))


@contextlib.contextmanager
def held(place, count, address):
    """Connections that are open, and have been through to the other side."""
    with contextlib.ExitStack() as open_ones:
        connections = [open_ones.enter_context(c) for c in place.connect_many(count, address, apps.ECHO)]
        for connection in connections:
            connection.sendall(b"x" * 5000)
        for connection in connections:
            assert read_exactly(connection, 5000) == b"x" * 5000
        yield connections


def test_eight_connections_and_their_lanes_use_both_workers_of_both_proxies(mesh):
    for _ in range(3):  # then with lanes of before
        with mesh.rises("node-1", "weir_connections_handed_over_total", 3), held(mesh.alice, 8, mesh.echo_2.v4):
            for node, pod in zip(NODES, ("alice", "echo-2"), strict=True):
                shares = by_worker(mesh, node, pod)
                assert sum(shares.values()) == 8 and all(shares[worker] >= 3 for worker in (0, 1)), (node, shares)
        mesh.begin()
        assert mesh.total("node-2", "weir_connections_handed_over_total") >= 1, "the second lane"


def test_a_worker_that_lost_its_connections_gets_the_next_ones(mesh):
    with held(mesh.bob, 12, mesh.echo_3.v4) as connections:
        flows = json.loads(mesh.lab.weir("node-1").admin("proxy", "/flows"))
        ports = {flow["client"].rpartition(":")[2]: flow["worker"] for flow in flows}
        gone = [c for c in connections if ports[str(c.getsockname()[1])] == 0]
        for connection in gone:
            connection.close()
        eventually(lambda: by_worker(mesh, "node-1", "bob")[0] == 0)
        with held(mesh.bob, 6, mesh.echo_3.v4):
            assert by_worker(mesh, "node-1", "bob")[0] >= 4


def test_who_opens_one_connection_after_another_stays_with_the_worker_that_accepts(mesh):
    before = mesh.total("node-1", "weir_connections_handed_over_total")
    for _ in range(30):
        mesh.alice.echo(mesh.echo_2.v4)
    assert mesh.total("node-1", "weir_connections_handed_over_total") == before


def test_a_connection_that_was_handed_over_shows_its_client_and_ends_in_order(mesh):
    with mesh.rises("node-1", "weir_connections_handed_over_total", 3):
        connections = mesh.alice.connect_many(8, mesh.echo_2.v4, apps.WHO)
        for connection in connections:
            with connection:
                assert json.loads(connection.makefile("rb").read())["client"] == mesh.alice.v4
