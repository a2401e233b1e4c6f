"""Weir's own processes come and go under load: an agent, a proxy, the API server, an upgrade and its rollback, a node."""

import json
import time

import pytest
from cluster import CHART
from space import tally, until


@pytest.fixture(scope="module", autouse=True)
def shop(space):
    space.deploy("web", replicas=4)
    space.service("web")
    space.pod("client", node="weir-node-1")
    return space


def revision(cluster):
    return json.loads(cluster.helm("list", "--namespace", "weir-system", "--output", "json"))[0]["revision"]


def containers(space, node):
    """The ids of the containers of the node's servers that are ready."""
    return {state["containerID"] for pod in space.pods("web") if pod["spec"]["nodeName"] == node.name
            for state in pod["status"]["containerStatuses"] if state["ready"] and "containerID" in state}


def upgrade(cluster, *settings):
    cluster.helm("upgrade", "weir", CHART, "--namespace", "weir-system", "--reuse-values", *settings, "--wait", "--timeout", "4m")


def test_the_agent_is_killed_under_load_and_no_request_fails(shop, mesh):
    load = shop.load("client", "http://web/", 20)
    time.sleep(3)
    for node in shop.cluster.nodes:
        node.kill("weir-agent")
    seen, text = tally(load)
    assert set(seen) == {"200"} and seen["200"] > 100, text
    mesh.wait_ready()


def test_the_proxy_is_killed_and_traffic_is_back_without_plaintext(shop, mesh):
    load = shop.load("client", "http://web/", 30)
    time.sleep(3)
    shop.cluster.nodes[0].kill("weir-proxy")
    seen, text = tally(load)
    assert seen["200"] > 100, text
    # What was in flight, and what waited longer than its time-out: not a client that stays without answers.
    assert sum(count for key, count in seen.items() if key != "200") <= 20, text
    mesh.wait_ready()


def test_the_api_server_is_away_and_traffic_goes_on(shop, mesh):
    before = mesh.processes("weir-proxy")
    load = shop.load("client", "http://web/", 25)
    time.sleep(2)
    shop.cluster.control_plane.restart_apiserver(away=8)
    # `kubectl exec` streams through the API server, so this load ended with it; what matters is the proxies' own word.
    load.wait(timeout=60)
    until(lambda: {answer.status for answer in shop.ask("client", "http://web/", 20)} == {200}, 20)
    assert all(before.values()) and mesh.processes("weir-proxy") == before


def test_an_upgrade_with_other_values_loses_no_request_and_rolls_back(shop, cluster, mesh):
    before = revision(cluster)
    load = shop.load("client", "http://web/", 90)
    upgrade(cluster, "--set", "node.proxy.logLevel=debug")
    cluster.helm("rollback", "weir", before, "--namespace", "weir-system", "--wait", "--timeout", "4m")
    seen, text = tally(load, timeout=200)
    assert set(seen) == {"200"}, text
    pod = next(iter(mesh.node_pods().values()))
    assert "--log-level=info" in mesh.kubectl("get", "pod", pod, "-o", "jsonpath={.spec.containers[*].args}")


def test_a_rebooted_node_captures_its_pods_before_they_are_reached(shop, cluster, mesh):
    node = cluster.nodes[1]
    others = [other for other in cluster.nodes if other is not node]
    before = containers(shop, node)
    assert before
    node.stop()
    node.start(cluster.images)
    node.join(others)
    # The API server may say for a while what was before: the node Ready, its pods Running at addresses that they no longer have.
    until(lambda: len(containers(shop, node)) >= len(before) and not containers(shop, node) & before, 120, "the pods run anew")
    mesh.wait_ready(180)
    shop.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout=130)
    for pod in shop.pods("web"):  # each has a certificate: the client's retries do not hide one that has none
        url = f"http://{pod['status']['podIP']}:8080/"
        until(lambda url=url: shop.ask("client", url, timeout="3s")[0].status == 200, 20, url)
    until(lambda: {answer.status for answer in shop.ask("client", "http://web/", 20)} == {200}, 20)
