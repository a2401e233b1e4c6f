"""What is on the wire between the nodes: no byte of plaintext between enrolled pods, whatever restarts meanwhile."""

import collections
import os
import random
import time

import pytest
from daemons import Daemon
from nodes import BRIDGE
from space import Space, tally, until

SECRET, OPEN = "plaintext-would-show-this", "outside-the-mesh-this-is-seen"
ROLLOUTS = int(os.environ.get("WEIR_ROLLOUTS", "6"))


def furnish(space):
    """Servers that end as a pod has to that is to lose no request: after SIGTERM they go on for a while."""
    space.deploy("web", replicas=4, grace=10, arguments=["--linger=5s"])
    space.service("web")
    space.pod("client", node="weir-node-1")
    return space


@pytest.fixture(scope="module", autouse=True)
def shop(space):
    return furnish(space)


class Sniffer:
    """tcpdump on the bridge between the nodes, from begin to end."""

    def __init__(self, cluster, path):
        self.path = path
        self.daemon = Daemon(cluster.control_plane.state, "sniffer", bound=True)

    def __enter__(self):
        self.daemon.start(["tcpdump", "-i", BRIDGE, "-s", "0", "-U", "-w", self.path, "tcp and net 10.244.0.0/16"])
        until(self.path.exists, 20, "tcpdump writes")
        time.sleep(1)
        return self

    def __exit__(self, *_):
        time.sleep(1)
        self.daemon.stop()

    def bytes(self):
        return self.path.read_bytes()


def test_the_sniffer_sees_plaintext_where_there_is_some(shop, cluster, tmp_path):
    """The tests below can fail: an application outside the mesh is read in plain."""
    with Sniffer(cluster, tmp_path / "plain.pcap") as sniffer:
        shop.pod("bare", node="weir-node-1", labels={"weir.dev/mesh": "disabled"})
        for pod in shop.pods("web"):
            shop.ask("bare", f"http://{pod['status']['podIP']}:8080/{SECRET}")
    assert SECRET.encode() in sniffer.bytes()


def test_enrolled_pods_on_two_nodes_say_nothing_in_plaintext(shop, cluster, tmp_path):
    with Sniffer(cluster, tmp_path / "mesh.pcap") as sniffer:
        told = shop.ask("client", f"http://web/{SECRET}", count=40)
    assert all(answer.status == 200 for answer in told)
    nodes = {pod["spec"]["nodeName"] for pod in shop.pods("web")}
    assert len(nodes) == 2 and len(sniffer.bytes()) > 10_000, "nothing crossed the bridge"
    assert SECRET.encode() not in sniffer.bytes() and b"ServiceVersion=" not in sniffer.bytes()


class Restarts:
    """What happens to Weir's processes, drawn at random: an agent or a proxy of some node is killed, or a node's pod deleted.

    `.lost` is how many requests of a client that sends one after the other may end by it: the one that a proxy of the
    client's own node had in hand when it was killed. Its connection to the application ended with it, as connections to any
    process that is killed do; nothing else that happens here may cost a request.
    """

    def __init__(self, mesh, dice, client_node):
        self.mesh, self.dice, self.client_node = mesh, dice, client_node
        self.done, self.lost = collections.Counter(), 0

    def one(self):
        node = self.dice.choice(self.mesh.cluster.nodes)
        what = self.dice.choice(["agent", "agent", "proxy", "pod"])
        if what == "pod":
            self.mesh.kubectl("delete", "pod", self.mesh.node_pods()[node.name], "--wait=false")
        else:
            node.kill(f"weir-{what}")
        self.done[what] += 1
        self.lost += what == "proxy" and node.name == self.client_node
        print(f"{time.strftime('%H:%M:%S', time.gmtime())} {what} of {node.name}", flush=True)


def test_rollouts_under_load_with_restarts_leak_nothing_and_fail_no_more_than_without_a_mesh(shop, cluster, mesh, tmp_path):
    """Rollouts of two equal Deployments at once, one in the mesh and one not, under equal loads, while Weir's agents,
    proxies and pods restart at random (WEIR_ROLLOUTS; WEIR_SEED, which is printed, draws the same again)."""
    seed = int(os.environ.get("WEIR_SEED", time.time_ns() % 2**32))
    print(f"WEIR_SEED={seed}")
    dice = random.Random(seed)
    restarts = Restarts(mesh, dice, "weir-node-1")
    with Space(cluster, "wire-outside", enrolled=False) as outside, Sniffer(cluster, tmp_path / "rollouts.pcap") as sniffer:
        furnish(outside)
        loads = {"mesh": shop.load("client", f"http://web/{SECRET}"), "outside": outside.load("client", f"http://web/{OPEN}")}
        for _ in range(ROLLOUTS):
            for space in (shop, outside):
                space.kubectl("rollout", "restart", "deployment/web")
            time.sleep(dice.uniform(0.5, 4))
            restarts.one()
            for space in (shop, outside):
                space.kubectl("rollout", "status", "deployment/web", "--timeout=180s", timeout=190)
            time.sleep(dice.uniform(0, 3))
        assert all(load.poll() is None for load in loads.values()), "a load ended before the rollouts did"
        told = {name: tally(load) for name, load in loads.items()}
    failed = {name: sum(count for key, count in seen.items() if key != "200") for name, (seen, _) in told.items()}
    said = {name: {"requests": sum(seen.values()), "failed": failed[name]} for name, (seen, _) in told.items()}
    print(f"{ROLLOUTS} rollouts, restarts {dict(restarts.done)}, {said}")
    assert OPEN.encode() in sniffer.bytes(), "the load outside the mesh was not on the wire"
    assert SECRET.encode() not in sniffer.bytes()
    assert failed["mesh"] <= failed["outside"] + restarts.lost, told["mesh"][1]
