"""What work took, a proxy gives back when it rests: its buffers, and the pages of memory that it has freed."""

import contextlib

import apps
import pytest
from world import NODES, eventually, read_exactly

pytestmark = pytest.mark.weir_only
RESTS_WITHIN = 30  # seconds: Rest::kQuietFor, twice, and what else looks at most


def anonymous_kib(mesh):
    return {node: mesh.lab.weir(node).anonymous_kib() for node in NODES}


def test_memory_that_many_connections_took_goes_back_when_the_proxies_rest(mesh):
    mesh.alice.echo(mesh.echo_2.v4)
    before = anonymous_kib(mesh)
    with contextlib.ExitStack() as held:
        connections = [held.enter_context(connection) for _ in range(4)
                       for connection in mesh.alice.connect_many(200, mesh.echo_2.v4, apps.ECHO)]
        for connection in connections * 3:
            connection.sendall(b"hello")
            assert read_exactly(connection, 5) == b"hello"
        busy = anonymous_kib(mesh)

    def given_back():
        after = anonymous_kib(mesh)
        for node in NODES:
            took, kept = busy[node] - before[node], after[node] - before[node]
            quarantine = mesh.lab.weir(node).quarantine_kib()
            assert kept < took / 2 + quarantine, f"{node}: {kept} KiB of {took} kept"

    assert all(busy[node] > before[node] + 2000 for node in NODES), f"too little to tell: {before}, {busy}"
    eventually(given_back, RESTS_WITHIN)
