"""HTTPRoute and GRPCRoute: matches, precedence, filters, weights, references, and changes under load.

The answers come from web-1 and web-2 (version v1, the Service web-v1), web-3 (version v2, web-v2), shadow and shop.
"""

import json
import threading
import time

import pytest

from h2_ends import H2End, call
from http_ends import End
from http_world import GATEWAY, GRPC, H2, HTTP, LENT, LENT_H2, WEB_V1, HttpMesh, backends, do, eventually, prefix, weir_only

MESH = HttpMesh
pytestmark = weir_only


def version(mesh, target="/", fields=(), method="GET", **more):
    return mesh.ask(method, target, fields, **more).json["version"]


# --- Matches -------------------------------------------------------------------------------------------------------
MATCHES = {
    "a header": ({"headers": [{"name": "X-Canary", "value": "yes"}]},
                 ("/", [("x-canary", "yes")]), ("/", [("x-canary", "no")])),
    "a header by regex": ({"headers": [{"name": "x-user", "type": "RegularExpression", "value": "b.b"}]},
                          ("/", [("X-User", "bob")]), ("/", [("X-User", "bobby")])),
    "an exact path": ({"path": {"type": "Exact", "value": "/a"}}, ("/a", ()), ("/a/", ())),
    "a prefix of whole segments": (prefix("/a/b"), ("/a/b/c", ()), ("/a/bc", ())),
    "a path by regex": ({"path": {"type": "RegularExpression", "value": "/v[0-9]+/.*"}}, ("/v12/x", ()), ("/vx/x", ())),
    "a query parameter": ({"queryParams": [{"name": "beta", "value": "1"}]}, ("/?a=2&beta=1", ()), ("/?beta=2", ())),
    "the normal form of a path": (prefix("/admin"), ("//x/../%61dmin/./y", ()), ("/x/admin", ())),
}


@pytest.mark.parametrize("what", MATCHES)
def test_a_request_is_routed_by_what_the_route_matches(mesh, what):
    match, yes, no = MATCHES[what]
    mesh.route("canary", {"matches": [match], "backendRefs": backends(web_v2=1)}, {"backendRefs": backends(web_v1=1)})
    for port in (HTTP, H2):
        if port == HTTP:
            assert [version(mesh, *yes), version(mesh, *no)] == ["v2", "v1"]
        else:
            streams = [mesh.ask_h2("GET", t, [(n.lower(), v) for n, v in f]) for t, f in (yes, no)]
            assert [b'"version": "v2"' in s.data for s in streams] == [True, False]


def test_a_request_is_routed_by_its_method(mesh):
    mesh.route("writes", {"matches": [{"method": "POST"}], "backendRefs": backends(web_v2=1)},
               {"backendRefs": backends(web_v1=1)})
    assert [version(mesh, method=m) for m in ("POST", "GET", "post")] == ["v2", "v1", "v1"]


def test_precedence_is_exact_path_then_longest_prefix_then_method_then_headers_then_query(mesh):
    def rule(match, name):
        return {"matches": [match], "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {
            "set": [{"name": "x-rule", "value": name}]}}], "backendRefs": backends(web=1)}

    header = {"headers": [{"name": "x-h", "value": "1"}]}
    query = {"queryParams": [{"name": "q", "value": "1"}]}
    mesh.route("all", rule(prefix("/"), "root"), rule(prefix("/a"), "short"), rule(prefix("/a/b"), "long"),
               rule({"path": {"type": "Exact", "value": "/a/b"}}, "exact"), rule(prefix("/a") | {"method": "PUT"}, "method"),
               rule(prefix("/a") | header, "header"), rule(prefix("/a") | query, "query"))
    h = [("X-H", "1")]
    asked = [("GET", "/a/b", ()), ("GET", "/a/b/c", ()), ("GET", "/a", ()), ("GET", "/z", ()), ("PUT", "/a?q=1", h),
             ("GET", "/a?q=1", h), ("GET", "/a?q=1", ()), ("PUT", "/a/b", h)]
    assert [mesh.ask(*a).get("x-rule") for a in asked] == [
        "exact", "long", "short", "root", "method", "header", "query", "exact"]


def test_what_no_rule_matches_is_not_found_and_says_so_in_the_log(mesh):
    mesh.route("only", {"matches": [prefix("/only")], "backendRefs": backends(web=1)})
    assert mesh.ask(target="/only/this").status == 200
    assert mesh.ask(target="/other").status == 404
    mesh.entry("node-1", kind="request", reason="route_not_found", status=404)


