"""Configuration that changes a hundred times a second, under traffic: no request fails for it, what is changed meanwhile still
arrives, and memory is back afterwards.

Files of the agents' source appear, change and vanish: routes with their weights, policies, services and their ports. (No
rules about requests come and go: those end, as they should, what is not being parsed.) An agent tells its proxy of a burst at
once (50 ms), so a proxy gets some twenty snapshots a second, each built and taken while the one before is in use.
"""

import itertools
import pathlib
import threading
import time

from http_world import WEB, HttpMesh, eventually, weir_only
from test_replacement import Newcomers, Streams
from world import NODES

MESH = HttpMesh
pytestmark = weir_only
SECONDS, EVERY = 10, 0.01
GROWTH_KIB = 2048
POLICY = """apiVersion: weir.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {{name: flap, namespace: servers}}
spec:
  action: Deny
  selector: {{matchLabels: {{app: web}}}}
  rules: [{{from: [{{principals: ["spiffe://cluster.local/ns/clients/sa/nobody-{n}"]}}]}}]
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {{name: flap, namespace: servers}}
spec: {{selector: {{app: web}}, clusterIP: 10.96.0.99, ports: [{{port: {port}, targetPort: 8080, appProtocol: http}}]}}
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: flap, namespace: servers}}
spec:
  parentRefs: [{{group: "", kind: Service, name: web}}]
  rules:
  - filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: turn, value: "{n}"}}]}}}}]
    backendRefs: [{{name: web-v1, port: 80, weight: {n}}}, {{name: web-v2, port: 80, weight: 1}}]
"""


class Flapping:
    """Changes a file of the source every 10 ms until its block ends; `turns` tells how often."""

    def __init__(self, mesh):
        self.source, self.over, self.turns = pathlib.Path(mesh.lab.manifests.source), threading.Event(), 0
        self.thread = threading.Thread(target=self.run)

    def write(self, name, text):
        new = self.source / f".{name}"
        new.write_text(text)
        new.rename(self.source / f"{name}.yaml")

    def run(self):
        due = time.monotonic()
        for n in itertools.count(1):
            if self.over.is_set():
                return
            what = n % 4
            if what == 0:
                (self.source / "flap-policy.yaml").unlink(missing_ok=True)
            elif what == 1:
                self.write("flap-policy", POLICY.format(n=n))
            elif what == 2:
                self.write("flap-service", SERVICE.format(port=1000 + n % 2000))
            else:
                self.write("flap-route", ROUTE.format(n=n))
            self.turns = n
            due += EVERY
            time.sleep(max(0, due - time.monotonic()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for file in self.source.glob("flap-*.yaml"):
            file.unlink()


class Asking:
    """Requests over HTTP/1.1, on a connection that is kept and on one for each; every one must be answered with 200."""

    def __init__(self, mesh, failures):
        self.mesh, self.failures, self.over, self.served, self.turns = mesh, failures, threading.Event(), 0, set()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        kept = self.mesh.http("alice")
        with kept.socket:
            while not self.over.is_set():
                try:
                    for answer in (kept.ask(), self.mesh.ask(client="bob")):
                        assert answer.status == 200, answer
                        self.turns.add(answer.get("turn"))
                        self.served += 1
                except (OSError, AssertionError) as error:
                    self.failures.append(f"HTTP/1.1: {error!r}")
                    return

    def end(self):
        self.over.set()
        self.thread.join()


def memory_kib(mesh):
    found = {}
    for node in NODES:
        for role in ("agent", "proxy"):
            found[f"{role} of {node}"] = mesh.lab.weir(node).anonymous_kib(role)
    return found


def flap(mesh, seconds):
    """(how often a file changed, how many snapshots each proxy took, how many states of the route were seen)"""
    failures, before = [], snapshots(mesh)
    crowd = [Asking(mesh, failures), Newcomers(mesh, failures), *(Streams(mesh, failures, WEB) for _ in range(2))]
    try:
        with Flapping(mesh) as flapping:
            begun = time.monotonic()
            while time.monotonic() - begun < seconds and not failures:
                mesh.settle()  # what somebody means is not held up by what flaps
                time.sleep(0.2)
    finally:
        for one in crowd:
            one.end()
    assert not failures, failures[:5]
    assert crowd[0].served > 20 * seconds and crowd[1].served > 20 * seconds and crowd[2].served > 20 * seconds
    mesh.settle()
    now = snapshots(mesh)
    return flapping.turns, [now[node] - before[node] for node in NODES], len(crowd[0].turns)


def snapshots(mesh):
    return {node: mesh.total(node, "weir_config_version") for node in NODES}


def test_configuration_that_flaps_a_hundred_times_a_second_fails_no_request_and_leaves_no_memory(mesh):
    flap(mesh, 3)  # what is touched for the first time
    time.sleep(3)
    before = memory_kib(mesh)
    changes, taken, seen = flap(mesh, SECONDS)
    print(f"{changes} changes, {taken} snapshots taken, {seen} states of the route answered")
    assert changes > 80 * SECONDS and min(taken) > 10 * SECONDS and seen > 3 * SECONDS

    def memory_is_back():
        now, quarantine = memory_kib(mesh), mesh.lab.weir("node-1").quarantine_kib()
        grown = {who: now[who] - before[who] for who in now if now[who] - before[who] > GROWTH_KIB + quarantine}
        assert not grown, f"{grown} KiB more than before, {before}"

    eventually(memory_is_back, 10)
    assert mesh.ask().status == 200 and mesh.ask().get("turn") is None
