"""weirctl on a node: why a pod is treated as it is, and what it says when it cannot say."""

import json

from http_apps import HTTP_PORT
from http_ends import End
from http_world import HttpMesh, eventually, weir_only

MESH = HttpMesh
pytestmark = weir_only


def why(mesh, pod, node, *more):
    done = mesh.lab.weir(node).weirctl("why", pod, *more)
    assert done.returncode == 0, done.stdout
    return done.stdout


def refusals(mesh, pod, node):
    return json.loads(why(mesh, pod, node, "-o", "json"))["refusals"]


def web(number):
    return f"servers/web-{number}"


def test_why_names_capture_mode_policies_and_the_last_refusal_with_its_rule(mesh):
    mesh.apply("PeerAuthentication", "strict", mode="Strict", selector={"matchLabels": {"app": "web"}})
    mesh.apply("AuthorizationPolicy", "no-alice", action="Deny", selector={"matchLabels": {"app": "web"}},
               rules=[{"name": "not her", "from": [{"principals": ["cluster.local/ns/clients/sa/alice"]}]}])
    assert mesh.alice.fails(mesh.web_3.v4, HTTP_PORT) == "reset"

    def told():
        text = why(mesh, web(3), "node-2")
        for part in ("on node node-2", "yes: label weir.dev/mesh: enabled of namespace servers",
                     "captured, the proxy accepts, announced to the mesh", "spiffe://cluster.local/ns/servers/sa/",
                     "Strict by PeerAuthentication servers/strict (selector)", "Deny   servers/no-alice (selector)",
                     "not her: from principals cluster.local/ns/clients/sa/alice", "what no Deny matches is allowed",
                     "from  clients/alice", "denied by servers/no-alice, not her", "servers/web:80 (HTTP)"):
            assert part in text, text
    eventually(told)
    assert "its node node-2 knows; this is node-1" in why(mesh, web(3), "node-1")
    assert any(r["direction"] == "outbound" and r["reason"] == "denied" for r in refusals(mesh, "clients/alice", "node-1"))


def test_a_denied_request_is_remembered_though_no_log_is_written(mesh):
    mesh.deny(methods=["DELETE"])
    nodes = {number: mesh.lab.weir(node) for number, node in ((1, "node-1"), (3, "node-2"))}

    def restart(log):
        mesh.lab.options["access_log"] = log
        for weir in nodes.values():
            weir.stop("proxy")
            weir.start("proxy")
            weir.wait_ready("proxy")
        mesh.settle()

    restart(False)
    try:
        for number, node in ((1, "node-1"), (3, "node-2")):
            server = mesh.pods[f"web-{number}"]
            assert refusals(mesh, web(number), node) == []

            def denied():
                end = End(mesh.alice.connect(server.v4, HTTP_PORT))
                with end.socket:
                    return end.ask("DELETE", "/").status == 403
            assert eventually(denied)
            last = refusals(mesh, web(number), node)[-1]
            assert last["reason"] == "denied" and last["rule"] == "not this" and "deny" in last["policy"], last
            assert last["source"]["pod"] == "clients/alice" and last["destination"]["pod"] == web(number), last
    finally:
        restart(True)


def test_why_shows_the_routes_in_force_for_the_pods_service(mesh):
    mesh.apply("HTTPRoute", "canary", api="gateway.networking.k8s.io/v1",
               parentRefs=[{"group": "", "kind": "Service", "name": "web", "port": 80}],
               rules=[{"matches": [{"path": {"type": "PathPrefix", "value": "/cart"}}],
                       "backendRefs": [{"name": "web-v2", "port": 80}]}])
    text = why(mesh, web(1), "node-1")
    assert "at servers/web:80, for everybody" in text and "path prefix /cart" in text, text
    assert "to servers/web-v2:80" in text, text


def test_why_of_a_pod_that_is_not_there_or_not_in_the_mesh_says_so(mesh):
    done = mesh.lab.weir("node-1").weirctl("why", "servers/nobody")
    assert done.returncode == 1 and "the agent knows no pod servers/nobody" in done.stdout
    mesh.lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ghost", "namespace": "bare"},
                    "spec": {"nodeName": "node-1", "containers": []}})
    try:
        mesh.settle()
        text = why(mesh, "bare/ghost", "node-1")
        assert "no: neither the pod nor its namespace has the label weir.dev/mesh" in text, text
        assert "identity   none" in text and "capture    none" in text, text
    finally:
        mesh.lab.delete("Pod", "bare", "ghost")


def test_install_check_tests_this_machine_and_version_names_all_three(mesh):
    weir = mesh.lab.weir("node-1")
    done = weir.weirctl("install-check", "-o", "json")
    checks = {c["about"]: c for c in json.loads(done.stdout)["checks"]}
    assert all(checks[about]["level"] == "ok" for about in ("kernel", "BTF", "cgroup v2", "io_uring")), checks
    assert "the running proxy uses" in checks["io_uring"]["said"]
    done = weir.weirctl("version")
    assert done.returncode == 0 and [row.split()[0] for row in done.stdout.splitlines()] == ["weirctl", "agent", "proxy"]
