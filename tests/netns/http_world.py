"""What HTTP scenarios speak of: the mesh of http_world, requests from a pod, and what reached which pod.

WEIR_HTTP says who stands between client and server: `weir` (or 1); `haproxy`, a stand-in, to test the scenarios
themselves; `direct`, nobody. Scenarios marked `weir_only` need routes, policies or telemetry, which only Weir has.
"""

import collections
import json
import pathlib

import pytest

import http_apps
from h2_ends import H2End
from http_ends import End
from standin import StandIn, between, dialled
from world import LENT, Mesh, eventually

WORLD = pathlib.Path(__file__).with_name("http_world")
BETWEEN = between() or "direct"
# What conftest.py leaves out where it cannot hold: without Weir, with nobody between at all, with what HAProxy gets wrong.
weir_only, proxied, beyond_haproxy = pytest.mark.weir_only, pytest.mark.proxied, pytest.mark.beyond_haproxy

WEB, WEB_V1, WEB_V2, SHADOW, EMPTY, SHOP, REMOTE = (f"10.96.0.{n}" for n in range(1, 8))
HTTP, H2, GRPC, UNSAID, UNSAID_H2, OPAQUE = 80, 81, 82, 83, 84, 85
LENT_H2, LENT_UNSAID = LENT + 1, LENT + 2
WEB_PODS = {"matchLabels": {"app": "web"}}
GATEWAY = "gateway.networking.k8s.io/v1"


class HttpMesh(Mesh):
    """The mesh of one module of HTTP scenarios."""

    def __init__(self, between=BETWEEN, **options):
        super().__init__(weir=between == "weir", world=WORLD, **options)
        self.between = between

    def up(self):
        super().up()
        if self.between not in ("weir", "direct"):
            for pod in ("alice", "bob", "carol"):
                StandIn(self.lab, self.between).start(pod)
        return self

    def address(self, service, port):
        """Where to dial a port of a Service: its ClusterIP, or with nobody between the last of its pods."""
        return dialled(self.lab, self.between, service, port)

    # --- Clients -------------------------------------------------------------------------------------------------
    def http(self, client="alice", service=WEB, port=HTTP):
        """A client's end of a new connection."""
        return End(getattr(self, client).connect(*self.address(service, port)))

    def h2(self, client="alice", service=WEB, port=H2, **more):
        return H2End(getattr(self, client).connect(*self.address(service, port)), **more)

    def ask(self, method="GET", target="/", fields=(), body=b"", client="alice", service=WEB, port=HTTP, **more):
        """One request on a connection of its own."""
        end = self.http(client, service, port)
        with end.socket:
            return end.ask(method, target, fields, body, **more)

    def ask_h2(self, method="GET", path="/", fields=(), body=b"", client="alice", service=WEB, port=H2):
        end = self.h2(client, service, port)
        with end.socket:
            return end.answer(end.ask(method, path, fields, body))

    def tally(self, count, target="/", by="version", **more):
        """How often each version (or pod) answered, over one connection that is kept."""
        end = self.http(more.pop("client", "alice"), more.pop("service", WEB))
        with end.socket:
            return collections.Counter(end.ask(target=target, **more).json[by] for _ in range(count))

    # --- Servers -------------------------------------------------------------------------------------------------
    def both_ends(self, client="alice", port=LENT):
        """(client's End, a function that accepts the server's End): web-3 listens, behind the Service web-v2.

        The server's connection may come only with the first request, so it is accepted when the scenario needs it.
        """
        listener = self.web_3.listen(port)
        listener.settimeout(10)
        dial = self.h2 if port == LENT_H2 else self.http
        return Ends(dial(client, WEB_V2, port), listener, port == LENT_H2)

    def requests(self, pod, event="request", **fields):
        """What the pod's application logged in this test and has these fields."""
        lines = (self.directory(pod) / "requests.log").read_text().splitlines()[self.log_marks.get(pod, 0):]
        return [e for e in map(json.loads, lines)
                if e["event"] == event and all(e.get(k) == v for k, v in fields.items())]

    def nothing_open(self, node):
        """Connections to applications are pooled: it is requests that must have ended."""
        under_way = self.lab.metrics(node).total("weir_requests_in_flight")
        assert under_way == 0, f"{node}: {under_way} requests under way"
        return True

    def begin(self):
        super().begin()
        self.log_marks = {pod: len((self.directory(pod) / "requests.log").read_text().splitlines()) for pod in self.pods}

    # --- Objects -------------------------------------------------------------------------------------------------
    def route(self, name, *rules, to="web", namespace="servers", kind="HTTPRoute", parent_namespace="servers", **parent):
        """An HTTPRoute (or GRPCRoute) on a Service until the end of the test."""
        reference = {"group": "", "kind": "Service", "name": to, "namespace": parent_namespace} | parent
        self.apply(kind, name, namespace, GATEWAY, parentRefs=[reference], rules=list(rules))

    def deny(self, name="deny", rule_name="not this", action="Deny", selector=None, **to):
        """An AuthorizationPolicy on the pods of web with one rule about requests."""
        self.apply("AuthorizationPolicy", name, selector=selector or WEB_PODS, action=action,
                   rules=[{"name": rule_name, "to": [to]}])


class Ends:
    """A client's end, and the server's once it is accepted."""

    def __init__(self, client, listener, h2):
        self.client, self.listener, self.h2, self.servers = client, listener, h2, []

    def accept(self):
        connection = self.listener.accept()[0]
        connection.settimeout(15)
        self.servers.append(H2End(connection, client=False) if self.h2 else End(connection))
        return self.servers[-1]

    def asked(self):
        """The server's end, once a plain request of the client's has come there (HTTP/1.1)."""
        self.client.send_request()
        server = self.accept()
        server.request()
        return server

    def nothing_arrives(self, seconds=0.5):
        """Nothing of what the client sent reaches the server."""
        self.listener.settimeout(seconds)
        try:
            message = self.accept().head()
            assert message is None, f"it reached the server: {message}"
        except TimeoutError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for end in [self.client, *self.servers]:
            end.socket.close()
        self.listener.close()


def backends(**weights):
    """backendRefs to Services of `servers` on their port http: web_v1=90 is web-v1 with weight 90."""
    return [{"name": name.replace("_", "-"), "port": HTTP, "weight": weight} for name, weight in weights.items()]


def prefix(value):
    return {"path": {"type": "PathPrefix", "value": value}}


def do(who="*", **order):
    """The field that tells the application what to do (http_apps.py)."""
    return [("x-do", json.dumps({who: order}))]


__all__ = ["BETWEEN", "EMPTY", "GRPC", "H2", "HTTP", "LENT", "LENT_H2", "LENT_UNSAID", "OPAQUE", "REMOTE", "SHADOW", "SHOP",
           "UNSAID", "UNSAID_H2", "WEB", "WEB_PODS", "WEB_V1", "WEB_V2", "HttpMesh", "backends", "beyond_haproxy", "do",
           "eventually", "http_apps", "prefix", "proxied", "weir_only"]
