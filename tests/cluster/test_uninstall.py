"""Uninstalling leaves pods and nodes as they were: last of all files, because the others need Weir."""

import pytest
from cluster import install_weir
from space import Space, until


@pytest.fixture
def shop(cluster, mesh):
    with Space(cluster, "uninstall") as made:
        made.deploy("web")
        made.service("web")
        made.pod("client")
        yield made
    install_weir(cluster)


def traces(node):
    """What Weir leaves on a node: pins, sockets, state, its CNI plugin, programs of the kernel that name it."""
    found = []
    for path in ("/sys/fs/bpf/weir", "/run/weir/agent.sock", "/run/weir/cni.sock", "/var/lib/weir/state",
                 "/opt/cni/bin/weir-cni"):
        if node.inside("sh", "-c", f"test -e {path} && find {path} | head -5 || true").strip():
            found.append(path)
    for name in node.inside("ls", "/etc/cni/net.d").split():
        if "weir" in node.inside("cat", f"/etc/cni/net.d/{name}"):
            found.append(f"/etc/cni/net.d/{name}")
    return found


def test_uninstalling_leaves_pods_and_nodes_as_they_were(shop, cluster, mesh):
    assert all(answer.status == 200 for answer in shop.ask("client", "http://web/", 5))
    assert all(traces(node) for node in cluster.nodes), "nothing to leave behind: this test would say nothing"
    cluster.helm("uninstall", "weir", "--namespace", "weir-system", "--wait", "--timeout", "4m", timeout=300)
    until(lambda: {answer.status for answer in shop.ask("client", "http://web/", 10)} == {200}, 30)
    for node in cluster.nodes:
        assert traces(node) == []
        assert "weir" not in node.inside("sh", "-c", "ls /sys/fs/bpf")
    shop.kubectl("rollout", "restart", "deployment/web")
    shop.kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout=70)
    until(lambda: {answer.status for answer in shop.ask("client", "http://web/", 10)} == {200}, 30)
    left = cluster.kubectl("get", "all,configmaps,secrets,serviceaccounts", "--namespace", "weir-system", "-o", "name")
    # The mesh's root stays until somebody deletes the namespace (charts/weir/README.md).
    assert {name for name in left.split() if "weir" in name} == {"configmap/weir-ca-root", "secret/weir-ca"}, left
    assert "weir-" not in cluster.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")
