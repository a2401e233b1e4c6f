"""Pods that come and go under traffic leave nothing behind, above all no network namespace that somebody still holds.

A namespace whose name, processes and veth are gone can live on in a socket, a descriptor, or a kernel thread that
io_uring made while a worker was in it; no tool lists those. So each pod gets one more veth, a witness: its other end
stands in the node's namespace and goes only when the kernel has really freed the pod's.
"""

import collections
import json
import os
import pathlib
import subprocess
import threading
import time

import apps
import network
from world import NODES, SERVICE, Place, eventually, read_exactly

MESH_OPTIONS = {"workers": 2}
PODS, AT_ONCE = int(os.environ.get("WEIR_CHURN_PODS", "20")), 4
MAPS = ("pods", "namespaces", "addresses", "listeners", "cgroups", "exempt", "listening")
FREED_WITHIN = 5  # seconds, after the last pod of a wave has gone
OBJECT_STAYS = 1.2  # seconds: the agent looks at namespaces every second
LANES_IDLE = 75   # seconds: lanes to a pod that vanished are given up a minute after their last session


class Guest(Place):
    """A pod with a witness, and connections of every kind, held open at both ends."""

    def __init__(self, mesh, number):
        self.node, self.short = NODES[number % 2], f"guest-{number}"
        mesh.lab.add_pod({"apiVersion": "v1", "kind": "Pod",
                          "metadata": {"name": self.short, "namespace": "servers", "uid": f"uid-{self.short}"},
                          "spec": {"nodeName": self.node, "serviceAccountName": f"guest-{number % 3}",
                                   "containers": [dict(mesh.lab.pod("echo-1")["spec"]["containers"][0])]}})
        super().__init__(mesh, self.short)
        self.witness = f"wit{number}"
        network.ip(mesh.lab.node_netns(self.node),
                   f"link add {self.witness} type veth peer name wit netns {mesh.lab.place(self.short)[0]}")

    def hold(self):
        mesh = self.mesh
        self.inwards = [client.connect(self.v4, apps.ECHO) for client in (mesh.alice, mesh.bob, mesh.outsider, mesh.echo_2)]
        self.outwards = [self.connect(address, apps.ECHO)
                         for address in (mesh.echo_1.v4, mesh.echo_2.v6, SERVICE["v4"], mesh.outsider.v4)]
        for connection in (*self.inwards, *self.outwards):
            connection.sendall(b"x")
            read_exactly(connection, 1)
        # And one in mid-stream from the other node, with full buffers on the whole way. (On the same node it would be the
        # application's own socket that keeps the namespace, as without a mesh: nobody is left to read what it has sent.)
        self.inwards.append((mesh.echo_2 if self.node == "node-1" else mesh.alice).connect(self.v4, apps.SOURCE))
        self.inwards[-1].sendall(b"64\n")
        read_exactly(self.inwards[-1], 1000)

    def leave(self, object_stays):
        for connection in self.outwards:  # The test holds them for processes of the pod, which are about to die.
            connection.close()
        # As a container runtime does: processes first, and their FINs are through before the pod's link goes. Else it is
        # the application's own socket, talking to a pod of the same node, that keeps the namespace for a while.
        self.mesh.lab.place(self.short)[1].kill()
        time.sleep(0.1)
        self.mesh.lab.remove_pod(self.short, object_stays)

    def freed(self):
        links = subprocess.run(["ip", "-n", self.mesh.lab.node_netns(self.node), "link", "show", self.witness],
                               capture_output=True, text=True)
        assert links.returncode != 0, f"{self.short}: its network namespace is still there"


