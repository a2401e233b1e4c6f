"""AuthorizationPolicy about requests: judged at the destination, for clients of the same node, of another, and of no mesh.

web-1 is on the clients' node, web-2 and web-3 are on the other. A denied request is answered 403 (PERMISSION_DENIED)
without a word of the rule; the access log of the destination names it.
"""

import time

import pytest

from h2_ends import H2End, call
from http_apps import H2_PORT, HTTP_PORT
from http_ends import End, Ended, head
from http_world import OPAQUE, WEB_PODS, HttpMesh, do, eventually, weir_only
from world import ending, read_exactly

import apps

MESH = HttpMesh
pytestmark = weir_only
ALICE = "spiffe://cluster.local/ns/clients/sa/alice"
SERVERS = {"web_1": "node-1", "web_3": "node-2"}


def ask(mesh, method="GET", target="/", fields=(), client="alice", server="web_3", **more):
    """A request to one pod by its own address."""
    end = End(getattr(mesh, client).connect(getattr(mesh, server).v4, HTTP_PORT))
    with end.socket:
        return end.ask(method, target, fields, **more)


def rpc(mesh, path, client="alice", server="web_3"):
    end = H2End(getattr(mesh, client).connect(getattr(mesh, server).v4, H2_PORT))
    with end.socket:
        return call(end, path)


def denied(mesh, answer, server="web_3", reason="denied", **fields):
    """It was denied, in words that give nothing away; the log has them all."""
    assert answer.status == 403 and b"not this" not in answer.body and "not this" not in str(answer.fields)
    return mesh.entry(SERVERS[server], kind="request", reporter="destination", reason=reason, status=403, **fields)


