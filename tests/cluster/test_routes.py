"""HTTPRoutes on a cluster: a canary by weight and by header, and how soon a change reaches traffic."""

import collections

import pytest
from space import Watcher, until

CHANGES = 20


@pytest.fixture(scope="module", autouse=True)
def shop(space):
    space.deploy("web-v1", app="web", version="v1", replicas=2)
    space.deploy("web-v2", app="web", version="v2", replicas=1)
    space.service("web", version="v1")
    space.service("web-v2", app="web", version="v2")
    space.pod("client")
    return space


def route(*rules):
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web"},
            "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}], "rules": list(rules)}}


def to(name, weight=1):
    return {"name": name, "port": 80, "weight": weight}


def versions(shop, count=50, **options):
    told = shop.ask("client", "http://web/", count, **options)
    return collections.Counter(answer.fields.get("ServiceVersion") for answer in told)


def test_a_weighted_route_splits_the_requests(shop):
    shop.apply(route({"backendRefs": [to("web", 80), to("web-v2", 20)]}))
    until(lambda: versions(shop)["v2"] > 0, 10)
    seen = versions(shop, 300)
    assert 30 <= seen["v2"] <= 95 and seen["v1"] + seen["v2"] == 300, seen


def test_a_header_chooses_the_canary(shop):
    shop.apply(route({"matches": [{"headers": [{"name": "x-canary", "value": "yes"}]}], "backendRefs": [to("web-v2")]},
                     {"backendRefs": [to("web")]}))
    until(lambda: versions(shop, 10) == {"v1": 10}, 10)
    assert versions(shop, 10, headers={"x-canary": "yes"}) == {"v2": 10}


def test_the_status_of_a_route_says_that_it_is_programmed(shop):
    shop.apply(route({"backendRefs": [to("web")]}))

    def accepted():
        made = shop.get("httproute", "web")
        parents = made["status"]["parents"]
        told = {condition["type"]: condition for parent in parents for condition in parent["conditions"]}
        assert told["Accepted"]["status"] == "True" and told["ResolvedRefs"]["status"] == "True", told
        assert told["Accepted"]["observedGeneration"] == made["metadata"]["generation"]
    until(accepted, 15)


def test_a_reference_that_does_not_resolve_is_said_by_the_status(shop):
    shop.apply(route({"backendRefs": [to("nobody")]}))

    def refused():
        told = {condition["type"]: condition for parent in shop.get("httproute", "web")["status"]["parents"]
                for condition in parent["conditions"]}
        assert told["ResolvedRefs"]["status"] == "False" and told["ResolvedRefs"]["reason"] == "BackendNotFound", told
    until(refused, 15)
    assert {answer.status for answer in shop.ask("client", "http://web/", 3)} == {500}


def test_a_changed_route_reaches_traffic_within_a_second(shop, figures):
    """From the moment that `kubectl apply` returned until a request of a client that never stops asking meets it."""
    took = []
    for number in range(CHANGES):
        wanted, service = ("v2", "web-v2") if number % 2 == 0 else ("v1", "web")
        with Watcher(shop, "client", "http://web/") as watcher:
            shop.apply(route({"backendRefs": [to(service)]}))
            took.append(watcher.seconds_until(lambda fields: fields.get("ServiceVersion") == wanted))
    figures("route: apply to traffic", took)
    assert max(took) < 1.0, took
