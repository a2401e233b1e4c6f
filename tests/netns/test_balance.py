"""Which endpoint a connection to a Service gets: balancers, weights, zones, readiness, affinity."""

import collections
import contextlib
import copy

import pytest

import apps
from world import SERVICE, eventually, read_exactly

ECHO_SERVICE = [{"kind": "Service", "name": "echo"}]
PODS = ("echo-1", "echo-2", "echo-3")


def tally(mesh, count, client="alice", address=SERVICE["v4"]):
    return collections.Counter(getattr(mesh, client).who(address, 80)["pod"] for _ in range(count))


@contextlib.contextmanager
def service(mesh, **spec):
    """The Service echo with these fields, until the end of the block."""
    original = next(s for s in mesh.lab.manifests.of_kind("Service") if s["metadata"]["name"] == "echo")
    changed = copy.deepcopy(original)
    changed["spec"] |= spec
    mesh.lab.apply(changed)
    mesh.settle()
    try:
        yield
    finally:
        mesh.lab.apply(original)
        mesh.settle()


@contextlib.contextmanager
def not_ready(mesh, *names):
    """These pods, with a Ready condition that says False."""
    for ready in ("False", "True"):
        for name in names:
            pod = mesh.lab.pod(name)
            pod["status"]["conditions"] = [{"type": "Ready", "status": ready}]
            mesh.lab.apply(pod)
        mesh.settle()
        if ready == "False":
            yield


def test_round_robin_takes_each_endpoint_in_turn(mesh):
    mesh.apply("TrafficPolicy", "turns", targetRefs=ECHO_SERVICE, balancer="RoundRobin")
    assert tally(mesh, 30) == {pod: 10 for pod in PODS}


def test_random_takes_each_endpoint_about_as_often(mesh):
    mesh.apply("TrafficPolicy", "dice", targetRefs=ECHO_SERVICE, balancer="Random")
    counted = tally(mesh, 150)
    assert all(25 <= counted[pod] <= 80 for pod in PODS), counted  # 50 ± 5 standard deviations


def test_least_connections_is_the_default_and_evens_out_open_connections(mesh):
    with contextlib.ExitStack() as held:
        for number in range(60):
            connection = held.enter_context(mesh.alice.connect(SERVICE["v4"], apps.ECHO))
            connection.sendall(b"%02d" % number)
            read_exactly(connection, 2)

    def all_logged():
        found = mesh.entries("node-1", reporter="source", service="servers/echo")
        assert len(found) == 60
        return found

    counted = collections.Counter(e["destination"]["pod"] for e in eventually(all_logged))
    assert all(14 <= counted[f"servers/{pod}"] <= 26 for pod in PODS), counted


def test_weights_are_proportions_and_zero_is_never(mesh):
    mesh.apply("TrafficPolicy", "weights", targetRefs=ECHO_SERVICE, balancer="RoundRobin", endpointWeights=[
        {"selector": {"matchLabels": {"first": "yes"}}, "weight": 300}])
    counted = tally(mesh, 50)  # 300 : 100 : 100
    assert 26 <= counted["echo-1"] <= 34 and min(counted["echo-2"], counted["echo-3"]) >= 6, counted
    mesh.apply("TrafficPolicy", "weights", targetRefs=ECHO_SERVICE, endpointWeights=[
        {"selector": {"matchLabels": {"first": "yes"}}, "weight": 0}])
    assert set(tally(mesh, 20)) == {"echo-2", "echo-3"}


def test_a_preferred_zone_is_kept_to_while_it_has_an_endpoint_and_overflows_when_it_has_none(mesh):
    with service(mesh, trafficDistribution="PreferClose"):
        assert set(tally(mesh, 12)) == {"echo-1"}
        assert set(tally(mesh, 24, "echo_2")) == {"echo-2", "echo-3"}
        with not_ready(mesh, "echo-1"):
            assert set(tally(mesh, 24)) == {"echo-2", "echo-3"}
        assert set(tally(mesh, 6)) == {"echo-1"}


@pytest.mark.parametrize("preference", ["SameZone", "SameNode"])
def test_a_traffic_policy_prefers_a_zone_or_a_node(mesh, preference):
    mesh.apply("TrafficPolicy", "near", targetRefs=ECHO_SERVICE, locality={"preference": preference})
    assert set(tally(mesh, 12)) == {"echo-1"}


def test_an_endpoint_that_is_not_ready_gets_nothing_unless_the_service_publishes_it(mesh):
    with not_ready(mesh, "echo-2"):
        assert set(tally(mesh, 20)) == {"echo-1", "echo-3"}
        with service(mesh, publishNotReadyAddresses=True):
            assert set(tally(mesh, 30)) == set(PODS)
    assert set(tally(mesh, 30)) == set(PODS)


def test_affinity_keeps_a_client_with_its_endpoint(mesh):
    with service(mesh, sessionAffinity="ClientIP"):
        assert len(tally(mesh, 12)) == 1
        assert len(tally(mesh, 12, "bob")) == 1


def test_internal_traffic_stays_on_the_node_when_the_service_says_so(mesh):
    with service(mesh, internalTrafficPolicy="Local"):
        assert set(tally(mesh, 9)) == {"echo-1"}
        with not_ready(mesh, "echo-1"):
            mesh.alice.fails(SERVICE["v4"], 80)
            mesh.entry("node-1", reason="no_endpoint")
