"""The API server as a source of objects: the same as a directory, whatever happens to the API server."""

import itertools
import json
import subprocess
import time

import pytest
from control_plane import ControlPlane, Refused
from source import Follower, arguments, derive, dump, install_crds, reader

NODE = "n1"
SPECS = {"containers": [{"name": "web", "image": "web", "ports": [{"name": "http", "containerPort": 8080}]}]}


def pod(name, namespace="shop", node=NODE, labels=None, **more):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
            "spec": SPECS | {"nodeName": node} | more}


def service(name, selector=None, namespace="shop", **more):
    spec = {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]} | more
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": spec | ({"selector": selector} if selector else {})}


def weir(kind, name, spec, namespace="shop"):
    return {"apiVersion": "weir.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def route(kind, name, spec, namespace="shop", version="v1"):
    return {"apiVersion": f"gateway.networking.k8s.io/{version}", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def to(name, port=80):
    return {"group": "", "kind": "Service", "name": name, "port": port}


WORLD = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"weir.dev/mesh": "enabled"}}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}},
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"topology.kubernetes.io/zone": "a"}}},
    {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2", "labels": {"topology.kubernetes.io/zone": "b"}}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weir", "namespace": "weir-system"},
     "data": {"clusterName": "here", "sameNode": "Encrypted"}},
    pod("web-1", labels={"app": "web", "version": "1"}), pod("web-2", node="n2", labels={"app": "web", "version": "2"}),
    pod("outside", namespace="other"), pod("host", labels={"app": "web"}, hostNetwork=True),
    service("web", {"app": "web"}), service("headless", {"app": "web"}, clusterIP="None"), service("by-hand"),
    service("rpc", {"app": "web"}),
    {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
     "metadata": {"name": "by-hand-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "by-hand"}},
     "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
     "endpoints": [{"addresses": ["192.0.2.7"], "zone": "a", "conditions": {"ready": True}}]},
    weir("PeerAuthentication", "strict", {"mode": "Strict", "selector": {"matchLabels": {"app": "web"}},
                                          "ports": {"8080": "Permissive"}}),
    weir("AuthorizationPolicy", "readers", {"targetRefs": [{"kind": "Service", "name": "web"}], "rules": [
        {"from": [{"namespaces": ["shop"]}], "to": [{"methods": ["GET"], "paths": ["/a*"]}],
         "when": [{"header": "x-tenant", "values": ["one"]}]}]}),
    weir("TrafficPolicy", "web", {"targetRefs": [{"kind": "Service", "name": "web"}], "balancer": "RoundRobin"}),
    route("HTTPRoute", "web", {"parentRefs": [to("web")], "rules": [
        {"matches": [{"path": {"type": "PathPrefix", "value": "/v2"}, "headers": [{"name": "x-canary", "value": "yes"}]}],
         "timeouts": {"request": "2s"}, "backendRefs": [{"name": "web", "port": 80, "weight": 3},
                                                        {"name": "by-hand", "port": 80, "weight": 1}]},
        {"backendRefs": [{"name": "web", "port": 80}]}]}),
    route("GRPCRoute", "rpc", {"parentRefs": [to("rpc")], "rules": [
        {"matches": [{"method": {"service": "shop.Cart", "method": "Add"}}], "backendRefs": [{"name": "web", "port": 80}]}]}),
    route("ReferenceGrant", "let", {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "other"}],
                                    "to": [{"group": "", "kind": "Service", "name": "web"}]}, version="v1beta1"),
]


def set_address(control_plane, name, address, namespace="shop", ready=True):
    """What a kubelet says of a pod that runs."""
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
              "conditions": [{"type": "Ready", "status": str(ready)}]}
    control_plane.kubectl("-n", namespace, "patch", "pod", name, "--subresource=status", "--type=merge",
                          "-p", json.dumps({"status": status}))