def test_hosts_do_not_matter_on_a_service_but_the_address_that_was_dialled_does(mesh):
    mesh.route("canary", {"backendRefs": backends(web_v2=1)})
    assert version(mesh, host="anything.example") == "v2"
    assert version(mesh, host="web.servers", service=WEB_V1) == "v1"


def test_a_route_of_one_port_leaves_the_others_alone(mesh):
    mesh.route("one-port", {"backendRefs": backends(web_v2=1)}, port=HTTP)
    assert version(mesh) == "v2"
    seen = {mesh.ask_h2().get("x-pod") for _ in range(48)}
    assert len(seen) == 3


# --- Weights and changes ---------------------------------------------------------------------------------------------
def test_weights_are_shares_of_requests_on_one_connection(mesh):
    mesh.route("canary", {"backendRefs": backends(web_v1=90, web_v2=10)})
    counted = mesh.tally(400)
    assert 15 <= counted["v2"] <= 70, counted  # 40 ± 5 standard deviations
    mesh.route("canary", {"backendRefs": backends(web_v1=1, web_v2=0)})
    assert mesh.tally(50) == {"v1": 50}


class Load(threading.Thread):
    """Requests one after the other on a kept connection; `answers` are (time, status, version)."""

    def __init__(self, mesh, client):
        super().__init__(daemon=True)
        self.end, self.answers, self.failure, self.stopped = mesh.http(client), [], None, False

    def run(self):
        try:
            while not self.stopped:
                answer = self.end.ask("POST", "/", body=b"x" * 100)
                self.answers.append((time.monotonic(), answer.status, answer.json["version"] if answer.status == 200 else ""))
        except (AssertionError, OSError, ValueError) as error:
            self.failure = error

    def stop(self):
        self.stopped = True
        self.join(10)
        self.end.socket.close()


def test_a_canary_changed_under_load_loses_no_request_and_comes_in_one_step(mesh):
    mesh.route("canary", {"backendRefs": backends(web_v1=1)})
    loads = [Load(mesh, client) for client in ("alice", "bob") * 4]
    for load in loads:
        load.start()
    changed = []
    for weights in ({"web_v1": 1, "web_v2": 1}, {"web_v2": 1}, {"web_v1": 1}, {"web_v2": 1}):
        time.sleep(0.3)
        mesh.route("canary", {"backendRefs": backends(**weights)})
        changed.append((time.monotonic(), weights))
    time.sleep(0.5)
    for load in loads:
        load.stop()
    assert [load.failure for load in loads] == [None] * 8
    answers = [a for load in loads for a in load.answers]
    assert len(answers) > 500 and {status for _, status, _ in answers} == {200}
    ends = [at for at, _ in changed[1:]] + [float("inf")]
    for (at, weights), end in zip(changed, ends):
        wanted = {name.removeprefix("web_") for name in weights}
        assert {v for when, _, v in answers if at + 0.05 < when < end - 0.25} <= wanted


# --- Filters -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("redirect,status,location", [
    ({"hostname": "new.example"}, 302, "http://new.example/old/page?q=1"),
    ({"scheme": "https", "statusCode": 301}, 301, "https://web.servers/old/page?q=1"),
    ({"port": 8080}, 302, "http://web.servers:8080/old/page?q=1"),
    ({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}, "statusCode": 308}, 308, "http://web.servers/new?q=1"),
    ({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}, "statusCode": 303}, 303,
     "http://web.servers/new/page?q=1")])
