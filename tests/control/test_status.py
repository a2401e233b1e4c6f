"""What weir-controller writes to the status of routes and policies, on a real API server."""

import json
import time

import pytest
from controllers import Controller, rights
from daemons import eventually
from source import install_crds
from test_source import route, service, to, weir


@pytest.fixture(scope="module")
def cluster(gateway_api):
    install_crds(gateway_api)
    for name in ("weir-system", "shop", "other"):
        gateway_api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    gateway_api.apply(rights())
    gateway_api.apply([service("web", {"app": "web"}), service("rpc", {"app": "rpc"}),
                       service("headless", {"app": "web"}, clusterIP="None"),
                       service("far", {"app": "far"}, namespace="other")])
    return gateway_api


@pytest.fixture(scope="module")
def controller(cluster, tmp_path_factory):
    with Controller(cluster, tmp_path_factory.mktemp("status"), "one") as one:
        yield one.ready()


def entries(cluster, kind, name):
    return cluster.get(kind, name, "-n", "shop").get("status", {}).get("parents", [])


def conditions(cluster, kind, name, parent=0):
    """{type: (status, reason)} once it is of the object's generation."""
    def current():
        found = cluster.get(kind, name, "-n", "shop")
        status = found.get("status", {})
        listed = status.get("conditions") or [e for e in status.get("parents", [])
                                              if e["controllerName"] == "weir.dev/mesh-controller"][parent]["conditions"]
        if any(c["observedGeneration"] != found["metadata"]["generation"] for c in listed):
            return None
        return {c["type"]: (c["status"], c["reason"], c["message"]) for c in listed}

    def tried():
        try:
            return current()
        except IndexError:
            return None
    return eventually(tried, 20, f"conditions of {kind} {name}")


def backend(name="web", port=80, **more):
    return {"name": name, "port": port} | more


def test_routes_get_the_conditions_that_the_gateway_api_has_for_each_case(cluster, controller):
    good = {"parentRefs": [to("web")], "rules": [{"backendRefs": [backend()]}]}
    rows = {
        "good": (good, ("True", "Accepted"), ("True", "ResolvedRefs")),
        "no-service": (good | {"parentRefs": [to("nobody")]}, ("False", "NoMatchingParent"), ("True", "ResolvedRefs")),
        "no-port": (good | {"parentRefs": [to("web", 81)]}, ("False", "NoMatchingParent"), ("True", "ResolvedRefs")),
        "headless": (good | {"parentRefs": [to("headless")]}, ("False", "NoMatchingParent"), ("True", "ResolvedRefs")),
        "no-backend": (good | {"rules": [{"backendRefs": [backend("nobody")]}]}, ("True", "Accepted"),
                       ("False", "BackendNotFound")),
        "foreign": (good | {"rules": [{"backendRefs": [backend("far", namespace="other")]}]}, ("True", "Accepted"),
                    ("False", "RefNotPermitted")),
        "kind": (good | {"rules": [{"backendRefs": [backend(group="a.b", kind="Thing")]}]}, ("True", "Accepted"),
                 ("False", "InvalidKind")),
        "filter": (good | {"rules": [{"filters": [{"type": "ExtensionRef",
                                                    "extensionRef": {"group": "a.b", "kind": "C", "name": "d"}}],
                                      "backendRefs": [backend()]}]}, ("False", "UnsupportedValue"), ("True", "ResolvedRefs")),
    }
    cluster.apply([route("HTTPRoute", name, spec) for name, (spec, _, _) in rows.items()])
    for name, (_, accepted, resolved) in rows.items():
        got = conditions(cluster, "httproute", name)
        assert (got["Accepted"][:2], got["ResolvedRefs"][:2]) == (accepted, resolved), (name, got)
    # What is missing comes, and the status follows, without a change of the route.
    cluster.apply(service("nobody", {"app": "nobody"}))
    eventually(lambda: conditions(cluster, "httproute", "no-backend")["ResolvedRefs"][0] == "True", 10, "the backend is found")
    grant = {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}],
             "to": [{"group": "", "kind": "Service"}]}
    cluster.apply(route("ReferenceGrant", "let", grant, namespace="other", version="v1beta1"))
    eventually(lambda: conditions(cluster, "httproute", "foreign")["ResolvedRefs"][0] == "True", 10, "the grant is found")


