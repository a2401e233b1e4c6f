"""AuthorizationPolicy and PeerAuthentication on a cluster: who is denied, what plaintext STRICT refuses, and how soon."""

import pytest
from space import Space, Watcher, until

CHANGES = 20


@pytest.fixture(scope="module", autouse=True)
def shop(space):
    space.deploy("web")
    space.service("web")
    for name in ("friend", "foe"):
        space.pod(name)
    return space


@pytest.fixture(scope="module")
def outside(cluster, mesh):
    with Space(cluster, "policy-outside", enrolled=False) as made:
        made.pod("stranger")
        yield made


def deny(shop, *names, **to):
    rule = {"name": "not-them", "from": [{"principals": [f"cluster.local/ns/{shop.name}/sa/{name}" for name in names]}]}
    return {"apiVersion": "weir.dev/v1alpha1", "kind": "AuthorizationPolicy", "metadata": {"name": "web"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}}, "action": "Deny", "rules": [rule | ({"to": [to]} if to else {})]}}


def strict(mode="Strict"):
    return {"apiVersion": "weir.dev/v1alpha1", "kind": "PeerAuthentication", "metadata": {"name": "default"},
            "spec": {"mode": mode}}


def status(space, client, url="http://web/"):
    return space.ask(client, url)[0].status


def test_a_denied_identity_is_refused_and_another_is_not(shop):
    shop.apply(deny(shop, "foe"))
    until(lambda: status(shop, "foe") in (0, 403), 10)
    assert status(shop, "friend") == 200
    shop.kubectl("delete", "authorizationpolicy", "web")
    until(lambda: status(shop, "foe") == 200, 10)


def test_a_denied_method_is_answered_403_and_another_method_passes(shop):
    shop.apply(deny(shop, "foe", methods=["DELETE"]))
    until(lambda: shop.ask("foe", "http://web/", method="DELETE")[0].status == 403, 10)
    assert status(shop, "foe") == 200
    assert shop.ask("friend", "http://web/", method="DELETE")[0].status == 200
    shop.kubectl("delete", "authorizationpolicy", "web")


def test_strict_refuses_plaintext_and_permissive_takes_it(shop, outside):
    url = f"http://web.{shop.name}/"
    assert status(outside, "stranger", url) == 200
    shop.apply(strict())
    until(lambda: status(outside, "stranger", url) == 0, 10)
    assert status(shop, "friend") == 200
    shop.kubectl("delete", "peerauthentication", "default")
    until(lambda: status(outside, "stranger", url) == 200, 10)


def test_a_policy_that_the_schema_refuses_changes_nothing(shop):
    with pytest.raises(Exception, match="Unsupported value|should be one of|Invalid value"):
        shop.apply(deny(shop, "friend") | {"spec": {"action": "Perhaps"}})
    assert status(shop, "friend") == 200


def test_a_changed_policy_reaches_traffic_within_a_second(shop, figures):
    took = []
    with Watcher(shop, "foe", "http://web/") as watcher:
        for number in range(CHANGES):
            if number % 2 == 0:
                shop.apply(deny(shop, "foe", methods=["GET"]))
                took.append(watcher.seconds_until(lambda fields: fields.get("Status") == "403"))
            else:
                shop.kubectl("delete", "authorizationpolicy", "web")
                took.append(watcher.seconds_until(lambda fields: fields.get("Status") == "200"))
    figures("policy: apply to traffic", took)
    assert max(took) < 1.0, took


def test_a_pod_that_goes_is_asked_no_more_within_a_second(shop, figures):
    """From its deletion to its last answer, although the application goes on for five seconds after SIGTERM."""
    shop.deploy("ends", replicas=2, grace=10, arguments=["--linger=5s"])
    shop.service("ends")
    took = []
    with Watcher(shop, "friend", "http://ends/") as watcher:
        for _ in range(5):
            until(lambda: len(shop.pods("ends")) == 2, 30)
            gone = shop.pods("ends")[0]["metadata"]["name"]
            shop.kubectl("rollout", "status", "deployment/ends", "--timeout=60s", timeout=70)
            watcher.seconds_until(lambda fields, name=gone: fields.get("Hostname") == name)
            took.append(watcher.last_of(lambda fields, name=gone: fields.get("Hostname") == name, 4,
                                        lambda name=gone: shop.kubectl("delete", "pod", name, "--wait=false")))
    figures("pod: deleted to its last answer", took)
    assert max(took) < 1.0, took


def test_a_pod_that_becomes_ready_reaches_traffic_within_a_second(shop, figures):
    """From the pod's own word, its Ready condition, to its first answer."""
    took = []
    for _ in range(3):
        shop.kubectl("scale", "deployment/web", "--replicas=1")
        until(lambda: len(shop.pods("web")) == 1, 30)
        with Watcher(shop, "friend", "http://web/") as watcher:
            old = shop.pods("web")[0]["metadata"]["name"]
            shop.kubectl("scale", "deployment/web", "--replicas=2")
            until(lambda: len(shop.pods("web")) == 2, 20)
            new = shop.pods("web")[-1]["metadata"]["name"]
            shop.kubectl("wait", "--for=condition=Ready", f"pod/{new}", "--timeout=30s")
            took.append(watcher.seconds_until(lambda fields: fields.get("Hostname") == new and new != old))
    figures("pod: ready to traffic", took)
    assert max(took) < 1.5, took  # with kubectl's own start on a busy machine
