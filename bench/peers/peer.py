"""What every path that is measured looks like to the cases, and what two explicit proxies have in common.

A peer is started once, paused while another is measured (stopped by SIGSTOP: it costs nothing and keeps its
pools), resumed for its own samples, and stopped at the end. Proxy "a" is on the client's node, "b" on the
server's. An explicit peer cannot capture: the client dials proxy a's listener on node A's address, which speaks
TLS to proxy b's listener on node B's address, which dials the server pod. Packets cross the same links as when
the client dials the server pod itself.
"""

import os
import signal
from pathlib import Path

from path import procs
from path.ground import CLIENT, NODE_A, NODE_B

# What the origin serves: HTTP/1.1 that the paths are to carry as bytes, iperf3, and HTTP that they are to understand.
ORIGIN_PORTS = {"tcp": 8080, "bulk": 5201, "http": 8081, "h2": 8082, "grpc": 8083}
LAYER_4, LAYER_7 = ("tcp", "bulk"), ("http", "h2", "grpc")


class Peer:
    name = ""
    title = ""  # in tables
    services = LAYER_4 + LAYER_7  # which of them it carries
    cases = ()  # for which alone it is there; empty: all of its services'

    def __init__(self, ground, cache, run_dir):
        self.ground = ground
        self.cache = Path(cache)
        self.run_dir = Path(run_dir)

    def start(self):
        """Returns when a request would succeed."""

    def resume(self):
        """From here on it is this one's turn."""

    def pause(self):
        """From here on it must cost nothing and take no traffic."""

    def stop(self):
        """Ends everything start() began; safe to call twice."""

    def target(self, service):
        """(address, port) that the client dials for one of its services."""
        raise NotImplementedError

    def check(self, service):
        """Raises when the path, whose turn it is, does not treat this service as its name says."""

    def pids(self):
        """The proxies' processes: {"a": [...], "b": [...]}; both empty for the direct path."""
        return {"a": [], "b": []}

    def all_pids(self):
        return [pid for side in self.pids().values() for pid in side]

    def facts(self):
        """Versions, cipher, group, handshakes: what a reader needs in order to believe the figures."""
        return {}


class ExplicitPair(Peer):
    """Two proxies of ours to run, with listeners that the client knows. Ports differ from peer to peer."""

    first_port = 0

    def __init__(self, *args):
        super().__init__(*args)
        self.proxies = {}

    def port(self, service):
        return self.first_port + list(ORIGIN_PORTS).index(service)

    def target(self, service):
        return self.ground.node_a_address, self.port(service)

    def command(self, side):
        raise NotImplementedError

    def start(self):
        for side, node in (("a", NODE_A), ("b", NODE_B)):
            log = self.run_dir / f"{self.name}-{side}.log"
            self.proxies[side] = self.ground.start(node, self.command(side), procs.PROXY_CPU, log)
        for service in self.services:
            self.ground.wait_accepting(NODE_A, self.ground.node_b_address, self.port(service), self.proxies["b"])
            self.ground.wait_accepting(CLIENT, *self.target(service), self.proxies["a"])

    def pids(self):
        return {side: [process.pid] for side, process in self.proxies.items()}

    def resume(self):
        for pid in self.all_pids():
            os.kill(pid, signal.SIGCONT)

    def pause(self):
        for pid in self.all_pids():
            os.kill(pid, signal.SIGSTOP)

    def stop(self):
        for process in self.proxies.values():
            procs.stop(process)
        self.proxies = {}