@pytest.fixture(scope="module")
def cluster(gateway_api, tmp_path_factory):
    install_crds(gateway_api)
    token = reader(gateway_api, tmp_path_factory.mktemp("token") / "token")
    for namespace in ("shop", "other"):
        gateway_api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        gateway_api.kubectl("wait", "--timeout=55s", "--for=create", "-n", namespace, "serviceaccount/default")
    gateway_api.apply(WORLD)
    for number, name in enumerate(("web-1", "web-2"), 1):
        set_address(gateway_api, name, f"10.244.{number}.1{number}")
    set_address(gateway_api, "outside", "10.244.1.77", namespace="other")
    gateway_api.kubectl("-n", "shop", "wait", "--timeout=55s", "--for=create", "endpointslices",
                        "-l", "kubernetes.io/service-name=web")
    time.sleep(2)  # the endpoint slice controller has seen the addresses
    return gateway_api, arguments(gateway_api, token)


def named(resources, kind):
    return {name: value for name, value in resources.items() if name.split(" ")[0] == kind}


def workload(resources, name):
    return next((one["workload"] for one in named(resources, "WORKLOAD").values() if one["workload"]["name"] == name), None)


def test_the_same_objects_in_a_directory_and_in_the_api_server_are_the_same_configuration(cluster, tmp_path):
    control_plane, source = cluster
    for node in (NODE, "n2"):
        ours = derive(node, *source)
        theirs = derive(node, "--source", dump(control_plane, tmp_path / "dump"))
        for part in ("resources", "local_pods", "notes", "errors"):
            assert ours[part] == theirs[part], part
        assert not ours["errors"]
    # And it is a configuration worth comparing.
    kinds = {name.split(" ")[0] for name in ours["resources"]}
    assert {"MESH", "WORKLOAD", "SERVICE", "ENDPOINTS", "POLICY"} <= kinds, kinds
    assert "canary" in json.dumps(ours["resources"]) and "shop.Cart" in json.dumps(ours["resources"])
    assert "x-tenant" in json.dumps(ours["resources"]) and ours["local_pods"]


def test_lists_by_pages_give_the_same_as_lists_by_watching(cluster):
    """An API server without WatchList refuses it, and is read by pages."""
    control_plane, source = cluster
    before = derive(NODE, *source)
    old = ControlPlane(control_plane.state, feature_gates={"WatchList": False})
    try:
        control_plane.stop_apiserver()
        old.start_apiserver()
        with Follower(NODE, *source) as follower:
            follower.until(lambda: follower.states, "a first state")
            assert follower.states[0]["resources"] == before["resources"]
            assert any("listed by pages" in line for line in follower.log), follower.log
    finally:
        old.stop_apiserver()
        control_plane.start_apiserver()


def test_each_change_is_seen_and_costs_one_event(cluster):
    control_plane, source = cluster
    with Follower(NODE, *source) as follower:
        follower.until(lambda: follower.states, "a first state")
        control_plane.apply(pod("late", labels={"app": "late"}))
        set_address(control_plane, "late", "10.244.1.99")
        follower.until(lambda: (workload(follower.resources(), "late") or {}).get("addresses"), "the pod's address")
        before = follower.kind("Pod")["events"]
        control_plane.kubectl("-n", "shop", "label", "pod", "late", "tier=x")
        follower.until(lambda: follower.kind("Pod")["events"] > before, "the label's event")
        control_plane.kubectl("-n", "shop", "delete", "pod", "late", "--force", "--grace-period=0")
        follower.until(lambda: not workload(follower.resources(), "late"), "the pod's end")
        assert {kind["lists"] for kind in follower.states[-1]["source"]["kinds"]} == {1}


def test_an_api_server_that_is_away_changes_nothing_and_is_back_with_what_changed_alone(cluster):
    control_plane, source = cluster
    with Follower(NODE, *source) as follower:
        follower.until(lambda: follower.states, "a first state")
        states = len(follower.states)
        control_plane.stop_apiserver()
        follower.until(lambda: sum("what is known stays" in line for line in follower.log) >= 5, "the loss is said")
        assert len(follower.states) == states
        control_plane.start_apiserver()
        control_plane.apply(pod("after", labels={"app": "after"}))
        set_address(control_plane, "after", "10.244.1.98")
        follower.until(lambda: (workload(follower.resources(), "after") or {}).get("addresses"), "the new pod")
        assert workload(follower.resources(), "web-1")
        # A new API server remembers nothing older than its start (410): some kinds are listed again, and compared. What
        # did not change is not told: states come from the new pod alone.
        assert all(kind["lists"] <= 2 for kind in follower.states[-1]["source"]["kinds"])
        assert all(workload(state["resources"], "web-1") for state in follower.states)
        changed = [name for name, value in follower.states[-1]["resources"].items()
                   if follower.states[states - 1]["resources"].get(name) != value]
        assert len(changed) == 1 and len(follower.states) - states <= 5, changed
        control_plane.kubectl("-n", "shop", "delete", "pod", "after", "--force", "--grace-period=0")
        follower.until(lambda: not workload(follower.resources(), "after"), "the pod's end")


