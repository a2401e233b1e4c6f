"""The chart on a real API server, without nodes: installing, changing, taking back; what each service account may do; and what
helm uninstall's hooks ask of the cluster."""

import json
import subprocess
import threading
import time
import urllib.request

import pytest

from control_plane import free_ports
from daemons import eventually
from helm import CHART, HelmRefused, helm, named, template
from objects import BUILD

SYSTEM = ("--namespace", "weir-system")
CRD = "crd/httproutes.gateway.networking.k8s.io"
VERSION = "gateway.networking.k8s.io/bundle-version"


@pytest.fixture(scope="module")
def plane(gateway_api):
    """A control plane with Weir installed by Helm, and two nodes that are only objects."""
    helm("install", "weir", CHART, *SYSTEM, "--create-namespace", config=gateway_api.kubeconfig)
    gateway_api.apply(
        [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}}}
            for name in ("here", "there")
        ]
    )
    return gateway_api


def setting(plane, key):
    return plane.get("configmap", "weir", "-n", "weir-system")["data"].get(key)


# --- Helm ---------------------------------------------------------------------------------------------------------
def test_a_gateway_api_that_is_too_old_is_refused_with_what_to_do(plane):
    def install():
        return helm("install", "again", CHART, *SYSTEM, "--dry-run=server", config=plane.kubeconfig)

    with pytest.raises(HelmRefused) as refused:
        install()
    assert "Gateway API" not in str(refused.value)  # only that there is one Weir already
    kept = plane.get(CRD)["metadata"]["annotations"][VERSION]
    try:
        plane.kubectl("annotate", "--overwrite", CRD, f"{VERSION}=v1.3.0")
        with pytest.raises(HelmRefused, match="The Gateway API of this cluster is v1.3.0; Weir needs >=1.4.0-0. Install"):
            install()
        plane.kubectl("annotate", "--overwrite", CRD, f"{VERSION}-")
        with pytest.raises(HelmRefused, match="does not say of which release it is"):
            install()
    finally:
        plane.kubectl("annotate", "--overwrite", CRD, f"{VERSION}={kept}")


def test_values_change_by_upgrade_and_come_back_by_rollback(plane):
    before = plane.get("daemonset", "weir-node", "-n", "weir-system")
    helm(
        "upgrade",
        "weir",
        CHART,
        *SYSTEM,
        "--set",
        "mesh.sameNode=Encrypted",
        "--set",
        "node.proxy.workers=3",
        config=plane.kubeconfig,
    )
    assert setting(plane, "sameNode") == "Encrypted"
    changed = plane.get("daemonset", "weir-node", "-n", "weir-system")
    assert "--workers=3" in changed["spec"]["template"]["spec"]["containers"][0]["args"]
    assert changed["metadata"]["uid"] == before["metadata"]["uid"]
    helm("rollback", "weir", "1", *SYSTEM, config=plane.kubeconfig)
    assert setting(plane, "sameNode") == "Direct"
    assert (
        plane.get("daemonset", "weir-node", "-n", "weir-system")["spec"]["template"]["spec"]
        == before["spec"]["template"]["spec"]
    )


def test_the_api_server_warns_of_nothing_in_the_manifests(plane):
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": template()})
    plane.kubectl(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "--warnings-as-errors",
        "-f",
        "-",
        stdin=text,
    )


