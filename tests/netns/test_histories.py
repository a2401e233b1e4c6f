"""Fail closed, in histories that nobody thought of: kill -9 and restarts of proxies and agents in any order, rules deleted, pods
that start meanwhile. While they last, not one byte of an enrolled pod's is on the wire in the open, nobody gets past policy,
and no stream that was cut ends in order; after them everything works.

Each run draws fresh ones and says their seeds: WEIR_SEED=N runs the one of that seed, WEIR_HISTORIES=N so many.
"""

import os
import time

import pytest

import apps
from histories import SECRET, History, Traffic
from kubelet import install_primary
from world import NODES, Mesh, eventually

ALLOWED = ["spiffe://cluster.local/ns/clients/sa/alice", "spiffe://cluster.local/ns/servers/sa/echo"]
STEPS = 10
FIRST = int(os.environ.get("WEIR_SEED") or time.time_ns() // 1000 % 1_000_000_000)
COUNT = 1 if os.environ.get("WEIR_SEED") else int(os.environ.get("WEIR_HISTORIES", "20"))


class GuardedMesh(Mesh):
    """STRICT, and alice and the echoes alone may ask echoes; pods may start."""

    def up(self):
        super().up()
        for node in NODES:
            install_primary(self, node)
        self.apply("PeerAuthentication", "all", mode="Strict")
        self.apply("AuthorizationPolicy", "few", selector={"matchLabels": {"app": "echo"}},
                   rules=[{"from": [{"principals": ALLOWED}]},
                          {"from": [{"namespaces": ["clients"]}], "to": [{"ports": [str(apps.WHO)]}]}])
        return self


MESH = GuardedMesh
MESH_OPTIONS = {"cni": True, "drain_seconds": 1}


def everything_works(mesh):
    for place in (mesh.echo_1, mesh.echo_2, mesh.echo_3):
        for address in (place.v4, place.v6):
            assert mesh.alice.echo(address, apps.ECHO) < 10
            assert mesh.bob.fails(address, apps.ECHO) in ("refused", "reset")
            assert mesh.stranger.fails(address, apps.ECHO) in ("refused", "reset")
    assert mesh.echo_2.echo(mesh.echo_1.v4, apps.ECHO) < 10


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_a_history_leaks_nothing_lets_nobody_past_and_leaves_a_mesh_that_works(whole_mesh, request, seed):
    request.node.weir_mesh = whole_mesh
    history = History(whole_mesh, seed)
    wires = [whole_mesh.lab.sniff(node, ["tcp"]) for node in NODES]
    traffic = Traffic(whole_mesh)
    try:
        eventually(lambda: traffic.served.get("alice", 0) >= 3 and traffic.served.get("echo-2", 0) >= 3)
        history.run(STEPS)
        history.recover()
        before = dict(traffic.served)
        eventually(lambda: all(traffic.served[name] > before[name] + 3 for name in ("alice", "echo-2")), 30)
        for newborn in history.born:
            eventually(lambda: newborn.started or newborn.failure, 40)
    finally:
        traffic.stop()
        for newborn in history.born:
            newborn.leave()
        told = f"WEIR_SEED={seed}: " + "; ".join(history.steps)
        print(told)
    assert not traffic.broken, f"{traffic.broken[:5]} in {told}"
    for node, wire in zip(NODES, wires, strict=True):
        assert not wire.holds(SECRET), f"plaintext on the link of {node}, {wire.file}, in {told}"
        wire.file.unlink()
    eventually(lambda: everything_works(whole_mesh) or True, 20)