@pytest.mark.parametrize("client", ["alice", "outsider"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_method_is_denied_and_the_rule_is_named_in_the_log_alone(mesh, client, server):
    mesh.deny(methods=["DELETE"])
    entry = denied(mesh, ask(mesh, "DELETE", client=client, server=server), server, rule="not this")
    assert "deny" in entry["policy"] and entry["method"] == "DELETE"
    assert ask(mesh, "GET", client=client, server=server).status == 200
    assert not mesh.requests(server.replace("_", "-"), method="DELETE")


def test_a_denied_request_leaves_the_connection_to_those_that_are_allowed(mesh):
    mesh.deny(methods=["DELETE"])
    end = mesh.http()
    with end.socket:
        assert [end.ask(m).status for m in ("GET", "DELETE", "GET", "DELETE", "GET")] == [200, 403, 200, 403, 200]
        assert end.ask("DELETE", "/", body=b"a body that nobody reads" * 100).status == 403


@pytest.mark.parametrize("path", ["/admin", "/admin/x", "//admin/x", "/./admin/x", "/y/../admin/x", "/%61dmin/x", "/admin/x?q"])
def test_a_path_is_judged_in_its_normal_form(mesh, path):
    mesh.deny(paths=["/admin", "/admin/*"])
    denied(mesh, ask(mesh, target=path))
    assert ask(mesh, target="/public/admin").status == 200


@pytest.mark.parametrize("path", ["/a%2Fb", "/a%5Cb", "/a%00b", "/a\\b"])
def test_a_path_without_one_normal_form_is_refused_where_a_policy_looks_at_paths(mesh, path):
    assert ask(mesh, target=path).status == 200 or "%00" in path or "\\" in path
    mesh.deny(paths=["/admin*"])
    assert ask(mesh, target=path).status == 400


def test_the_path_that_a_policy_judged_is_the_one_that_is_forwarded(mesh):
    assert ask(mesh, target="/x/../y//%7Ez?q=%2F").json["target"] == "/x/../y//%7Ez?q=%2F"
    mesh.deny(paths=["/admin*"])
    assert ask(mesh, target="/x/../y//%7Ez?q=%2F").json["target"] == "/y/~z?q=%2F"


def test_an_allow_of_paths_lets_in_what_it_names_and_nothing_else(mesh):
    mesh.deny("allow", action="Allow", paths=["/public/*"], methods=["GET", "HEAD"])
    assert ask(mesh, target="/public/x").status == 200
    denied(mesh, ask(mesh, "POST", "/public/x"), reason="not_allowed")
    denied(mesh, ask(mesh, target="/public/../private"), reason="not_allowed")


def test_deny_wins_over_allow_for_a_request_too(mesh):
    mesh.deny("allow", action="Allow", methods=["*"])
    mesh.deny("deny", paths=["/admin"])
    assert ask(mesh, target="/x").status == 200
    denied(mesh, ask(mesh, target="/admin"))


@pytest.mark.parametrize("host", ["inner.example", "INNER.example.", "inner.example:8080"])
def test_a_host_is_judged_without_case_trailing_dot_and_port(mesh, host):
    mesh.deny(hosts=["inner.example"])
    denied(mesh, ask(mesh, host=host))
    assert ask(mesh, host="outer.example").status == 200


def test_a_field_that_comes_twice_is_judged_value_by_value(mesh):
    twice = [("X-Role", "guest"), ("X-Role", "root")]
    when = [{"header": "x-role", "values": ["root"]}]
    for action in ("Deny", "Allow"):
        mesh.apply("AuthorizationPolicy", "role", selector=WEB_PODS, action=action, rules=[{"name": "not this", "when": when}])
        answer = ask(mesh, fields=twice)
        assert answer.status == 403, "a Deny sees any, an Allow needs all"
    assert ask(mesh, fields=[("X-Role", "root")]).status == 200


def test_what_a_client_says_of_its_address_is_believed_by_nobody(mesh):
    said = [("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7"), ("X-Real-IP", "203.0.113.7")]
    rules = [{"from": [{"ipBlocks": ["203.0.113.7/32"]}]}]
    mesh.apply("AuthorizationPolicy", "address", selector=WEB_PODS, action="Deny", rules=rules)
    seen = ask(mesh, fields=said).json["headers"]
    assert set(said) <= {(name, value) for name, value in seen}, "they pass as they are"
    rules[0]["from"][0]["ipBlocks"] = [f"{mesh.alice.v4}/32"]
    rules[0]["to"] = [{"methods": ["GET"]}]
    mesh.apply("AuthorizationPolicy", "address", selector=WEB_PODS, action="Deny", rules=rules)
    assert ask(mesh, fields=said).status == 403


def test_an_audit_lets_a_request_pass_and_is_told(mesh):
    mesh.deny("watch", action="Audit", paths=["/admin"])
    assert ask(mesh, target="/admin").status == 200
    entry = mesh.entry("node-2", kind="request", reporter="destination", status=200)
    assert "watch" in entry["policy"] and entry["reason"] == "none"


def test_who_and_what_are_judged_together(mesh):
    mesh.apply("AuthorizationPolicy", "both", selector=WEB_PODS, action="Deny",
               rules=[{"name": "not this", "from": [{"principals": [ALICE]}], "to": [{"methods": ["DELETE"]}]}])
    denied(mesh, ask(mesh, "DELETE"), source_principal=ALICE)
    assert [ask(mesh, "DELETE", client=c).status for c in ("bob", "outsider")] == [200, 200]


@pytest.mark.parametrize("client", ["alice", "outsider"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_grpc_method_that_is_denied_is_permission_denied(mesh, client, server):
    mesh.deny(grpc=["weir.test.Echo/Delete"])
    status, _, stream = rpc(mesh, "/weir.test.Echo/Delete", client, server)
    assert (status, stream.status, stream.get("content-type")) == (7, 200, "application/grpc")
    assert "not this" not in str(stream.fields + stream.trailers)
    assert rpc(mesh, "/weir.test.Echo/Say", client, server)[0] == 0
    mesh.entry(SERVERS[server], kind="request", reporter="destination", reason="denied", rule="not this")


def test_rules_about_requests_deny_opaque_traffic_and_never_allow_it(mesh):
    for action, reason in (("Deny", "denied"), ("Allow", "not_allowed")):
        mesh.deny("l7", action=action, paths=["/admin"])
        mesh.alice.fails(mesh.web_3.v4, apps.ECHO)
        mesh.entry("node-2", reporter="destination", reason=reason)


def test_http_on_a_port_said_to_be_opaque_is_judged_by_what_it_is(mesh):
    mesh.deny(paths=["/admin"], ports=[HTTP_PORT])
    assert mesh.ask(port=OPAQUE).status == 200
    assert mesh.ask(target="/admin", port=OPAQUE).status == 403


def test_flows_that_are_not_being_parsed_end_when_rules_about_requests_come(mesh):
    with mesh.alice.connect(mesh.web_3.v4, apps.ECHO) as flow:
        flow.sendall(b"live")
        assert read_exactly(flow, 4) == b"live"
        mesh.deny(paths=["/admin"])
        flow.settimeout(3)
        assert ending(flow) == "reset"
    mesh.entry("node-2", reporter="destination", reason="inspection_required")


def test_a_request_in_flight_that_rules_about_requests_cut_off_was_not_forbidden(mesh):
    """Through the Service: web-1 is served in one pass, where every request is read; the others' proxy reads none yet."""
    ends = [mesh.http() for _ in range(8)]
    for end in ends:
        end.send(head("GET / HTTP/1.1", [("Host", "web"), *do(sleep=4)]))
    time.sleep(0.5)
    mesh.deny(paths=["/admin"])
    answers = [end.answer() for end in ends]
    for end in ends:
        end.socket.close()
    assert {answer.status for answer in answers} <= {200, 503}
    cut = [answer for answer in answers if answer.status == 503]
    assert cut and all(b"inspection_required" in answer.body for answer in cut)
    mesh.entry("node-1", kind="request", reporter="source", reason="inspection_required", status=503)


def test_a_rule_that_comes_while_a_connection_is_kept_binds_its_next_request(mesh):
    end = mesh.http()
    with end.socket:
        assert end.ask("DELETE").status == 200
        mesh.deny(methods=["DELETE"])

        def refused():
            fresh = mesh.http()
            with fresh.socket:
                return fresh.ask("DELETE").status == 403

        eventually(refused)
        try:
            assert end.ask("DELETE").status == 403
        except (Ended, ConnectionError):
            pass  # It was ended, because its bytes were not being parsed at the destination.
    assert ask(mesh, "GET").status == 200


def test_an_upgrade_is_judged_as_the_request_that_it_is(mesh):
    mesh.deny(paths=["/chat"])
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
               ("Sec-WebSocket-Version", "13")]
    denied(mesh, ask(mesh, target="/chat", fields=upgrade))


def test_two_requests_in_one_packet_are_judged_each(mesh):
    mesh.deny(methods=["DELETE"])
    end = mesh.http()
    with end.socket:
        end.send(*[head(f"{m} / HTTP/1.1", [("Host", "web")]) for m in ("GET", "DELETE", "GET")])
        assert [end.answer().status for _ in range(3)] == [200, 403, 200]