def test_an_http_route_yields_to_a_grpc_route_at_the_same_port_and_says_so(cluster, controller):
    cluster.apply(route("HTTPRoute", "late", {"parentRefs": [to("rpc")], "rules": [{"backendRefs": [backend("rpc")]}]}))
    assert conditions(cluster, "httproute", "late")["Accepted"][0] == "True"
    cluster.apply(route("GRPCRoute", "calls", {"parentRefs": [to("rpc")], "rules": [{"backendRefs": [backend("rpc")]}]}))
    assert conditions(cluster, "grpcroute", "calls")["Accepted"][0] == "True"
    eventually(lambda: conditions(cluster, "httproute", "late")["Accepted"][1] == "Conflicted", 10, "the conflict is told")
    cluster.kubectl("-n", "shop", "delete", "grpcroute", "calls")
    eventually(lambda: conditions(cluster, "httproute", "late")["Accepted"][0] == "True", 10, "the conflict is over")


def test_entries_of_other_controllers_and_of_gateways_are_left_alone(cluster, controller):
    gateway = {"name": "gw"}
    cluster.apply([route("HTTPRoute", "both", {"parentRefs": [to("web"), gateway], "rules": [{"backendRefs": [backend()]}]}),
                   route("HTTPRoute", "theirs", {"parentRefs": [gateway], "rules": [{"backendRefs": [backend()]}]})])
    conditions(cluster, "httproute", "both")
    theirs = {"parentRef": gateway, "controllerName": "example.com/gateway", "conditions": [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
         "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    entry = entries(cluster, "httproute", "both")
    assert [e["controllerName"] for e in entry] == ["weir.dev/mesh-controller"] and entry[0]["parentRef"]["name"] == "web"
    cluster.kubectl("-n", "shop", "patch", "httproute", "both", "--subresource=status", "--type=merge",
                    "-p", json.dumps({"status": {"parents": [theirs]}}))
    eventually(lambda: len(entries(cluster, "httproute", "both")) == 2, 10, "ours is back beside theirs")
    kept = next(e for e in entries(cluster, "httproute", "both") if e["controllerName"] == "example.com/gateway")
    assert kept["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    # A parent that is a Service no more takes our entry along; a route of Gateways alone never had one.
    cluster.kubectl("-n", "shop", "patch", "httproute", "both", "--type=merge", "-p",
                    json.dumps({"spec": {"parentRefs": [gateway]}}))
    eventually(lambda: [e["controllerName"] for e in entries(cluster, "httproute", "both")] == ["example.com/gateway"], 10,
               "ours is gone")
    assert entries(cluster, "httproute", "theirs") == []


def test_policies_get_accepted_resolved_and_programmed(cluster, controller):
    target = [{"kind": "Service", "name": "web"}]
    cluster.apply([weir("PeerAuthentication", "strict", {"mode": "Strict"}),
                   weir("AuthorizationPolicy", "lost", {"targetRefs": [{"kind": "Service", "name": "gone"}], "rules": [{}]}),
                   weir("TrafficPolicy", "older", {"targetRefs": target, "balancer": "Random"})])
    assert {type_: got[:2] for type_, got in conditions(cluster, "peerauthentication", "strict").items()} == {
        "Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs"), "Programmed": ("True", "Programmed")}
    lost = conditions(cluster, "authorizationpolicy", "lost")
    assert lost["Accepted"][:2] == ("False", "TargetNotFound") and lost["Programmed"][0] == "False", lost
    assert "gone" in lost["ResolvedRefs"][2]
    assert conditions(cluster, "trafficpolicy", "older")["Accepted"][0] == "True"
    cluster.apply(service("gone", {"app": "gone"}))
    eventually(lambda: conditions(cluster, "authorizationpolicy", "lost")["Programmed"][0] == "True", 10, "the target is found")


def test_a_status_that_is_true_is_not_written_again(cluster, controller):
    cluster.apply(route("HTTPRoute", "calm", {"parentRefs": [to("web")], "rules": [{"backendRefs": [backend()]}]}))
    conditions(cluster, "httproute", "calm")
    time.sleep(1)
    before = cluster.get("httproute", "calm", "-n", "shop")["metadata"]["resourceVersion"]
    cluster.apply(service("unrelated", {"app": "unrelated"}))
    time.sleep(2)
    assert cluster.get("httproute", "calm", "-n", "shop")["metadata"]["resourceVersion"] == before
