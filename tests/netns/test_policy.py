"""AuthorizationPolicy: who may talk to whom, judged at the open and again when policy changes."""

import pytest

import apps
from world import SERVICE, ending, eventually, read_exactly

ECHO_PODS = {"matchLabels": {"app": "echo"}}
ALICE = "spiffe://cluster.local/ns/clients/sa/alice"
SERVERS = {"echo_1": "node-1", "echo_2": "node-2"}


def allows(mesh, client, server="echo_2", port=apps.WHO):
    return getattr(mesh, client).reaches(getattr(mesh, server).v4, port)


def denies(mesh, client, reason, server="echo_2", port=apps.WHO, **fields):
    """The client fails, and the destination's log says why."""
    mesh.begin()
    getattr(mesh, client).fails(getattr(mesh, server).v4, port)
    return mesh.entry(SERVERS[server], reporter="destination", reason=reason, verdict="failed", **fields)


def rule(**match):
    """One rule; ports are about the destination, all else about the source."""
    to = {k: match.pop(k) for k in ("ports", "notPorts") if k in match}
    return {k: [v] for k, v in (("from", match), ("to", to)) if v}


@pytest.mark.parametrize("server", SERVERS)
def test_a_deny_names_its_policy_and_rule_in_the_log_and_binds_only_whom_it_names(mesh, server):
    mesh.apply("AuthorizationPolicy", "no-alice", selector=ECHO_PODS, action="Deny",
               rules=[{"name": "not her", **rule(principals=[ALICE])}])
    entry = denies(mesh, "alice", "denied", server, rule="not her")
    assert "no-alice" in entry["policy"] and entry["source"]["pod"] == "clients/alice"
    assert entry["source"]["principal"] == ALICE
    assert allows(mesh, "bob", server) and allows(mesh, "outsider", server)


@pytest.mark.parametrize("server", SERVERS)
def test_with_an_allow_in_force_whom_none_allows_is_denied(mesh, server):
    mesh.apply("AuthorizationPolicy", "alice-only", selector=ECHO_PODS, rules=[rule(principals=[ALICE])])
    assert allows(mesh, "alice", server)
    denies(mesh, "bob", "not_allowed", server)
    denies(mesh, "outsider", "not_allowed", server)
    denies(mesh, "stranger", "not_allowed", server)


def test_a_denied_client_fails_as_refused_through_a_service_too_and_no_other_endpoint_is_tried(mesh):
    mesh.apply("AuthorizationPolicy", "no-alice", selector=ECHO_PODS, action="Deny", rules=[rule(principals=[ALICE])])
    with mesh.rises("node-1", "weir_tcp_connections_failed_total", reporter="source", reason="denied"):
        mesh.alice.fails(SERVICE["v4"], apps.ECHO)
    mesh.entry("node-1", reporter="source", reason="denied")
    judged = [e for node in SERVERS.values() for e in mesh.entries(node, reporter="destination", reason="denied")]
    assert len(judged) == 1


def test_deny_wins_over_allow(mesh):
    mesh.apply("AuthorizationPolicy", "allow", selector=ECHO_PODS, rules=[rule(namespaces=["clients"])])
    mesh.apply("AuthorizationPolicy", "deny", selector=ECHO_PODS, action="Deny", rules=[rule(principals=[ALICE])])
    denies(mesh, "alice", "denied")
    assert allows(mesh, "bob")


@pytest.mark.parametrize("match", [
    {"principals": [ALICE]}, {"principals": ["cluster.local/ns/clients/sa/alice"]},
    {"principals": ["spiffe://cluster.local/ns/clients/sa/al*"]},
    {"notPrincipals": ["spiffe://cluster.local/ns/clients/sa/bob"], "namespaces": ["clients"]}, {"ipBlocks": ["alice/32"]},
    {"notIpBlocks": ["bob/32", "outsider/32"]}])
def test_a_source_matches_by_principal_namespace_and_address(mesh, match):
    address = {name + "/32": getattr(mesh, name).v4 + "/32" for name in ("alice", "bob", "outsider")}
    match = {k: [address.get(value, value) for value in values] for k, values in match.items()}
    mesh.apply("AuthorizationPolicy", "match", selector=ECHO_PODS, rules=[rule(**match)])
    assert allows(mesh, "alice")
    denies(mesh, "bob", "not_allowed")
    denies(mesh, "outsider", "not_allowed")


def test_a_star_is_any_authenticated_peer_and_nobody_else(mesh):
    mesh.apply("AuthorizationPolicy", "any", selector=ECHO_PODS, rules=[rule(principals=["*"])])
    for server in SERVERS:
        assert allows(mesh, "alice", server) and allows(mesh, "bob", server)
        denies(mesh, "outsider", "not_allowed", server)


