"""Labelling a namespace enrols its running pods and its starting ones; what they say to each other is mTLS from then on."""

import datetime

import pytest
from space import Space, until


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def principal(space, name):
    return f"spiffe://cluster.local/ns/{space.name}/sa/{name}"


def logged(mesh, since, **wanted):
    """A line of the access log with these fields; `source` and `destination` are principals."""
    def found():
        for entry in mesh.access_log(since):
            told = entry | {end: entry[end].get("principal") for end in ("source", "destination") if end in entry}
            if all(told.get(key) == value for key, value in wanted.items()):
                return entry
        raise AssertionError(f"no line of the access log has {wanted}; the last are {mesh.access_log(since)[-4:]}")
    return until(found, 10)


@pytest.fixture(scope="module")
def running(cluster, mesh):
    """A namespace whose pods ran before it was enrolled, on both nodes."""
    with Space(cluster, "enrolled-later", enrolled=False) as made:
        made.deploy("web", replicas=2)
        made.service("web")
        made.pod("client", node="weir-node-1")
        assert all(answer.status == 200 for answer in made.ask("client", "http://web/", count=4))
        yield made


def test_running_pods_are_enrolled_by_the_label_of_their_namespace(running, mesh):
    begun = now()
    # A policy about requests, so that the destination writes a line for each, and not one when a pooled connection ends.
    running.apply({"apiVersion": "weir.dev/v1alpha1", "kind": "AuthorizationPolicy", "metadata": {"name": "never"}, "spec": {
        "action": "Deny", "selector": {"matchLabels": {"app": "web"}}, "rules": [{"to": [{"paths": ["/never"]}]}]}})
    running.enrol()

    def mutual():
        running.ask("client", "http://web/", count=4)
        both = {"security": "mtls", "source": principal(running, "client"), "destination": principal(running, "web")}
        logged(mesh, begun, kind="request", reporter="source", status=200, **both)
        logged(mesh, begun, kind="request", reporter="destination", **both)
    until(mutual, 30)


def test_a_starting_pod_is_captured_before_its_first_connection(running, mesh):
    begun = now()
    container = {"name": "main", "image": "localhost/tools:1", "imagePullPolicy": "Never",
                 "command": ["curl", "-s", "-m", "10", "http://web/at-once"]}
    running.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hasty"}},
                  {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "hasty"}, "spec": {
                      "backoffLimit": 0, "completions": 10, "parallelism": 2, "template": {"spec": {
                          "serviceAccountName": "hasty", "restartPolicy": "Never", "containers": [container]}}}})
    running.kubectl("wait", "--for=condition=Complete", "job/hasty", "--timeout=90s", timeout=100)

    def all_seen():
        seen = [entry for entry in mesh.access_log(begun) if entry.get("path") == "/at-once"]
        told = {(entry["source"]["address"], entry["source"].get("principal")) for entry in seen
                if entry["reporter"] == "source"}
        assert len([entry for entry in seen if entry["reporter"] == "source"]) == 10, seen
        assert {name for _, name in told} == {principal(running, "hasty")}
    until(all_seen, 15)


def test_the_label_of_a_pod_wins_over_its_namespaces(running, mesh):
    running.pod("alone", labels={"weir.dev/mesh": "disabled"})
    begun = now()
    assert running.ask("alone", "http://web/unenrolled")[0].status == 200
    entry = logged(mesh, begun, kind="request", reporter="destination", path="/unenrolled")
    assert not entry["source"].get("principal")
    assert not [e for e in mesh.access_log(begun) if e.get("path") == "/unenrolled" and e["reporter"] == "source"]


def test_weirctl_in_the_agent_says_that_every_enrolled_pod_is_captured(running, mesh):
    for node in mesh.node_pods():
        told = mesh.weirctl(node, "check")
        assert running.name in told, told


def test_taking_the_label_away_lets_the_pods_go(running, mesh):
    running.enrol(False)

    def plain():
        begun = now()
        assert running.ask("client", "http://web/released")[0].status == 200
        assert not [entry for entry in mesh.access_log(begun) if entry.get("path") == "/released"]
    until(plain, 30)
