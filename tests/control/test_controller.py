"""weir-controller on a real API server: who is signed for and who is refused, the root's life, and the leader's.

Nodes and pods are objects without kubelets: tokens are bound to them by TokenRequest, as the kubelet would ask for them.
"""

import base64
import json
import time

import grpc
import pytest
from controllers import Agent, Controller, authority, issued_by, openssl, request, rights, wait_until
from daemons import eventually

IDENTITY = "spiffe://cluster.local/ns/shop/sa/web"


def pod(name, namespace, account, node):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {"serviceAccountName": account, "nodeName": node, "containers": [{"name": "c", "image": "none"}]}}


@pytest.fixture(scope="module")
def cluster(control_plane):
    for name in ("weir-system", "shop"):
        control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    accounts = [("weir-system", "weir-node"), ("shop", "web"), ("shop", "idle"), ("shop", "done")]
    control_plane.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
                         for namespace, name in accounts])
    control_plane.apply(rights())
    control_plane.apply([{"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}} for node in ("n1", "n2")])
    control_plane.apply([pod("weir-node-1", "weir-system", "weir-node", "n1"),
                         pod("weir-node-2", "weir-system", "weir-node", "n2"),
                         pod("web-1", "shop", "web", "n1"), pod("done-1", "shop", "done", "n1")])
    control_plane.kubectl("-n", "shop", "patch", "pod", "done-1", "--subresource=status", "--type=merge",
                          "-p", json.dumps({"status": {"phase": "Succeeded"}}))
    return control_plane


def token(cluster, name, account="weir-node", namespace="weir-system", audience="weir-ca"):
    bound = ["--bound-object-kind=Pod", f"--bound-object-name={name}"] if name else []
    return cluster.kubectl("-n", namespace, "create", "token", account, "--duration=600s",
                           *([f"--audience={audience}"] if audience else []), *bound).strip()


def published(cluster):
    return cluster.get("configmap", "weir-ca-root", "-n", "weir-system")["data"]


def wipe(cluster):
    for what in ("secret/weir-ca", "configmap/weir-ca-root", "lease/weir-controller"):
        cluster.kubectl("-n", "weir-system", "delete", what, "--ignore-not-found")


@pytest.fixture
def controller(cluster, tmp_path):
    wipe(cluster)
    with Controller(cluster, tmp_path, "one") as one:
        yield one.ready()


def test_a_pod_of_the_node_is_signed_for_by_the_published_root(cluster, controller, tmp_path):
    roots = published(cluster)["ca.pem"]
    with Agent(controller, roots) as agent:
        chain, not_after = agent.sign(token(cluster, "weir-node-1"), IDENTITY, request(tmp_path, f"URI:{IDENTITY}"))
    assert issued_by(tmp_path, chain, roots)
    text = openssl("x509", "-inform", "DER", "-noout", "-text", stdin=chain[0]).decode()
    assert f"URI:{IDENTITY}" in text and "CA:FALSE" in text
    assert 23 * 3600 < not_after - time.time() <= 24 * 3600
    assert controller.metric("weir_controller_sign_requests_total", '{result="signed"}') == 1


def test_every_other_caller_and_request_is_refused(cluster, controller, tmp_path):
    csr = request(tmp_path, f"URI:{IDENTITY}")
    ours = token(cluster, "weir-node-1")
    other = "spiffe://cluster.local/ns/shop/sa/other"
    forged = bytearray(csr)
    forged[-5] ^= 1
    rows = [
        ("UNAUTHENTICATED", "no token", "", IDENTITY, csr),
        ("UNAUTHENTICATED", "does not know this token", "garbage", IDENTITY, csr),
        ("UNAUTHENTICATED", "does not know this token", token(cluster, "weir-node-1", audience=None), IDENTITY, csr),
        ("UNAUTHENTICATED", "does not know this token", token(cluster, "weir-node-1", audience="other"), IDENTITY, csr),
        ("PERMISSION_DENIED", "does not say of which node", token(cluster, None), IDENTITY, csr),
        ("PERMISSION_DENIED", "only agents are signed for", token(cluster, "web-1", "web", "shop"), IDENTITY, csr),
        # Another node's token gets nothing of this node's.
        ("PERMISSION_DENIED", "has no pod on node n2", token(cluster, "weir-node-2"), IDENTITY, csr),
        ("PERMISSION_DENIED", "has no pod on node n1", ours, "spiffe://cluster.local/ns/shop/sa/idle",
         request(tmp_path, "URI:spiffe://cluster.local/ns/shop/sa/idle")),
        ("PERMISSION_DENIED", "has no pod on node n1", ours, "spiffe://cluster.local/ns/shop/sa/done",
         request(tmp_path, "URI:spiffe://cluster.local/ns/shop/sa/done")),
        ("PERMISSION_DENIED", "the trust domain is cluster.local", ours, "spiffe://else.where/ns/shop/sa/web",
         request(tmp_path, "URI:spiffe://else.where/ns/shop/sa/web")),
        ("INVALID_ARGUMENT", "not signed by its own key", ours, IDENTITY, bytes(forged)),
        ("INVALID_ARGUMENT", "no PKCS #10", ours, IDENTITY, b"garbage"),
        ("INVALID_ARGUMENT", "another identity", ours, IDENTITY, request(tmp_path, f"URI:{other}")),
        ("INVALID_ARGUMENT", "not exactly one name", ours, IDENTITY, request(tmp_path, f"URI:{IDENTITY}", f"URI:{other}")),
        ("INVALID_ARGUMENT", "not of the form", ours, IDENTITY + "/x?y", csr),
    ]
    with Agent(controller, published(cluster)["ca.pem"]) as agent:
        for code, sentence, *arguments in rows:
            got = agent.refusal(*arguments)
            assert got[0] == code and sentence in got[1], (got, code, sentence)
        assert agent.sign(ours, IDENTITY, csr)[0]  # and the one that is right still is


def test_a_call_that_is_replayed_gives_nothing_but_a_certificate_for_the_key_of_who_made_it(cluster, controller, tmp_path):
    """Nonces would refuse an agent that asks again because an answer was lost. What is replayed is of no use without the
    private key, which never leaves the proxy; and nothing in the call can be exchanged for one's own."""
    ours, csr, chains = token(cluster, "weir-node-1"), request(tmp_path, f"URI:{IDENTITY}"), []
    key = openssl("req", "-inform", "DER", "-noout", "-pubkey", stdin=csr)
    with Agent(controller, published(cluster)["ca.pem"]) as agent:
        for _ in range(2):
            chains.append(agent.sign(ours, IDENTITY, csr)[0])
        thief = openssl("ecparam", "-name", "prime256v1", "-genkey", "-outform", "DER")
        assert agent.refusal(ours, IDENTITY, csr.replace(csr[-40:], thief[:40]))[0] == "INVALID_ARGUMENT"
        assert agent.refusal(ours, IDENTITY.replace("web", "idle"), csr)[0] == "INVALID_ARGUMENT"
    for chain in chains:
        assert openssl("x509", "-inform", "DER", "-noout", "-pubkey", stdin=chain[0]) == key


def test_the_trust_domain_is_the_settings_and_is_followed_when_it_changes(cluster, controller, tmp_path):
    moved = "spiffe://moved.example/ns/shop/sa/web"
    ours, csrs = token(cluster, "weir-node-1"), {name: request(tmp_path, f"URI:{name}") for name in (IDENTITY, moved)}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "weir", "namespace": "weir-system"}}
    with Agent(controller, published(cluster)["ca.pem"]) as agent:

        def signed(identity):
            try:
                return bool(agent.sign(ours, identity, csrs[identity])[0])
            except grpc.RpcError as error:
                assert (error.code().name, "trust domain" in error.details()) == ("PERMISSION_DENIED", True)
                return False

        try:
            assert signed(IDENTITY) and not signed(moved)
            cluster.apply({**settings, "data": {"trustDomain": "moved.example"}})
            wait_until(lambda: signed(moved), 10, "the new domain is signed for")
            assert not signed(IDENTITY)
            cluster.apply({**settings, "data": {"trustDomain": "No Domain"}})  # nothing is taken of what cannot be meant
            time.sleep(2.5)
            assert signed(moved)
        finally:
            cluster.kubectl("-n", "weir-system", "delete", "configmap", "weir", "--ignore-not-found")
        wait_until(lambda: signed(IDENTITY), 10, "the command line's domain counts again")
        assert not signed(moved)


def test_a_token_is_worth_nothing_once_its_pod_is_gone(cluster, controller, tmp_path):
    cluster.apply(pod("weir-node-old", "weir-system", "weir-node", "n1"))
    stolen = token(cluster, "weir-node-old")
    csr = request(tmp_path, f"URI:{IDENTITY}")
    with Agent(controller, published(cluster)["ca.pem"]) as agent:
        assert agent.sign(stolen, IDENTITY, csr)[0]
        cluster.kubectl("-n", "weir-system", "delete", "pod", "weir-node-old", "--grace-period=0", "--force")
        time.sleep(10.5)  # what is known of a token counts that long
        assert agent.refusal(stolen, IDENTITY, csr)[0] == "UNAUTHENTICATED"


def test_of_two_replicas_one_leads_and_both_sign_by_one_root(cluster, tmp_path):
    wipe(cluster)
    csr = request(tmp_path, f"URI:{IDENTITY}")
    with Controller(cluster, tmp_path, "one") as one, Controller(cluster, tmp_path, "two") as two:
        one.ready()
        two.ready()
        assert [one.leads(), two.leads()].count(True) == 1
        roots = published(cluster)["ca.pem"]
        assert roots.count("BEGIN CERTIFICATE") == 1
        for replica in (one, two):
            with Agent(replica, roots) as agent:
                chain, _ = agent.sign(token(cluster, "weir-node-1"), IDENTITY, csr)
                assert issued_by(tmp_path, chain, roots)
        # Killed: the other takes over when the Lease has run out, with the same root.
        leader, other = (one, two) if one.leads() else (two, one)
        begun = time.monotonic()
        leader.kill()
        wait_until(other.leads, 25, "the other leads")
        assert time.monotonic() - begun > 10, "before the Lease ran out"
        with Agent(other, roots) as agent:
            assert issued_by(tmp_path, agent.sign(token(cluster, "weir-node-1"), IDENTITY, csr)[0], roots)
        # Ended orderly: the Lease is given back, and the next takes it at once.
        with Controller(cluster, tmp_path, "three") as three:
            three.ready()
            begun = time.monotonic()
            assert other.end() == 0
            wait_until(three.leads, 10, "the third leads")
            assert published(cluster)["ca.pem"] == roots
            assert three.http("/healthz")[0] == 200


def secret(certificate, key, root=None):
    data = {"tls.crt": certificate, "tls.key": key, "ca.crt": root or certificate}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "weir-ca", "namespace": "weir-system"},
            "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}}


