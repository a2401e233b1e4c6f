"""weirctl against the cluster, with the rights of whoever calls it: every question by `kubectl exec` into the nodes' agents."""

import json
import subprocess

import pytest
from cluster import REPOSITORY
from space import until

WEIRCTL = REPOSITORY / "build" / "release" / "bin" / "weirctl"


@pytest.fixture(scope="module", autouse=True)
def shop(space):
    space.deploy("web", replicas=2)
    space.service("web")
    space.pod("client", node="weir-node-1")
    space.apply({"apiVersion": "weir.dev/v1alpha1", "kind": "AuthorizationPolicy", "metadata": {"name": "no-admin"}, "spec": {
        "action": "Deny", "selector": {"matchLabels": {"app": "web"}}, "rules": [{"to": [{"paths": ["/admin"]}]}]}})
    until(lambda: space.ask("client", "http://web/admin")[0].status == 403, 20)
    return space


def weirctl(cluster, *arguments, check=True):
    done = subprocess.run([WEIRCTL, *arguments], env=cluster.environment(), capture_output=True, text=True, timeout=60)
    assert not check or done.returncode == 0, f"weirctl {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_install_check_finds_nothing_wrong_with_a_cluster_that_works(cluster, mesh):
    told = weirctl(cluster, "install-check")
    for node in mesh.node_pods():
        assert node in told
    assert "Gateway API" in told and "fail" not in told.lower(), told


def test_status_tells_a_line_for_each_node_and_the_pods_of_one(cluster, mesh, shop):
    told = weirctl(cluster, "status")
    assert all(any(line.startswith(node) for line in told.splitlines()) for node in mesh.node_pods()), told
    pods = weirctl(cluster, "status", "--node", "weir-node-1")
    assert f"{shop.name}/client" in pods and f"ns/{shop.name}/sa/client" in pods, pods


def test_why_names_the_policy_that_denied_wherever_the_pod_runs(cluster, shop):
    for pod in shop.pods("web"):
        shop.ask("client", f"http://{pod['status']['podIP']}:8080/admin")
        told = weirctl(cluster, "why", f"{shop.name}/{pod['metadata']['name']}")
        assert "no-admin" in told and "captured" in told, told
    assert weirctl(cluster, "why", f"{shop.name}/nobody", check=False).strip() == ""


def test_tap_and_graph_show_requests_of_all_nodes(cluster, shop):
    tap = subprocess.Popen([WEIRCTL, "tap", "--workload", f"{shop.name}/client", "--count", "4", "-o", "json"],
                           env=cluster.environment(), stdout=subprocess.PIPE, text=True)
    graph = subprocess.Popen([WEIRCTL, "graph", "--interval", "4s"], env=cluster.environment(), stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(40):
            shop.ask("client", "http://web/tapped", 5)
            if tap.poll() is not None and graph.poll() is not None:
                break
        told, drawn = tap.communicate(timeout=20)[0], graph.communicate(timeout=20)[0]
    finally:
        tap.kill()
        graph.kill()
    entries = [json.loads(line) for line in told.splitlines()]
    assert len(entries) == 4 and {entry["status"] for entry in entries} == {200}, told
    assert f"{shop.name}/client" in drawn and f"{shop.name}/web" in drawn, drawn


def test_whoever_may_not_enter_the_agents_is_told_so(cluster, shop):
    plane = cluster.control_plane
    config = plane.client_config("somebody", "/CN=somebody")
    done = subprocess.run([WEIRCTL, "--kubeconfig", str(config), "status"], env=cluster.environment(), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode != 0 and "forbidden" in (done.stdout + done.stderr).lower(), done
