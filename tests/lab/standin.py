"""A stand-in for the mesh: one ordinary proxy in a client pod, which answers for every ClusterIP of the lab.

With it, suites and scenarios that are made for Weir are themselves tested: they must run against a proxy that others
wrote (`haproxy`), and find fault with one that only moves bytes (`relay`: HAProxy in TCP mode). The lab is then made
without Weir; the Services' addresses are put on the client pod's loopback, and connections to them end in the stand-in.
What needs routes, policies or identities it does not have. It runs in the pod's cgroup, so it ends with the lab.

The variable WEIR_HTTP says who stands between: `weir` (or 1), a stand-in, or `direct`, nobody. A Service whose ports are
many says so with the annotation weir.dev/stand-in-ports: as many of the pod's ports, from its first on, are passed on.
"""

import os

import network
from manifests import pod_name
from processes import LabError

KINDS = ("haproxy", "relay")
HTTP2 = ("kubernetes.io/h2c", "http2", "grpc")
GLOBAL = """global
  log stdout format raw daemon err
  hard-stop-after 1s
  maxconn 4000
defaults
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  timeout http-request 10s
  retries 1
  option abortonclose
"""


def between():
    """Who stands between clients and servers of HTTP: what WEIR_HTTP says, else Weir."""
    said = os.environ.get("WEIR_HTTP", "weir")
    return "weir" if said in ("", "1") else said


def dialled(lab, who, service_address, port):
    """Where a client dials this port of a Service: its ClusterIP, or with nobody between the last of its pods."""
    if who != "direct":
        return service_address, port
    service = next(s for s in lab.manifests.of_kind("Service") if s["spec"].get("clusterIP") == service_address)
    sliced = lab.manifests.slice_of(service, "IPv4")
    name = next(p.get("name", "") for p in service["spec"]["ports"] if p["port"] == port)
    return sliced["endpoints"][-1]["addresses"][0], next(p["port"] for p in sliced["ports"] if p["name"] == name)


class StandIn:
    """The stand-in of one client pod."""

    def __init__(self, lab, kind):
        if kind not in KINDS:
            raise LabError(f"no stand-in is called {kind!r}; there are {', '.join(KINDS)}")
        self.lab, self.kind = lab, kind

    def start(self, pod):
        """Runs it in this pod and waits until it answers for every Service."""
        services = [s for s in self.lab.manifests.of_kind("Service") if s["spec"].get("clusterIP")]
        addresses = [a for s in services for a in self.ips(s)]
        network.ip(self.lab.netns_of_pod(self.lab.pod(pod)),
                   *[f"addr add {a}/{128 if ':' in a else 32} dev lo" for a in addresses])
        directory = self.lab.pod_directory(self.lab.pod(pod))
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / f"{self.kind}.cfg"
        config.write_text(GLOBAL + "".join(self.proxy(s, port) for s in services for port in s["spec"]["ports"]))
        checked = self.lab.exec(pod, ["haproxy", "-c", "-q", "-f", str(config)])
        if checked.returncode != 0:
            raise LabError(f"{config}: {checked.stdout}{checked.stderr}")
        with open(directory / f"{self.kind}.log", "ab") as log:
            self.process = self.lab.popen(pod, ["haproxy", "-db", "-f", str(config)], stdout=log, stderr=log)
        first = services[0]
        self.lab.exec(pod, ["python3", "-c", PROBE, self.ips(first)[0], str(first["spec"]["ports"][0]["port"])]
                      ).check_returncode()

    @staticmethod
    def ips(service):
        return service["spec"].get("clusterIPs") or [service["spec"]["clusterIP"]]

    def proxy(self, service, port):
        """One `listen` section: a port of a Service and its endpoints, in turn."""
        protocol = port.get("appProtocol", "")
        tcp = self.kind == "relay" or protocol == "tcp"
        h2 = " proto h2" if protocol in HTTP2 and not tcp else ""
        many = int(service["metadata"].get("annotations", {}).get("weir.dev/stand-in-ports", 1))
        first, last = port["port"], port["port"] + many - 1
        lines = [f"listen {pod_name(service).replace('/', '-')}-{first}", f"  mode {'tcp' if tcp else 'http'}"]
        lines += [f"  bind {a if ':' not in a else '[' + a + ']'}:{first}{'-' + str(last) if last > first else ''}{h2}"
                  for a in self.ips(service)]
        for endpoint in self.endpoints(service):
            target = "" if last > first else f":{self.target(service, port)}"
            lines.append(f"  server {endpoint['targetRef']['name']} {endpoint['addresses'][0]}{target}{h2}")
        return "\n".join(lines) + "\n"

    def endpoints(self, service):
        return [e for e in self.lab.manifests.slice_of(service, "IPv4")["endpoints"] if e["conditions"]["ready"]]

    def target(self, service, port):
        slices = self.lab.manifests.slice_of(service, "IPv4")["ports"]
        return next(p["port"] for p in slices if p["name"] == port.get("name", ""))


PROBE = """
import socket, sys, time
for _ in range(200):
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
        sys.exit(0)
    except OSError:
        time.sleep(0.05)
sys.exit("the stand-in does not listen")
"""