def test_a_negation_of_who_somebody_is_does_not_let_in_who_is_nobody(mesh):
    mesh.apply("AuthorizationPolicy", "not-bob", selector=ECHO_PODS, action="Deny",
               rules=[rule(notPrincipals=[ALICE])])
    assert allows(mesh, "alice")
    denies(mesh, "bob", "denied")
    denies(mesh, "outsider", "denied")


def test_a_port_is_the_pods_port_however_it_was_dialled(mesh):
    mesh.apply("AuthorizationPolicy", "ports", selector=ECHO_PODS, action="Deny", rules=[rule(ports=[apps.WHO])])
    denies(mesh, "alice", "denied")
    mesh.alice.fails(SERVICE["v4"], 80)  # Its targetPort is the denied one.
    mesh.alice.echo(mesh.echo_2.v4)
    mesh.apply("AuthorizationPolicy", "ports", selector=ECHO_PODS, action="Deny", rules=[rule(notPorts=[apps.WHO])])
    assert allows(mesh, "alice")
    denies(mesh, "alice", "denied", port=apps.ECHO)


def test_a_policy_on_a_service_binds_its_pods_on_its_target_ports(mesh):
    mesh.apply("AuthorizationPolicy", "self", targetRefs=[{"kind": "Service", "name": "self"}], action="Deny",
               rules=[rule(namespaces=["clients"])])
    denies(mesh, "alice", "denied", "echo_1")
    mesh.alice.echo(mesh.echo_1.v4)  # The Service self has no such port.
    assert allows(mesh, "alice", "echo_2")


def test_a_policy_of_weirs_own_namespace_binds_the_mesh(mesh):
    mesh.apply("AuthorizationPolicy", "mesh", "weir-system", action="Deny", rules=[rule(principals=[ALICE])])
    denies(mesh, "alice", "denied", "echo_1")
    denies(mesh, "alice", "denied", "echo_2")
    assert allows(mesh, "bob")


def test_an_allow_without_rules_allows_nobody(mesh):
    mesh.apply("AuthorizationPolicy", "nobody", selector=ECHO_PODS, action="Allow")
    denies(mesh, "alice", "not_allowed")


def test_an_audit_lets_pass_and_is_told(mesh):
    mesh.apply("AuthorizationPolicy", "watch", selector=ECHO_PODS, action="Audit", rules=[rule(principals=[ALICE])])
    assert allows(mesh, "alice")
    entry = mesh.entry("node-2", reporter="destination", source_pod="clients/alice")
    assert (entry["verdict"], entry["reason"]) == ("opened", "none") and "watch" in entry["policy"]


def test_an_l7_deny_on_opaque_traffic_denies_and_an_l7_allow_never_matches(mesh):
    by_path = {"to": [{"paths": ["/admin"]}]}
    mesh.apply("AuthorizationPolicy", "l7", selector=ECHO_PODS, action="Deny", rules=[by_path])
    denies(mesh, "alice", "denied")
    mesh.apply("AuthorizationPolicy", "l7", selector=ECHO_PODS, action="Allow", rules=[by_path])
    denies(mesh, "alice", "not_allowed")


@pytest.mark.parametrize("server", SERVERS)
def test_live_flows_are_judged_again_and_only_those_no_longer_allowed_end(mesh, server):
    address = getattr(mesh, server).v4
    flows = {name: getattr(mesh, name).connect(address, apps.ECHO) for name in ("alice", "bob", "outsider")}
    for flow in flows.values():
        flow.sendall(b"live")
        assert read_exactly(flow, 4) == b"live"
    mesh.apply("AuthorizationPolicy", "no-alice", selector=ECHO_PODS, action="Deny", rules=[rule(principals=[ALICE])])
    flows["alice"].settimeout(3)
    assert ending(flows["alice"]) == "reset"
    mesh.entry(SERVERS[server], reporter="destination", source_pod="clients/alice", reason="policy_changed")
    for name in ("bob", "outsider"):
        flows[name].sendall(b"still")
        assert read_exactly(flows[name], 5) == b"still"
    mesh.apply("PeerAuthentication", "strict", mode="Strict")
    flows["outsider"].settimeout(3)
    assert ending(flows["outsider"]) == "reset"
    flows["bob"].sendall(b"still")
    assert read_exactly(flows["bob"], 5) == b"still"
    for flow in flows.values():
        flow.close()


def test_a_policy_that_was_never_accepted_still_counts(mesh):
    bad = {"apiVersion": "weir.dev/v1alpha1", "kind": "AuthorizationPolicy",
           "metadata": {"name": "bad", "namespace": "servers"},
           "spec": {"selector": ECHO_PODS, "action": "Allow", "rules": [{"from": [{"ipBlocks": ["nonsense"]}]}]}}
    mesh.lab.apply(bad)
    mesh.applied.append(("AuthorizationPolicy", "servers", "bad"))
    eventually(lambda: mesh.alice.fails(mesh.echo_2.v4, apps.WHO))
    denies(mesh, "alice", "not_allowed")
    assert mesh.alice.reaches(mesh.outsider.v4)