class Traffic:
    """Short connections to whoever is there, all the time, in three threads."""

    def __init__(self, mesh):
        self.guests, self.answers, self.over = [], collections.Counter(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(client,))
                        for client in (mesh.alice, mesh.outsider, mesh.echo_2)]

    def run(self, client):
        while not self.over.is_set():
            for guest in list(self.guests):
                try:
                    self.answers[client.who(guest.v4, timeout=1)["pod"]] += 1
                except (OSError, ValueError):
                    pass  # It has just gone; that is the point.
            self.over.wait(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(60)


def map_entries(mesh, node, name):
    """How many entries a pinned map has. Of a SOCKMAP an empty slot is listed too, as an error."""
    pin = next((mesh.lab.directory / node / "bpf").glob(f"v*/map_{name}"))
    done = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", pin], capture_output=True, text=True)
    entries = json.loads(done.stdout)
    return sum(1 for entry in entries if "error" not in (entry.get("value") or {}))


def descriptors(mesh, node, role):
    """The descriptors of a process, counted by kind: sockets, namespaces, maps, programs, links, files."""
    kinds = collections.Counter()
    for descriptor in pathlib.Path(f"/proc/{mesh.lab.weir(node).pid(role)}/fd").iterdir():
        try:
            kinds[os.readlink(descriptor).split(":[")[0]] += 1
        except FileNotFoundError:
            pass
    return dict(kinds)


def namespaces_of(mesh, node, role):
    """The network namespaces that the threads of a process are in, io_uring's own threads among them."""
    found = set()
    for task in pathlib.Path(f"/proc/{mesh.lab.weir(node).pid(role)}/task").iterdir():
        try:
            found.add(os.readlink(task / "ns/net"))
        except FileNotFoundError:
            pass
    return sorted(found)


def what_there_is(mesh):
    """Everything of the mesh that a pod adds to, by name."""
    found = {}
    for node in NODES:
        netns = mesh.lab.node_netns(node)
        for name in MAPS:
            found[f"{node}: entries of map {name}"] = map_entries(mesh, node, name)
        found[f"{node}: pins"] = sorted(p.name for p in (mesh.lab.directory / node / "bpf").glob("v*/*"))
        found[f"{node}: state"] = sorted(str(p) for p in (mesh.lab.directory / node / "state").rglob("*") if "guest" in p.name)
        links = json.loads(subprocess.run(["ip", "-n", netns, "-j", "link"], capture_output=True, text=True).stdout)
        found[f"{node}: links"] = sorted(link["ifname"] for link in links)
        for family in ("-4", "-6"):
            rules = subprocess.run(["ip", family, "-n", netns, "rule"], capture_output=True, text=True)
            found[f"{node}: rules {family}"] = rules.stdout
        for role in ("agent", "proxy"):
            found[f"{node}: namespaces of the {role}'s threads"] = namespaces_of(mesh, node, role)
            kinds = descriptors(mesh, node, role)
            found[f"{node}: sockets of the {role}"] = kinds.pop("socket", 0)
            found[f"{node}: other descriptors of the {role}"] = kinds
    found["announced"] = sorted(mesh.lab.announced())
    return found


def difference(before, now, without=()):
    """What there is more of, or what is another. Fewer sockets are no leak: idle lanes from before go too."""
    def worse(what):
        return now[what] > before[what] if "sockets of" in what else now[what] != before[what]

    return {what: (before[what], now[what]) for what in before if worse(what) and not any(word in what for word in without)}


def test_pods_that_come_and_go_under_traffic_leave_nothing_and_no_namespace(mesh):
    for client in (mesh.alice, mesh.bob, mesh.echo_2, mesh.outsider):  # What there is once everybody has spoken.
        for server in (mesh.echo_1, mesh.echo_2, mesh.echo_3):
            client.who(server.v4)
    time.sleep(1)
    before = what_there_is(mesh)
    with Traffic(mesh) as traffic:
        for first in range(0, PODS, AT_ONCE):
            wave = [Guest(mesh, number) for number in range(first, min(first + AT_ONCE, PODS))]
            for guest in wave:
                eventually(guest.lender.exists)
                mesh.meshed(guest.short)
                eventually(lambda: guest.reaches(mesh.echo_2.v6))
            traffic.guests[:] = wave
            for guest in wave:
                guest.hold()
            assert difference(before, what_there_is(mesh)), "the comparison would not see a pod if it were there"
            eventually(lambda: all(traffic.answers[guest.short] for guest in wave))
            for guest in wave:  # of every second wave the agent sees the namespace go before it hears of the pod
                guest.leave(object_stays=OBJECT_STAYS if first % (2 * AT_ONCE) else 0)
            for guest in wave:
                eventually(guest.freed, FREED_WITHIN)
                for connection in guest.inwards:
                    connection.close()

    def gone(without):
        left = difference(before, what_there_is(mesh), without)
        assert not left, json.dumps(left, indent=1)

    eventually(lambda: gone(without=["sockets of"]), 10)
    eventually(lambda: gone(without=[]), LANES_IDLE)
    assert mesh.alice.who(mesh.echo_2.v4)["pod"] == "echo-2"
    # Nobody broke anything: a pod that ends is no fault of its capture.
    for node in NODES:
        told = [line for line in mesh.lab.weir(node).log_tail("agent", 5000).splitlines()
                if "guest-" in line and ("error" in line or "mended" in line)]
        assert not told, "\n".join(told)