def compact(control_plane):
    """Forgets all but the newest revision, as etcd does every five minutes at the API server's order."""
    url = f"https://127.0.0.1:{control_plane.ports['etcd']}"
    tls = ["--cacert", control_plane.pki.crt("etcd-ca"), "--cert", control_plane.pki.crt("apiserver-etcd"),
           "--key", control_plane.pki.key("apiserver-etcd")]

    def ask(path, body):
        done = subprocess.run(["curl", "-sS", "--fail", *map(str, tls), f"{url}{path}", "-d", json.dumps(body)],
                              capture_output=True, text=True, check=True, timeout=30)
        return json.loads(done.stdout)
    revision = ask("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
    ask("/v3/kv/compaction", {"revision": revision, "physical": True})


def test_after_a_compaction_everything_is_listed_again_and_only_the_difference_is_told(cluster):
    control_plane, source = cluster
    with Follower(NODE, *source) as follower:
        follower.until(lambda: follower.states, "a first state")
        first = follower.resources()
        control_plane.stop_apiserver()
        follower.until(lambda: any("what is known stays" in line for line in follower.log), "the loss is said")
        follower.process.send_signal(19)  # SIGSTOP: it must not come back before the history is gone
        control_plane.start_apiserver()
        for number in range(3):
            control_plane.kubectl("-n", "shop", "label", "pod", "--all", "--overwrite", f"round={number}")
        control_plane.kubectl("-n", "other", "delete", "pod", "outside", "--force", "--grace-period=0")
        compact(control_plane)
        control_plane.restart_apiserver()  # with an empty cache: it knows nothing older
        states = len(follower.states)
        follower.process.send_signal(18)
        follower.until(lambda: follower.states[states:] and follower.kind("Pod")["lists"] == 2, "a second list", 60)
        follower.until(lambda: not workload(follower.resources(), "outside"), "the deleted pod's end")
        assert any("listed anew" in line for line in follower.log), follower.log
        left = {name: value for name, value in first.items() if value.get("workload", {}).get("name") != "outside"}
        assert named(follower.resources(), "SERVICE") == named(left, "SERVICE")
        assert all(workload(state["resources"], "web-1") for state in follower.states)  # never lost in between


def test_an_object_that_is_refused_keeps_its_last_good_form_and_is_named(cluster):
    """The schema lets pass what the agent cannot use: a policy about tokens is invalid, and counts."""
    control_plane, source = cluster
    # Without its schema the API server takes anything: what an older CRD would.
    crd = json.loads(control_plane.kubectl("get", "crd", "authorizationpolicies.weir.dev", "-o", "json"))
    loose = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    control_plane.kubectl("patch", "crd", "authorizationpolicies.weir.dev", "--type=json", "-p", json.dumps(
        [{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema", "value": loose}]))
    time.sleep(2)
    try:
        with Follower(NODE, *source) as follower:
            follower.until(lambda: follower.states, "a first state")
            good = named(follower.resources(), "POLICY")
            control_plane.apply(weir("AuthorizationPolicy", "readers", {"action": "Perhaps"}))
            control_plane.apply(weir("AuthorizationPolicy", "never", {"action": "Deny", "rules": [{"form": []}]}))
            follower.until(lambda: len(follower.states[-1]["errors"]) == 2, "two refusals")
            errors = " ".join(follower.states[-1]["errors"])
            assert "AuthorizationPolicy shop/readers: spec.action is 'Perhaps'" in errors
            assert "AuthorizationPolicy shop/never: spec.rules[0].form is not known" in errors
            now = named(follower.resources(), "POLICY")
            assert {name: now[name] for name in good} == good
            assert len(now) == len(good) + 1
            control_plane.kubectl("-n", "shop", "delete", "authorizationpolicy", "never")
            control_plane.apply([one for one in WORLD if one["kind"] == "AuthorizationPolicy"])
            follower.until(lambda: not follower.states[-1]["errors"], "good again")
            assert named(follower.resources(), "POLICY") == good
    finally:
        control_plane.kubectl("replace", "-f", "-", stdin=json.dumps(crd | {"metadata": {"name": crd["metadata"]["name"]}}),
                              check=False)
        control_plane.kubectl("patch", "crd", "authorizationpolicies.weir.dev", "--type=json", "-p", json.dumps(
            [{"op": "replace", "path": "/spec/versions/0/schema", "value": crd["spec"]["versions"][0]["schema"]}]))


def test_a_token_that_rotates_is_used_from_the_next_request(cluster, tmp_path):
    control_plane, source = cluster
    token = tmp_path / "token"
    token.write_text("no token at all")
    at = source.index("--kube-token")
    with Follower(NODE, *source[:at], "--kube-token", token) as follower:
        follower.until(lambda: any("401" in line for line in follower.log), "the refusal is said")
        assert not follower.states
        token.write_text(control_plane.token("weir-system", "reader"))
        follower.until(lambda: follower.states, "a first state")


def test_the_api_server_is_verified_and_a_ca_bundle_that_is_put_right_is_read_again(cluster, tmp_path):
    control_plane, source = cluster
    bundle = tmp_path / "ca.crt"
    bundle.write_text(control_plane.pki.crt("etcd-ca").read_text())
    at = source.index("--kube-ca") + 1
    with Follower(NODE, *source[:at], bundle, *source[at + 1:]) as follower:
        follower.until(lambda: any("trust bundle" in line for line in follower.log), "the refusal is said")
        assert not follower.states
        bundle.write_text(control_plane.ca.read_text())
        follower.until(lambda: follower.states, "a first state")


def test_an_announcement_is_seen_by_every_node_and_a_copied_annotation_is_none(cluster):
    control_plane, source = cluster
    uids = {one["metadata"]["name"]: one["metadata"]["uid"] for one in control_plane.get("pods", "-n", "shop")["items"]}

    def annotate(name, value):
        control_plane.kubectl("-n", "shop", "annotate", "pod", name, "--overwrite", f"weir.dev/captured={value}")
    annotate("web-1", f"n1 {uids['web-1']} 2026-01-01T00:00:00Z")
    annotate("web-2", f"n1 {uids['web-1']} 2026-01-01T00:00:00Z")  # copied
    for node in (NODE, "n2"):
        resources = derive(node, *source)["resources"]
        assert workload(resources, "web-1").get("meshPeer") is True
        assert not workload(resources, "web-2").get("meshPeer")
    control_plane.kubectl("-n", "shop", "annotate", "pod", "--all", "weir.dev/captured-")
    # A patch for a pod that is gone does not reach another of its name: the uid is a condition.
    with pytest.raises(Refused, match="metadata.uid.*immutable"):
        control_plane.kubectl("-n", "shop", "patch", "pod", "web-1", "--type=merge", "-p", json.dumps(
            {"metadata": {"uid": uids["web-2"], "annotations": {"weir.dev/captured": "n1"}}}))


def test_without_weirs_own_kinds_nothing_is_derived_and_without_routes_everything_else_is(tmp_path):
    with ControlPlane() as bare:
        token = reader(bare, tmp_path / "token")
        with Follower(NODE, *arguments(bare, token)) as follower:
            follower.until(lambda: any("PeerAuthentication" in line and "not installed" in line
                                       for line in follower.log), "it is said what is missing")
            assert any("HTTPRoute" in line and "Gateway API" in line for line in follower.log)
            assert not follower.states
            install_crds(bare)
            follower.until(lambda: follower.states, "a first state, once they are installed", 60)
            assert not follower.kind("HTTPRoute")["installed"]
            bare.install_gateway_api()
            bare.apply([service("web", namespace="default"),
                        route("HTTPRoute", "web", {"parentRefs": [to("web")]}, namespace="default")])
            follower.until(lambda: follower.kind("HTTPRoute")["objects"] == 1, "the route", 60)
            assert list(itertools.chain(follower.states[-1]["errors"])) == []