def test_a_redirect_is_answered_at_once(mesh, redirect, status, location):
    mesh.route("away", {"matches": [prefix("/old")], "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]})
    answer = mesh.ask(target="/old/page?q=1")
    assert (answer.status, answer.get("Location")) == (status, location)
    assert not [e for pod in ("web-1", "web-2", "web-3") for e in mesh.requests(pod)]
    mesh.entry("node-1", kind="request", reason="redirected", status=status)


@pytest.mark.parametrize("rewrite,target,seen,host", [
    ({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}, "/old/a?b", "/new/a?b", "web.servers"),
    ({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}, "/old/a?b", "/a?b", "web.servers"),
    ({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/one"}}, "/old/a?b", "/one?b", "web.servers"),
    ({"hostname": "inner.example"}, "/old", "/old", "inner.example")])
def test_a_rewrite_changes_what_the_application_sees(mesh, rewrite, target, seen, host):
    mesh.route("rewritten", {"matches": [prefix("/old")], "backendRefs": backends(web=1),
                             "filters": [{"type": "URLRewrite", "urlRewrite": rewrite}]})
    told = mesh.ask(target=target).json
    hosts = [value for name, value in told["headers"] if name.lower() == "host"]
    assert (told["target"], hosts) == (seen, [host])


def test_fields_are_set_added_and_removed_for_the_request_the_answer_and_one_backend(mesh):
    edit = {"set": [{"name": "X-Set", "value": "s"}], "add": [{"name": "X-Add", "value": "2"}], "remove": ["X-Gone"]}
    one = {"set": [{"name": "X-Backend", "value": "b"}]}
    mesh.route("edited", {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": edit},
                                      {"type": "ResponseHeaderModifier", "responseHeaderModifier": edit}],
                          "backendRefs": [backends(web=1)[0] | {"filters": [
                              {"type": "RequestHeaderModifier", "requestHeaderModifier": one}]}]})
    sent = [("X-Set", "old"), ("X-Add", "1"), ("X-Gone", "x")]
    answer = mesh.ask(fields=sent + do(headers=sent))
    fields = [(name.lower(), value) for name, value in answer.json["headers"]]

    def values(name):
        return ", ".join(value for field, value in fields if field == name)

    assert (values("x-set"), values("x-add"), values("x-gone"), values("x-backend")) == ("s", "1, 2", "", "b")
    assert (answer.get("X-Set"), answer.get("X-Add"), answer.get("X-Gone")) == ("s", "1, 2", None)


def test_a_mirror_gets_a_copy_and_its_answer_is_nobodys(mesh):
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shadow", "port": HTTP}}}
    mesh.route("mirrored", {"filters": [mirror], "backendRefs": backends(web_v2=1)})
    slow = do("shadow", sleep=2, status=500)
    begun = time.monotonic()
    for number in range(5):
        assert mesh.ask("POST", f"/{number}", slow, b"copied").json["pod"] == "web-3"
    assert time.monotonic() - begun < 1.5, "the mirror slows the original"
    eventually(lambda: [e["length"] for e in mesh.requests("shadow")] == [6] * 5)


def test_a_mirror_takes_its_share(mesh):
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shadow", "port": HTTP}, "percent": 25}}
    mesh.route("mirrored", {"filters": [mirror], "backendRefs": backends(web_v2=1)})
    mesh.tally(200)
    eventually(lambda: 15 <= len(mesh.requests("shadow")) <= 90)  # 50 ± 6 standard deviations


def test_cors_answers_the_preflight_and_marks_the_answer(mesh):
    cors = {"allowOrigins": ["https://*.example.com"], "allowMethods": ["GET", "PUT"], "allowHeaders": ["X-Mine"], "maxAge": 60}
    mesh.route("cors", {"filters": [{"type": "CORS", "cors": cors}], "backendRefs": backends(web=1)})
    asked = [("Origin", "https://a.example.com"), ("Access-Control-Request-Method", "PUT")]
    preflight = mesh.ask("OPTIONS", "/", asked)
    assert 200 <= preflight.status < 300 and preflight.get("Access-Control-Allow-Origin") == "https://a.example.com"
    assert "PUT" in preflight.get("Access-Control-Allow-Methods") and preflight.get("Access-Control-Max-Age") == "60"
    assert mesh.ask(fields=[("Origin", "https://a.example.com")]).get("Access-Control-Allow-Origin") == "https://a.example.com"
    assert mesh.ask(fields=[("Origin", "https://evil.example")]).get("Access-Control-Allow-Origin") is None


def test_session_persistence_keeps_a_client_with_its_pod_by_cookie(mesh):
    mesh.route("sticky", {"sessionPersistence": {"sessionName": "weir", "type": "Cookie"}, "backendRefs": backends(web=1)})
    first = mesh.ask()
    cookie = first.get("Set-Cookie").split(";")[0]
    assert mesh.tally(20, by="pod", fields=[("Cookie", cookie)]) == {first.json["pod"]: 20}


# --- Time-outs -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("timeouts,reason", [({"request": "300ms"}, "request_timeout"),
                                             ({"backendRequest": "300ms"}, "backend_timeout")])
def test_a_time_out_of_the_route_is_a_504_in_time(mesh, timeouts, reason):
    mesh.route("timed", {"timeouts": timeouts, "backendRefs": backends(web_v2=1)})
    begun = time.monotonic()
    assert mesh.ask(fields=do(sleep=3)).status == 504
    assert 0.25 < time.monotonic() - begun < 1.5
    assert mesh.ask(fields=do(sleep=0.05)).status == 200
    mesh.entry("node-1", kind="request", reason=reason, status=504)
    eventually(lambda: bool(mesh.requests("web-3", "gone")))


# --- Between versions ------------------------------------------------------------------------------------------------
def test_a_request_crosses_from_http_1_to_http_2_where_its_route_leads(mesh):
    mesh.route("up", {"backendRefs": [{"name": "web-v2", "port": LENT_H2}]})
    client = mesh.http()
    with mesh.web_3.listen(LENT_H2) as listener, client.socket:
        client.send_request("POST", "/up?q", [("Cookie", "a=1; b=2"), ("Connection", "te, x-hop"), ("TE", "trailers"),
                                              ("X-Hop", "gone"), ("Transfer-Encoding", "chunked")])
        client.send(b"4\r\nbody\r\n0\r\nX-Sum: 7\r\n\r\n")
        listener.settimeout(5)
        server = H2End(listener.accept()[0], client=False)
        with server.socket:
            server.socket.settimeout(5)
            request = server.accept()
            server.wait(lambda: request.ended)
            assert (request.get(":method"), request.get(":path"), request.get(":authority")) == ("POST", "/up?q", "web.servers")
            assert request.get("cookie").replace(", ", "; ") == "a=1; b=2" and request.get("te") == "trailers"
            assert {"host", "connection", "x-hop", "transfer-encoding"}.isdisjoint(name for name, _ in request.fields)
            assert (request.data, request.trailers) == (b"body", [("x-sum", "7")])
            server.reply(request, 200, [], b"answer", [("x-end", "8")])
            answer = client.answer()
            assert (answer.status, answer.body, answer.chunked) == (200, b"answer", True)
            assert [(name.lower(), value) for name, value in answer.trailers] == [("x-end", "8")]


def test_a_request_crosses_from_http_2_to_http_1_where_its_route_leads(mesh):
    mesh.route("down", {"backendRefs": [{"name": "web-v2", "port": LENT}]})
    client = mesh.h2()
    with mesh.web_3.listen(LENT) as listener, client.socket:
        mine = client.ask("POST", "/down", [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")], b"body", end=False)
        client.h2.send_headers(mine.id, [("x-sum", "7")], end_stream=True)
        client.flush()
        listener.settimeout(5)
        server = End(listener.accept()[0])
        with server.socket:
            server.socket.settimeout(5)
            request = server.request()
            assert (request.method, request.target, request.values("Host")) == ("POST", "/down", ["web.servers"])
            assert request.values("Cookie") == ["a=1; b=2"] and request.values("TE") == ["trailers"]
            assert "te" in request.get("Connection", "").lower(), "TE is of one hop"
            assert request.chunked and request.body == b"body"
            assert [(name.lower(), value) for name, value in request.trailers] == [("x-sum", "7")]
            server.reply(200, [("Connection", "x-hop"), ("X-Hop", "gone")], b"answer")
            answer = client.answer(mine)
            assert (answer.status, answer.data, answer.get("x-hop")) == (200, b"answer", None)


# --- References ----------------------------------------------------------------------------------------------------
def test_a_backend_of_another_namespace_needs_a_grant(mesh):
    mesh.route("across", {"backendRefs": [{"name": "shop", "namespace": "other", "port": HTTP}]})
    assert mesh.ask().status == 500
    mesh.entry("node-1", kind="request", reason="route_invalid")
    mesh.apply("ReferenceGrant", "servers-may", "other", "gateway.networking.k8s.io/v1beta1",
               **{"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "servers"}],
                  "to": [{"group": "", "kind": "Service"}]})
    assert mesh.ask().json["pod"] == "shop"


@pytest.mark.parametrize("refs", [[{"name": "nobody", "port": HTTP}], backends(web_v1=0, web_v2=0)], ids=["unknown", "zero"])
def test_a_rule_without_a_usable_backend_is_answered_500(mesh, refs):
    mesh.route("broken", {"backendRefs": refs})
    assert mesh.ask().status == 500


def test_a_broken_backend_takes_only_its_share(mesh):
    mesh.route("half", {"backendRefs": backends(web_v2=1) + [{"name": "nobody", "port": HTTP, "weight": 1}]})
    statuses = [mesh.ask().status for _ in range(60)]
    assert set(statuses) == {200, 500} and 10 < statuses.count(500) < 50


def test_a_service_without_a_pod_is_answered_503(mesh):
    mesh.route("nobody", {"backendRefs": backends(empty=1)})
    assert mesh.ask().status == 503
    mesh.entry("node-1", kind="request", reason="no_endpoint", status=503)


def test_a_consumer_route_changes_only_the_clients_of_its_namespace(mesh):
    mesh.apply("ReferenceGrant", "mine", "servers", "gateway.networking.k8s.io/v1beta1",
               **{"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "other"}],
                  "to": [{"group": "", "kind": "Service"}]})
    mesh.route("mine", {"backendRefs": [{"name": "web-v2", "namespace": "servers", "port": HTTP}]}, namespace="other")
    assert mesh.tally(10, client="carol") == {"v2": 10}
    # In turns: the default balancer may leave out the slowest of three pods, which v2's one can be.
    mesh.apply("TrafficPolicy", "turns", targetRefs=[{"kind": "Service", "name": "web"}], balancer="RoundRobin")
    assert set(mesh.tally(20, client="alice")) == {"v1", "v2"}


def test_a_route_cannot_take_over_a_service_of_another_namespace_for_everybody(mesh):
    mesh.route("thief", {"backendRefs": [{"name": "shop", "namespace": "other", "port": HTTP}]}, namespace="other")
    assert "shop" not in mesh.tally(20, by="pod", client="alice")


# --- GRPCRoute -----------------------------------------------------------------------------------------------------
def test_grpc_is_routed_by_service_method_and_header(mesh):
    def refs(name):
        return [{"name": name, "port": GRPC}]

    mesh.route("grpc", {"matches": [{"method": {"service": "weir.test.Echo", "method": "New"}}], "backendRefs": refs("web-v2")},
               {"matches": [{"method": {"service": "weir.test.Echo"}, "headers": [{"name": "canary", "value": "yes"}]}],
                "backendRefs": refs("web-v2")},
               {"matches": [{"method": {"service": "weir.test.Echo"}}], "backendRefs": refs("web-v1")}, kind="GRPCRoute")
    end = mesh.h2(port=GRPC)
    with end.socket:
        def pod(path, fields=()):
            return call(end, path, b"", fields)[2].get("x-pod")

        assert pod("/weir.test.Echo/New") == "web-3" and pod("/weir.test.Echo/Old", [("canary", "yes")]) == "web-3"
        assert pod("/weir.test.Echo/Old") in ("web-1", "web-2")
        status, _, stream = call(end, "/weir.other.Echo/Old")
        assert (status, stream.status) == (12, 200), "UNIMPLEMENTED"


def test_a_bad_route_changes_nothing_that_was_good(mesh):
    mesh.route("canary", {"backendRefs": backends(web_v2=1)})
    mesh.lab.apply({"apiVersion": GATEWAY, "kind": "HTTPRoute", "metadata": {"name": "bad", "namespace": "servers"},
                    "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web"}], "rules": [
                        {"matches": [{"path": {"type": "RegularExpression", "value": "(["}}]}]}})
    mesh.applied.append(("HTTPRoute", "servers", "bad"))
    time.sleep(0.5)
    assert mesh.tally(10) == {"v2": 10}


