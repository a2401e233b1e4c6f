"""What pods do on any cluster goes on: probes, exec, logs, port-forward, init containers, Jobs, StatefulSets, NodePort.

Each test runs in a namespace outside the mesh, which says that the test is right, and in an enrolled one.
"""

import urllib.request

import pytest
from daemons import Daemon
from control_plane import free_ports
from space import ECHO, TOOLS, Space, until

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module", params=["outside", "enrolled"])
def place(request, cluster):
    enrolled = request.param == "enrolled"
    if enrolled:
        request.getfixturevalue("mesh")
    with Space(cluster, f"as-before-{request.param}", enrolled) as made:
        made.pod("shell", image=TOOLS)
        made.deploy("web", replicas=2)
        made.service("web", type="NodePort")
        yield made


def fetch(url):
    return OPENER.open(url, timeout=5).read().decode()


def test_readiness_and_liveness_probes_are_answered_by_the_application(place):
    probes = {kind: {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 1}
              for kind in ("readinessProbe", "livenessProbe")}
    tcp = {"startupProbe": {"tcpSocket": {"port": 9090}, "periodSeconds": 1, "failureThreshold": 10}}
    place.pod("probed", containers=[{"name": "main", "image": ECHO, "imagePullPolicy": "Never", **probes, **tcp}])
    until(lambda: int(place.get("pod", "probed")["status"]["containerStatuses"][0]["restartCount"]) == 0, 1)
    place.kubectl("wait", "--for=condition=Ready", "pod/probed", "--timeout=5s")


def test_a_probe_of_a_port_nobody_listens_on_fails(place):
    probe = {"tcpSocket": {"port": 9999}, "periodSeconds": 1, "failureThreshold": 1}
    place.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "unready"}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": ECHO, "imagePullPolicy": "Never", "readinessProbe": probe}]}})
    place.kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/unready", "--timeout=30s")
    until(lambda: "connection refused" in place.kubectl("get", "events", "--field-selector=involvedObject.name=unready"), 20)
    assert "False" in place.kubectl("get", "pod", "unready", "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")


def test_exec_carries_both_directions_and_logs_are_read(place):
    assert place.exec("shell", "echo", "works") == "works\n"
    assert place.kubectl("exec", "-i", "shell", "--", "cat", stdin="through") == "through"
    assert "http [8080]" in place.kubectl("logs", "deployment/web")


def test_port_forward_reaches_the_application(place):
    port, = free_ports(1)
    control_plane = place.cluster.control_plane
    forward = Daemon(control_plane.state, "port-forward", bound=True).start(
        [control_plane.bin / "kubectl", f"--kubeconfig={control_plane.kubeconfig}", "-n", place.name, "port-forward",
         "deployment/web", f"{port}:8080"])
    try:
        until(lambda: "Hostname=web-" in fetch(f"http://127.0.0.1:{port}/"), 20)
    finally:
        forward.stop()


def test_an_init_container_and_a_native_sidecar_reach_a_service(place):
    ask = {"image": TOOLS, "imagePullPolicy": "Never"}
    beside = ["sh", "-c", "while :; do echo beside | nc -l -p 7000; done"]
    fetched = ["sh", "-c", "curl -sf --retry 20 --retry-connrefused --retry-delay 1 http://web/init"]
    place.pod("begins", image=TOOLS, initContainers=[
        ask | {"name": "sidecar", "restartPolicy": "Always", "command": beside},
        ask | {"name": "first", "command": fetched}])
    assert "URL=/init" in place.kubectl("logs", "begins", "-c", "first")
    asked = ["exec", "begins", "-c", "main", "--", "sh", "-c", "echo | nc -w 2 127.0.0.1 7000"]
    until(lambda: "beside" in place.kubectl(*asked), 10)


def test_a_job_runs_to_its_end(place):
    container = {"name": "main", "image": TOOLS, "imagePullPolicy": "Never", "command": ["curl", "-sf", "http://web/job"]}
    place.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {
        "backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}})
    place.kubectl("wait", "--for=condition=Complete", "job/once", "--timeout=40s")
    assert "URL=/job" in place.kubectl("logs", "job/once")


def test_the_pods_of_a_stateful_set_are_reached_by_their_own_names(place):
    labels = {"app": "member"}
    container = {"name": "main", "image": ECHO, "imagePullPolicy": "Never",
                 "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}}
    place.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "member"},
         "spec": {"clusterIP": "None", "selector": labels, "ports": [{"name": "http", "port": 8080}]}},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "member"}, "spec": {
            "serviceName": "member", "replicas": 2, "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels},
                         "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}}})
    place.kubectl("rollout", "status", "statefulset/member", "--timeout=60s", timeout=70)
    for number in range(2):
        def told():
            return f"Hostname=member-{number}" in place.exec(
                "shell", "curl", "-s", "-m", "3", f"http://member-{number}.member:8080/", check=False)
        until(told, 20, f"member-{number} is reached")


def test_a_node_port_is_reached_from_outside_on_every_node(place):
    port = place.get("service", "web")["spec"]["ports"][0]["nodePort"]
    for node in place.cluster.nodes:
        until(lambda: "Hostname=web-" in fetch(f"http://{node.addresses[0]}:{port}/"), 10)


def test_the_server_sees_the_clients_own_address(place):
    own = {entry["ip"] for entry in place.get("pod", "shell")["status"]["podIPs"]}
    told = place.exec("shell", "curl", "-s", "-m", "5", "http://web/")
    assert any(f"IP={address}\n" in told for address in own), told


def test_ipv6_reaches_a_pod_as_ipv4_does(place):
    for pod in place.pods("web"):
        addresses = [entry["ip"] for entry in pod["status"]["podIPs"]]
        assert len(addresses) == 2
        for address in addresses:
            host = f"[{address}]" if ":" in address else address
            told = place.exec("shell", "curl", "-s", "-m", "5", f"http://{host}:8080/")
            assert f"Hostname={pod['metadata']['name']}" in told


def test_containers_of_a_pod_talk_over_loopback(place):
    both = "(echo near | nc -l -p 7001 >/dev/null) & sleep 0.5; nc -w 2 127.0.0.1 7001 </dev/null"
    assert place.exec("shell", "sh", "-c", both) == "near\n"


def test_an_ephemeral_container_joins_the_pod(place):
    place.kubectl("debug", "shell", f"--image={TOOLS}", "--image-pull-policy=Never", "--container=looks", "--", "ip", "addr")
    own = place.get("pod", "shell")["status"]["podIP"]
    until(lambda: own in place.kubectl("logs", "shell", "-c", "looks"), 20)
