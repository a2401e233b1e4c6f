"""Ten thousand connections that end badly, in nearly two hundred ways (endings.py), leave nothing behind in the proxies: no
descriptor, no flow, no session, no exempt address, and no memory.

Clients, servers and what stands between end them: across nodes over lanes, on one node, in from outside the mesh and out of
it, raw, over HTTP/1.1 and HTTP/2; and lanes of a peer with a right certificate, in either role. `WEIR_ENDINGS`: how many.

What a proxy keeps on purpose, buffers and rows of metrics among it, it has after as many connections of the same kind: memory
is compared between the end of one such storm and the end of the next, when nothing is open and little has been for a while.
"""

import json
import os
import subprocess
import sys
import time

import apps
import hostile
import pytest
from certificates import ALICE
from endings import WAYS
from http_world import LENT, LENT_H2, LENT_UNSAID, WEB_V2, HttpMesh, eventually, prefix, weir_only
from impostor import impostor  # a fixture
from test_churn import LANES_IDLE, descriptors, difference, map_entries
from world import NODES, REPOSITORY

__all__ = ["impostor"]
pytestmark = weir_only
COUNT = int(os.environ.get("WEIR_ENDINGS", "10000"))  # of each storm
AT_ONCE = 30  # of each client
GROWTH_KIB = 2048
COOLED = 8  # seconds, in which buffers that only the storm needed go back: limits::buffers_cool, a few times
NOBODY = LENT + 9
PROGRAMS = REPOSITORY / "tests/netns"


class TimedMesh(HttpMesh):
    """Requests for /timed have a time-out, and idle connections of pools go soon."""

    def up(self):
        super().up()
        self.apply("TrafficPolicy", "short", targetRefs=[{"kind": "Service", "name": "web-v2"}], connectionPool={"idle": "5s"})
        for name, port in (("timed", LENT), ("timed-h2", LENT_H2)):
            backend = {"backendRefs": [{"name": "web-v2", "port": port}]}
            self.route(name, backend | {"matches": [prefix("/timed")], "timeouts": {"request": "100ms"}}, backend,
                       to="web-v2", port=port)
        self.applied = []  # for as long as the mesh lasts: the impostor needs an agent that stands still
        return self


MESH = TimedMesh