# --- rights -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "account, may, what",
    [
        ("weir-node", True, ["list", "pods", "-A"]),
        ("weir-node", True, ["watch", "httproutes.gateway.networking.k8s.io", "-A"]),
        ("weir-node", True, ["patch", "pods", "-n", "default"]),
        ("weir-node", True, ["get", "configmaps/weir-ca-root", "-n", "weir-system"]),
        ("weir-node", False, ["get", "secrets", "-n", "weir-system"]),
        ("weir-node", False, ["get", "configmaps", "-n", "weir-system"]),
        ("weir-node", False, ["create", "pods", "-n", "default"]),
        ("weir-node", False, ["delete", "pods", "-n", "default"]),
        ("weir-node", False, ["create", "pods/exec", "-n", "default"]),
        ("weir-node", False, ["patch", "pods/status", "-n", "default"]),
        ("weir-node", False, ["patch", "nodes"]),
        ("weir-node", False, ["patch", "authorizationpolicies.weir.dev/status", "-n", "default"]),
        ("weir-node", False, ["create", "tokenreviews"]),
        ("weir-node", False, ["create", "serviceaccounts/token", "-n", "default"]),
        ("weir-controller", True, ["create", "tokenreviews"]),
        ("weir-controller", True, ["get", "secrets/weir-ca", "-n", "weir-system"]),
        ("weir-controller", True, ["patch", "httproutes.gateway.networking.k8s.io/status", "-n", "default"]),
        ("weir-controller", False, ["get", "secrets", "-n", "weir-system"]),
        ("weir-controller", False, ["list", "secrets", "-n", "weir-system"]),
        ("weir-controller", False, ["get", "secrets/weir-ca", "-n", "default"]),
        ("weir-controller", False, ["patch", "httproutes.gateway.networking.k8s.io", "-n", "default"]),
        ("weir-controller", False, ["patch", "pods", "-n", "default"]),
        ("weir-controller", False, ["create", "serviceaccounts/token", "-n", "default"]),
    ],
)
def test_a_service_account_may_do_what_it_must_and_no_more(plane, account, may, what):
    resource = [part.replace(".gateway.networking.k8s.io/status", ".gateway.networking.k8s.io") for part in what]
    extra = []
    if "/" in resource[1] and resource[1].split("/")[0] in ("pods", "serviceaccounts"):
        resource[1], sub = resource[1].split("/")
        extra = [f"--subresource={sub}"]
    elif what[1].endswith("/status"):
        resource[1], extra = what[1].removesuffix("/status"), ["--subresource=status"]
    said = plane.kubectl(
        "auth", "can-i", *resource, *extra, f"--as=system:serviceaccount:weir-system:{account}", check=False
    ).strip()
    assert said.splitlines()[-1] == ("yes" if may else "no")


def test_the_agents_rights_suffice_for_all_that_it_reads(plane):
    token = plane.state / "agent-token"
    token.write_text(plane.token("weir-system", "weir-node"))
    flags = ["--kubernetes", "--node=here", f"--api-server={plane.url}", f"--kube-ca={plane.ca}", f"--kube-token={token}"]
    done = subprocess.run([BUILD / "bin" / "weir-agent", *flags, "derive"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_the_controllers_rights_suffice_to_lead_and_to_keep_the_root(plane):
    token = plane.state / "controller-token"
    token.write_text(plane.token("weir-system", "weir-controller"))
    (metrics, grpc), log = free_ports(2), plane.state / "controller.log"
    flags = [f"--server={plane.url}", f"--ca-file={plane.ca}", f"--token-file={token}", f"--metrics-listen=127.0.0.1:{metrics}"]
    with log.open("w") as said:
        running = subprocess.Popen([BUILD / "bin" / "weir-controller", *flags, f"--listen=127.0.0.1:{grpc}"], stderr=said)

    def ready():
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/readyz", timeout=5) as answer:
            return answer.status == 200

    try:
        eventually(ready, 60, "the controller is ready")
        assert plane.get("lease", "weir-controller", *SYSTEM)["spec"]["holderIdentity"]
        assert "BEGIN CERTIFICATE" in plane.get("configmap", "weir-ca-root", *SYSTEM)["data"]["ca.pem"]
        assert plane.get("secret", "weir-ca", *SYSTEM)["data"].keys() >= {"tls.crt", "tls.key"}
    finally:
        running.terminate()
        running.wait(20)
    assert "forbidden" not in log.read_text().lower()


@pytest.fixture(scope="module")
def agent_of(plane):
    """Node → kubeconfig of its agent: a token of weir-node bound to a pod there, as the kubelet gets it."""
    made = {}
    for node in ("here", "there"):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"agent-{node}", "namespace": "weir-system"},
            "spec": {
                "nodeName": node,
                "serviceAccountName": "weir-node",
                "containers": [{"name": "agent", "image": "none"}],
            },
        }
        plane.apply(pod)
        token = plane.kubectl(
            *SYSTEM, "create", "token", "weir-node", "--bound-object-kind=Pod", f"--bound-object-name=agent-{node}"
        ).strip()
        made[node] = plane.token_config(f"agent-{node}", token)
        plane.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"web-{node}",
                    "namespace": "default",
                    "labels": {"app": "web"},
                    "annotations": {"kept": "yes"},
                },
                "spec": {"nodeName": node, "containers": [{"name": "web", "image": "none"}]},
            }
        )
    wait_for_the_policy(plane, made["here"])
    return made


