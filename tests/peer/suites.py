"""The mesh in which the suites run: tests/peer/world, with Weir or whoever WEIR_HTTP names between client and servers."""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

from lab import Lab  # noqa: E402
from standin import StandIn, between, dialled  # noqa: E402

import tools  # noqa: E402

WORLD = pathlib.Path(__file__).with_name("world")
CLIENT = "suites/client"
SERVICES = {"nginx": "10.96.0.1", "grpc-go": "10.96.0.2", "grpc-ruby": "10.96.0.3", "ws-node": "10.96.0.4",
            "ws-python": "10.96.0.5", "h2specd": "10.96.0.6"}


class Suites:
    """The lab of one module of suites."""

    def __init__(self):
        self.between = between() or "weir"
        self.lab = Lab(os.environ.get("WEIR_LAB", "suites"), weir=self.between == "weir")

    def up(self):
        tools.go("grpc-interop-server")
        tools.grpc_ruby()
        self.lab.up(WORLD)
        if self.between == "weir":
            self.declare_ports()
        elif self.between != "direct":
            StandIn(self.lab, self.between).start(CLIENT)
        self.marks = {node: self.lab.access_log_size(node) for node in ("node-1", "node-2")}
        return self

    def declare_ports(self):
        """What an annotation says to a stand-in, Weir learns from the Service itself: every one of its many ports."""
        for service in self.lab.manifests.of_kind("Service"):
            many = int(service["metadata"].get("annotations", {}).get("weir.dev/stand-in-ports", 1))
            if many == 1:
                continue
            first = service["spec"]["ports"][0]
            ports = range(first["port"], first["port"] + many)
            service["spec"]["ports"] = [first | {"name": f"{first['name']}-{port}", "port": port} for port in ports]
            self.lab.apply(service)
            # A declared port behind which nothing listens is answered by Weir, one that is not declared is refused.
            ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "2", "--http2-prior-knowledge",
                   f"http://{service['spec']['clusterIP']}:{ports[-1]}/"]
            self.wait("its many ports to be known", lambda: self.run(*ask).stdout == "503")

    @staticmethod
    def wait(what, check, timeout=30):
        deadline = time.monotonic() + timeout
        while not check():
            assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
            time.sleep(0.1)

    def address(self, name, port=80):
        return dialled(self.lab, self.between, SERVICES[name], port)

    def run(self, *argv, timeout=60, where=CLIENT):
        """A CompletedProcess of a command in the client's pod."""
        return self.lab.exec(where, [str(a) for a in argv], timeout=timeout)

    def wait_for(self, name):
        """Until this server answers to its port at all, by the way that its clients take."""
        host, port = dialled(self.lab, "direct", SERVICES[name], 80)
        probe = ["/usr/bin/python3", "-c", f"import socket; socket.create_connection(('{host}', {port}), 2)"]
        self.wait(f"{name} to listen", lambda: self.lab.exec(name, probe).returncode == 0)

    def went_through_the_mesh(self, workload, kind=None):
        """The access log of node-1 must know of it: requests or connections (or one `kind`) to it, over mTLS."""
        if self.between != "weir":
            return
        self.wait(f"an mTLS entry for {workload}", lambda: any(
            e["destination"].get("workload") == workload and e["security"] == "mtls" and kind in (None, e["kind"])
            for e in self.lab.access_log("node-1", self.marks["node-1"])), 10)