def test_a_root_that_is_brought_is_used_and_followed_with_an_overlap(cluster, tmp_path):
    wipe(cluster)
    csr = request(tmp_path, f"URI:{IDENTITY}")
    with Controller(cluster, tmp_path, "one", "--bring-root", "--root-overlap=15s") as one:
        eventually(lambda: "is to be brought" in one.http("/readyz")[1], 20, "it waits for the Secret")
        old, old_key = authority(tmp_path, "old")
        new, new_key = authority(tmp_path, "new")
        cluster.apply(secret(old, old_key))
        one.ready()
        ours = token(cluster, "weir-node-1")
        with Agent(one, old + new) as agent:
            assert issued_by(tmp_path, agent.sign(ours, IDENTITY, csr)[0], old)
            bundles = agent.trust(ours)
            first, roots = next(bundles)
            assert len(roots) == 1
            cluster.apply(secret(new, new_key))
            second, roots = next(bundles)
            assert second > first and len(roots) == 2
            # Trusted first, signing a moment later.
            assert issued_by(tmp_path, agent.sign(ours, IDENTITY, csr)[0], old)
            wait_until(lambda: issued_by(tmp_path, agent.sign(ours, IDENTITY, csr)[0], new), 10, "the new root signs")
            third, roots = next(bundles)
            assert third > second and len(roots) == 1, "the old root left after the overlap"
        # What is broken is not taken.
        cluster.apply(secret(new, old_key))
        eventually(lambda: one.metric("weir_controller_root_errors") == 1, 10, "the broken Secret is told")
        with Agent(one, new) as agent:
            assert issued_by(tmp_path, agent.sign(ours, IDENTITY, csr)[0], new)


def test_a_certificate_of_an_intermediate_comes_with_its_chain(cluster, tmp_path):
    wipe(cluster)
    root, _ = authority(tmp_path, "root")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "mid.key", "-out", tmp_path / "mid.csr",
            "-subj", "/CN=mid")
    (tmp_path / "mid.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
    openssl("x509", "-req", "-in", tmp_path / "mid.csr", "-CA", tmp_path / "root.crt", "-CAkey", tmp_path / "root.key",
            "-CAcreateserial", "-extfile", tmp_path / "mid.ext", "-days", "30", "-out", tmp_path / "mid.crt")
    cluster.apply(secret((tmp_path / "mid.crt").read_text(), (tmp_path / "mid.key").read_text(), root))
    with Controller(cluster, tmp_path, "one") as one:
        one.ready()
        with Agent(one, root) as agent:
            chain, _ = agent.sign(token(cluster, "weir-node-1"), IDENTITY, request(tmp_path, f"URI:{IDENTITY}"))
    assert len(chain) == 2 and issued_by(tmp_path, chain, root)