class Storm:
    """The servers, and who dials them."""

    def __init__(self, mesh, impostor):
        self.mesh, self.servers = mesh, []
        leaf = hostile.files(*hostile.authority(mesh).leaf(ALICE))
        self.serve("web-3", "ending_servers.py", "raw", LENT_UNSAID, "h1", LENT, "h2", LENT_H2)
        self.serve("remote", "ending_servers.py", "raw", LENT_UNSAID)
        self.serve(impostor.place.name, "ending_lanes.py", LENT, *hostile.files(*impostor.root.leaf()))
        kinds = {"raw": LENT_UNSAID, "h1": LENT, "h2": LENT_H2}
        service = {kind: (kind, WEB_V2, port) for kind, port in kinds.items()}
        service |= {f"{kind} timed": (f"{kind} timed", WEB_V2, port) for kind, port in kinds.items() if kind != "raw"}
        pod = {kind: (kind, mesh.web_3.v4, port) for kind, port in kinds.items()}
        nobody = {"nobody": ("nobody", mesh.web_3.v4, NOBODY)}
        self.clients = {
            "alice": service | nobody | {"outwards": ("raw", mesh.remote.v4, LENT_UNSAID),
                                         "nobody outside": ("nobody", mesh.remote.v4, NOBODY),
                                         "bad lanes": ("bad lanes", impostor.place.v4, LENT)},
            "shop": service | nobody,  # on web-3's node
            "stranger": pod | nobody | {"lanes": ("lanes", mesh.web_3.v4, LENT_UNSAID)}}
        self.certificate = [str(file) for file in leaf]
        self.ways = sum(len(WAYS[kind]) for groups in self.clients.values() for kind, _, _ in groups.values())

    def serve(self, pod, program, *arguments):
        server = self.mesh.lab.popen(pod, [sys.executable, PROGRAMS / program, *arguments], stdout=subprocess.PIPE)
        self.servers.append(server)
        assert server.stdout.readline() == b"serves\n"

    def rages(self, seed, at_once):
        """As many connections as asked for; what became of them: [(client, group, kind, way, ended, how often, longest)]."""
        def orders(groups):
            return json.dumps({"count": -(-COUNT // self.ways), "at_once": at_once, "seed": seed, "groups": groups,
                               "certificate": self.certificate})

        begun = time.monotonic()
        program = [sys.executable, PROGRAMS / "endings.py"]
        running = {pod: self.mesh.lab.popen(pod, [*program, orders(groups)], stdout=subprocess.PIPE)
                   for pod, groups in self.clients.items()}
        told = [(pod, *row) for pod, process in running.items() for row in json.loads(process.communicate()[0])]
        count = sum(row[5] for row in told)
        print(f"{count} connections in {self.ways} ways took {time.monotonic() - begun:.0f} s")
        assert count >= COUNT
        return told

    def end(self):
        for server in self.servers:
            server.kill()
            server.wait()


@pytest.fixture
def storm(whole_mesh, impostor):
    made = Storm(whole_mesh, impostor)
    yield made
    made.end()


def what_there_is(mesh):
    found = {}
    for node in NODES:
        metrics, kinds = mesh.lab.metrics(node), descriptors(mesh, node, "proxy")
        lanes = metrics.total("weir_lanes")
        found[f"{node}: idle lanes"] = lanes
        found[f"{node}: sockets of no lane"] = kinds.pop("socket") - lanes
        found[f"{node}: other descriptors"] = kinds
        found[f"{node}: exempt"] = map_entries(mesh, node, "exempt")
        for kind in ("http/1.1", "http/2"):
            found[f"{node}: pooled connections, {kind}"] = metrics.total("weir_upstream_connections", kind=kind)
        for gauge in ("weir_flows", "weir_sessions", "weir_requests_in_flight"):
            found[f"{node}: {gauge}"] = metrics.total(gauge)
    return found


def nothing_moves(mesh):
    for node in NODES:
        metrics = mesh.lab.metrics(node)
        for gauge in ("weir_flows", "weir_sessions", "weir_requests_in_flight"):
            assert metrics.total(gauge) == 0, f"{node}: {gauge} is {metrics.total(gauge)}"


def use_a_little(mesh, seconds):
    """As quiet a time as a node ever has: buffers that the kernel was given, for a burst, come back by being used."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for client in (mesh.alice, mesh.shop):
            client.echo(mesh.web_3.v4, apps.ECHO, text=b"x" * 200_000)
        time.sleep(0.1)
    eventually(lambda: nothing_moves(mesh), 10)


def test_connections_that_end_abnormally_leave_no_descriptor_and_no_memory(mesh, storm):
    eventually(lambda: nothing_moves(mesh), 20)
    rest = what_there_is(mesh)
    ended, memory = [], []
    for seed, at_once in ((1, 2 * AT_ONCE), (2, AT_ONCE)):
        ended += storm.rages(seed, at_once)
        eventually(lambda: nothing_moves(mesh), 30)
        use_a_little(mesh, COOLED)
        memory.append({node: mesh.lab.weir(node).anonymous_kib() for node in NODES})
    print(f"KiB of anonymous memory after each: {memory}")
    def at_rest(without):
        left = difference(rest, what_there_is(mesh), without)
        assert not left, json.dumps(left, indent=1)

    eventually(lambda: at_rest(["idle lanes"]), 30)
    if COUNT > 10_000:
        eventually(lambda: at_rest([]), LANES_IDLE)
    for node in NODES:
        grown, may = memory[1][node] - memory[0][node], GROWTH_KIB + mesh.lab.weir(node).quarantine_kib()
        assert grown < may, f"{node}: {grown} KiB more after {COUNT} connections, {memory}"
    wrong = [row for row in ended if row[4] not in WAYS[row[2]][row[3]][1]]
    assert not wrong, "\n".join(map(str, wrong[:40]))