def wait_for_the_policy(plane, config):
    """The API server takes a moment to heed a new ValidatingAdmissionPolicy."""
    for _ in range(100):
        try:
            patch(plane, config, "web-here", {"metadata": {"labels": {"probe": "x"}}}, "--dry-run=server")
        except subprocess.CalledProcessError:
            return
        time.sleep(0.2)
    raise AssertionError("the policy has no effect")


def patch(plane, config, pod, change, *more):
    return plane.kubectl(
        "-n", "default", "patch", "pod", pod, "--type=strategic", "-p", json.dumps(change), *more, config=config
    )


CAPTURED = {"metadata": {"annotations": {"weir.dev/captured": "v1"}}}


def test_an_agent_announces_and_withdraws_the_pods_of_its_node(plane, agent_of):
    patch(plane, agent_of["here"], "web-here", CAPTURED)
    annotations = plane.get("pod", "web-here")["metadata"]["annotations"]
    assert annotations == {"kept": "yes", "weir.dev/captured": "v1"}
    patch(plane, agent_of["here"], "web-here", {"metadata": {"annotations": {"weir.dev/captured": None}}})
    assert plane.get("pod", "web-here")["metadata"]["annotations"] == {"kept": "yes"}


@pytest.mark.parametrize(
    "pod, change, words",
    [
        ("web-there", CAPTURED, "this token is of node here: it may not patch pods of other nodes"),
        ("web-here", {"metadata": {"annotations": {"other": "x"}}}, "no annotation of a pod but weir.dev/captured"),
        ("web-here", {"metadata": {"annotations": {"kept": "no"}}}, "no annotation of a pod but weir.dev/captured"),
        ("web-here", {"metadata": {"annotations": {"kept": None}}}, "no annotation of a pod but weir.dev/captured"),
        ("web-here", {"metadata": {"labels": {"app": "db"}}}, "may not change a pod's labels"),
        ("web-here", {"metadata": {"labels": {"weir.dev/mesh": "disabled"}}}, "may not change a pod's labels"),
        ("web-here", {"metadata": {"finalizers": ["weir.dev/kept"]}}, "may not change a pod's labels, finalizers or owners"),
        (
            "web-here",
            {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "here", "uid": "1"}]}},
            "finalizers or owners",
        ),
        ("web-here", {"spec": {"containers": [{"name": "web", "image": "evil"}]}}, "may not change a pod's spec"),
        ("web-here", {"spec": {"activeDeadlineSeconds": 1}}, "may not change a pod's spec"),
    ],
)
def test_an_agent_may_change_nothing_else_of_pods(plane, agent_of, pod, change, words):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        patch(plane, agent_of["here"], pod, change)
    assert words in refused.value.stderr


def test_a_token_that_is_of_no_node_may_patch_no_pod(plane, agent_of):
    config = plane.token_config("unbound", plane.token("weir-system", "weir-node"))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        patch(plane, config, "web-here", CAPTURED)
    assert "it may not patch pods of other nodes" in refused.value.stderr


def test_others_patch_pods_as_before(plane, agent_of):
    patch(plane, None, "web-here", {"metadata": {"labels": {"by": "admin"}}})