def too_many_expressions():
    """Rules of which each is good, with more regular expressions than a proxy takes for one Service."""
    def match(i):
        return {"path": {"type": "Exact", "value": f"/{i}"},
                "headers": [{"name": f"x-{n}", "type": "RegularExpression", "value": "a+"} for n in range(16)]}

    return [{"matches": [match(8 * rule + i) for i in range(8)], "backendRefs": backends(web_v2=1)} for rule in range(8)]


def test_routes_that_a_proxy_refuses_answer_500_until_they_are_good_and_nothing_passes_them(mesh):
    def status(target="/"):
        return mesh.ask(target=target).status

    def held():
        return {q["object"]: q for q in json.loads(mesh.lab.weir("node-1").admin("agent", "/status"))["quarantine"]}

    assert status() == 200
    mesh.route("huge", *too_many_expressions(), port=HTTP)
    assert eventually(lambda: status() == 500)
    answer = mesh.ask(target="/0")
    assert answer.status == 500 and answer.body == b"route_invalid\n"
    assert mesh.entry("node-1", protocol="http/1.1", status=500)["reason"] == "route_invalid"
    [(name, entry)] = held().items()
    assert "servers/web" in name and "regular expressions" in entry["error"] and "500" in entry["stands_in"]
    assert mesh.ask_h2().status == 200, "a port without routes is left alone"
    mesh.route("huge", {"backendRefs": backends(web_v2=1)}, port=HTTP)
    assert eventually(lambda: status() == 200) and not held()
    mesh.route("huge", *too_many_expressions(), port=HTTP)
    assert eventually(held), "refused again"
    assert mesh.tally(10) == {"v2": 10}, "the last good form stands in where there is one"
