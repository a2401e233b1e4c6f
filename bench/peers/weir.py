"""Weir as the lab starts it: agent and proxy on each node, one worker, pods captured by eBPF, mTLS between the nodes.

Weir writes its access log and counts everything, as it ships; the variants below are the same two nodes with their
programs started anew with other settings, or with another pair of pods.

The client dials the server's ClusterIP. Weir's turn begins by labelling both pods as enrolled and ends by taking
the label off, so that the other paths cross the very same pods without it. A turn begins only once a request has
been seen to cross both proxies under mTLS: a capture that failed would make Weir look as fast as no proxy at all.
"""

import copy
import json
import os
import subprocess
import sys
import time

from path import procs
from path.ground import CLIENT, CROWD, NEAR, REPOSITORY, SERVER
from peers import certs
from peers.peer import LAYER_7, ORIGIN_PORTS, Peer

sys.path.insert(0, str(REPOSITORY / "tests/netns"))

import certificates  # noqa: E402

ENROLMENT_S_MAX = 20
OPENED = "weir_tcp_connections_opened_total"
HANDSHAKES = "weir_tls_handshakes_total"
REQUESTS = "weir_requests_total"


class Weir(Peer):
    name = "weir"
    title = "Weir"
    nodes = {"a": "a", "b": "b"}  # side → the lab's name of the node
    pods = (CLIENT, SERVER)  # that its turn enrols
    settings = {"access_log": True, "io": "io_uring", "workers": 1, "proxy_build": None}  # of the lab
    security = "mtls"

    def __init__(self, *args):
        super().__init__(*args)
        self.enrolled = False
        self.leaf = ()

    def weir(self, side):
        return self.ground.lab.weir(Weir.nodes[side])

    def target(self, service):
        return self.ground.service_address, ORIGIN_PORTS[service]

    def pids(self):
        return {side: [self.weir(side).pid("proxy")] for side in self.nodes}

    def start(self):
        """Starts what is not running: both agents and proxies, or after stop() the proxies."""
        if not all(self.weir(side).alive("proxy") for side in Weir.nodes):
            self.ground.lab.options.update(self.settings)
        for role in ("agent", "proxy"):
            for side in Weir.nodes:
                if not self.weir(side).alive(role):
                    self.weir(side).start(role)
        self.ground.lab.wait_ready()
        for pid in self.all_pids():
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.setpriority(os.PRIO_PROCESS, int(thread), procs.NICE)

    def resume(self):
        if self.enrolled:
            return
        options = self.ground.lab.options
        if any(options[name] != value for name, value in self.settings.items()):
            self.stop()
            if options["workers"] != self.settings["workers"]:  # an agent opens so many listeners
                self.stop_role("agent")
            self.start()
        self.label("enabled")
        self.enrolled = True
        self.wait("captured, with both nodes knowing it", self.everybody_knows)
        self.wait("mTLS through both proxies", self.crossed_both_proxies)

    def pause(self):
        if self.enrolled:
            self.label("disabled")
            self.enrolled = False
            self.wait("uncaptured", lambda: len(self.ground.lab.announced()) == 2 * CROWD and self.captured() == 0)

    def stop(self):
        self.stop_role("proxy")

    def stop_role(self, role):
        for side in Weir.nodes:
            if Weir.nodes[side] in self.ground.lab.weirs:
                self.weir(side).stop(role)

    def label(self, value):
        for name in self.pods:
            pod = copy.deepcopy(self.ground.lab.pod(name))
            pod["metadata"]["labels"]["weir.dev/mesh"] = value
            self.ground.lab.apply(pod)

    def everybody_knows(self):
        announced = self.ground.lab.announced()
        return len(announced) - 2 * CROWD == self.captured() == 2 and all(
            self.weir(side).peers() >= announced for side in self.nodes)

    def captured(self):
        """How many of its two pods have Weir's routing rule, the last thing an unenrolment removes."""
        return sum("0x10000000" in self.in_pod(name, ["ip", "rule", "show"]) for name in self.pods)

    def in_pod(self, name, argv):
        return self.ground.lab.exec(name, argv, timeout=5).stdout

    def crossed_both_proxies(self):
        before = [self.opened(side) for side in self.nodes]
        address, port = self.target("tcp")
        self.ground.lab.exec(CLIENT, ["curl", "-s", "-o", "/dev/null", "-m", "2", f"http://{address}:{port}/"])
        return all(self.opened(side) > count for side, count in zip(self.nodes, before))

    def opened(self, side):
        return self.weir(side).metrics("proxy").total(OPENED, connection_security=self.security)

    def tls_entry(self):
        """Where proxy b takes lanes, and with what: address, port, certificate, key, ALPN."""
        if not self.leaf:
            root = max((self.ground.lab.directory / "ca").glob("root-*.pem"), key=lambda path: path.stat().st_mtime)
            self.leaf = certificates.signed(root, certs.IDENTITIES["a"])
        return self.ground.server_address, ORIGIN_PORTS["tcp"], *self.leaf, "weir/1"

    def check(self, service):
        """That requests are walked as requests: carried as bytes they would cost less, and not be what is asked."""
        if service not in LAYER_7:
            return
        before, (address, port) = self.requests(), self.target(service)
        version = "--http1.1" if service == "http" else "--http2-prior-knowledge"
        self.ground.lab.exec(CLIENT, ["curl", "-s", "-o", "/dev/null", "-m", "2", version, f"http://{address}:{port}/1k"])
        self.wait(f"counting requests on the port of {service}", lambda: self.requests() > before, 2)

    def requests(self):
        return self.weir("a").metrics("proxy").total(REQUESTS, reporter="source")

    def wait(self, what, condition, limit_s=ENROLMENT_S_MAX):
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                raise RuntimeError(f"Weir: not {what} within {limit_s} s; see {self.ground.lab.directory}/*/*.log")
            time.sleep(0.1)

    def facts(self):
        binary = os.readlink(f"/proc/{self.pids()['a'][0]}/exe")
        version = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip()
        facts = {"version": version}
        for side in self.nodes:
            for labels, count in self.weir(side).metrics("proxy").find(HANDSHAKES):
                kind = " ".join(str(value) for value in labels.values())
                facts[f"handshakes {side} {kind}"] = int(count)
        return facts


class WeirWithoutLog(Weir):
    name = "weir-nolog"
    title = "Weir, access log off"
    settings = Weir.settings | {"access_log": False}


class OtherWeir(Weir):
    name = "weir-other"
    title = "Weir, the proxy of another build"

    def __init__(self, *args):
        super().__init__(*args)
        self.settings = Weir.settings | {"proxy_build": str(self.ground.other_build)}


class WeirOnEpoll(Weir):
    name = "weir-epoll"
    title = "Weir, epoll instead of io_uring"
    settings = Weir.settings | {"io": "epoll"}


class WeirOnOneNode(Weir):
    name = "weir-near"
    title = "Weir, both pods on one node"
    cases = ("full", "rate", "short")
    nodes = {"a": "a"}
    pods = (CLIENT, NEAR)
    security = "local"

    def target(self, service):
        return self.ground.near_address, ORIGIN_PORTS[service]

    def pids(self):
        return super().pids() | {"b": []}


class WeirWithTwoWorkers(Weir):
    name = "weir-2"
    title = "Weir, two workers"
    cases = ("workers",)
    settings = Weir.settings | {"workers": 2}

    def flows(self, side):
        return json.loads(self.weir(side).admin("proxy", "/flows"))