# --- uninstalling -------------------------------------------------------------------------------------------------
def uninstall_cluster(plane, step, seconds):
    """weir-agent, as the hooks run it: with the rights of weir-uninstall and no others."""
    hooks = [
        one for one in template() if one["metadata"]["name"] == "weir-uninstall" and one["kind"] not in ("Job", "DaemonSet")
    ]
    assert len(hooks) == 5
    plane.apply(hooks)
    token = plane.state / "uninstall-token"
    token.write_text(plane.token("weir-system", "weir-uninstall"))
    return subprocess.run(
        [
            BUILD / "bin" / "weir-agent",
            "uninstall-cluster",
            step,
            f"--timeout={seconds}",
            f"--server={plane.url}",
            f"--ca-file={plane.ca}",
            f"--token-file={token}",
        ],
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_pods_are_let_go_before_the_agents_are_taken_away(plane, agent_of):
    patch(plane, None, "web-there", CAPTURED)
    done = uninstall_cluster(plane, "release", 3)
    assert done.returncode == 1
    assert "gave up waiting for pods that are captured (1): default/web-there on there" in done.stderr + done.stdout
    assert setting(plane, "enrolment") == "None"
    assert plane.get("daemonset", "weir-node", "-n", "weir-system"), "taken away while a pod was still captured"

    withdrawal = threading.Timer(
        4, patch, (plane, None, "web-there", {"metadata": {"annotations": {"weir.dev/captured": None}}})
    )
    begun = time.monotonic()
    withdrawal.start()
    try:
        done = uninstall_cluster(plane, "release", 60)
    finally:
        withdrawal.join()
    assert done.returncode == 0, done.stderr + done.stdout
    assert time.monotonic() - begun > 4
    assert "not found" in plane_says(plane, "get", "daemonset", "weir-node", "-n", "weir-system")


def plane_says(plane, *arguments):
    with pytest.raises(subprocess.CalledProcessError) as refused:
        plane.kubectl(*arguments)
    return refused.value.stderr


def test_every_node_is_waited_for_and_the_missing_one_is_named(plane, agent_of):
    cleaner = named(template(), "DaemonSet", "weir-uninstall")
    plane.apply(cleaner)
    done = uninstall_cluster(plane, "await-nodes", 4)
    assert done.returncode == 1
    assert "gave up waiting for nodes to be cleaned" in done.stderr + done.stdout
    for number in range(2):
        pods = plane.get("pods", *SYSTEM, "-l", "app.kubernetes.io/name=weir-uninstall")["items"]
        if len(pods) == 2:
            break
        time.sleep(2)
    assert len(pods) == 2
    by_node = {
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0][
            "matchFields"
        ][0]["values"][0]: pod["metadata"]["name"]
        for pod in pods
    }
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    for node, name in sorted(by_node.items()):  # no scheduler runs here
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        plane.kubectl(
            "create", "--raw", f"/api/v1/namespaces/weir-system/pods/{name}/binding", "-f", "-", stdin=json.dumps(binding)
        )
    plane.kubectl(*SYSTEM, "patch", "pod", by_node["here"], "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    done = uninstall_cluster(plane, "await-nodes", 4)
    assert done.returncode == 1
    assert "nodes to be cleaned (1): there" in done.stderr + done.stdout
    plane.kubectl(*SYSTEM, "patch", "pod", by_node["there"], "--subresource=status", "--type=merge", "-p", json.dumps(ready))
    done = uninstall_cluster(plane, "await-nodes", 30)
    assert done.returncode == 0, done.stderr + done.stdout


def test_uninstalling_leaves_nothing_of_weir_but_its_kinds(plane, agent_of):
    plane.kubectl(*SYSTEM, "delete", "daemonset", "weir-uninstall")
    helm("uninstall", "weir", *SYSTEM, "--no-hooks", config=plane.kubeconfig)
    left = []
    for kind in (
        "daemonsets",
        "deployments",
        "configmaps",
        "services",
        "roles",
        "rolebindings",
        "serviceaccounts",
        "poddisruptionbudgets",
        "clusterroles",
        "clusterrolebindings",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    ):
        left += plane.kubectl(
            "get", kind, *SYSTEM, "-l", "app.kubernetes.io/part-of=weir,app.kubernetes.io/managed-by=Helm", "-o", "name"
        ).split()
    assert [one for one in left if "weir-uninstall" not in one] == []
    assert len(plane.kubectl("get", "crd", "-l", "app.kubernetes.io/part-of=weir", "-o", "name").split()) == 3
