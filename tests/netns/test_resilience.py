"""Requests that something goes wrong with: retries and their budget, ejection, slow pods, breakers, balancing by request.

What an application is told to do stands in the field `x-do` of the request (http_apps.py); what reached it is in its log.
"""

import collections
import json
import threading
import time

import pytest

from h2_ends import call
from http_apps import H2_PORT, HTTP_PORT
from http_ends import Ended
from http_world import GRPC, UNSAID, UNSAID_H2, WEB_V2, HttpMesh, backends, do, eventually, weir_only

MESH = HttpMesh
pytestmark = weir_only
WEB_SERVICE = [{"kind": "Service", "name": "web"}]
PODS = ("web-1", "web-2", "web-3")


def traffic(mesh, **spec):
    """A TrafficPolicy on web. Ejection is off unless the test is about it: it would outlive the test."""
    spec.setdefault("outlierDetection", {"disabled": True})
    mesh.apply("TrafficPolicy", "web", targetRefs=WEB_SERVICE, **spec)


def tries(mesh, target):
    return sum(len(mesh.requests(pod, target=target)) for pod in PODS)


# --- Retries -------------------------------------------------------------------------------------------------------
def test_a_pod_that_resets_before_its_answer_costs_the_client_nothing(mesh):
    traffic(mesh, balancer="RoundRobin")
    assert {mesh.ask("GET", f"/{n}", do("web-1", reset=True)).status for n in range(12)} == {200}
    entry = mesh.entry("node-1", kind="request", reporter="source", attempts=2)
    assert entry["status"] == 200


@pytest.mark.parametrize("pod,l7", [("web-1", False), ("web-3", False), ("web-3", True)])
def test_a_pod_that_refuses_connections_costs_the_client_nothing(mesh, pod, l7):
    """Where a policy looks into requests too: there the session has been accepted when its application refuses."""
    traffic(mesh, balancer="RoundRobin")
    if l7:
        mesh.deny(methods=["DELETE"], ports=[HTTP_PORT, H2_PORT])
    served = getattr(mesh, pod.replace("-", "_"))
    assert len(mesh.tally(9, by="pod")) == 3  # a lane to each: afterwards the kernel refuses new ones to a closed port
    mesh.lab.place(pod)[1].kill()
    try:
        assert {mesh.ask("POST", f"/{n}", body=b"x").status for n in range(12)} == {200}
        assert {mesh.ask_h2("POST", f"/{n}").status for n in range(12)} == {200}
        node, kind = ("node-1", "request") if pod == "web-1" else ("node-2", "request" if l7 else "connection")
        mesh.entry(node, kind=kind, reporter="destination", reason="refused")
    finally:
        mesh.lab.start_containers(mesh.lab.pod(pod))
        eventually(served.lender.exists)
        eventually(lambda: mesh.alice.reaches(served.v4))


def test_an_answer_with_an_error_is_final_unless_a_policy_names_its_status(mesh):
    assert mesh.ask("GET", "/once", do(status=503)).status == 503
    assert tries(mesh, "/once") == 1
    traffic(mesh, retry={"attempts": 2, "codes": [503]})
    assert mesh.ask("GET", "/thrice", do(status=503)).status == 503
    assert tries(mesh, "/thrice") == 3
    assert [len(mesh.requests(pod, target="/thrice")) for pod in PODS] == [1, 1, 1], "each try elsewhere"
    assert mesh.ask("GET", "/500", do(status=500)).status == 500
    assert tries(mesh, "/500") == 1


def test_what_is_not_idempotent_is_tried_again_by_status_only_where_it_is_named(mesh):
    traffic(mesh, retry={"attempts": 1, "codes": [503]})
    mesh.ask("POST", "/not", do(status=503), b"x")
    mesh.ask("PUT", "/put", do(status=503), b"x")
    assert (tries(mesh, "/not"), tries(mesh, "/put")) == (1, 2)
    traffic(mesh, retry={"attempts": 1, "codes": [503], "methods": ["POST"]})
    mesh.ask("POST", "/named", do(status=503), b"x")
    assert tries(mesh, "/named") == 2


def test_a_route_says_itself_what_is_tried_again(mesh):
    mesh.route("retried", {"retry": {"codes": [502], "attempts": 2, "backoff": "10ms"}, "backendRefs": backends(web=1)})
    assert mesh.ask("GET", "/r", do("v1", status=502)).json["version"] == "v2"
    assert 1 <= tries(mesh, "/r") <= 3


def test_a_body_too_large_to_keep_is_not_sent_twice(mesh):
    traffic(mesh, retry={"attempts": 2, "codes": [503]})
    assert mesh.ask("PUT", "/large", do(status=503), b"x" * 100_000).status == 503
    assert tries(mesh, "/large") == 1
    mesh.ask("PUT", "/small", do(status=503), b"x" * 10_000)
    assert tries(mesh, "/small") == 3


def test_the_budget_ends_a_storm_of_retries(mesh):
    traffic(mesh, retry={"attempts": 5, "codes": [503]}, retryBudget={"percent": 20, "minPerSecond": 1},
            outlierDetection={"disabled": True})
    end = mesh.http()
    with end.socket:
        for _ in range(200):
            assert end.ask("GET", "/storm", do(status=503)).status == 503
    assert 200 < tries(mesh, "/storm") < 200 * 1.2 + 30


def test_a_grpc_code_is_tried_again_where_a_policy_names_it(mesh):
    traffic(mesh, retry={"attempts": 2, "grpcCodes": ["UNAVAILABLE"]})
    end = mesh.h2(port=GRPC)
    with end.socket:
        status, _, stream = call(end, "/weir.test.Echo/Say", b"", do("v1", grpc=14))
        assert status == 0 and stream.get("x-pod") == "web-3"


def test_retries_show_in_the_metrics(mesh):
    traffic(mesh, balancer="RoundRobin")
    with mesh.rises("node-1", "weir_request_retries_total", by=2, destination_service="servers/web"):
        for number in range(9):
            mesh.ask("GET", f"/{number}", do("web-2", reset=True))


# --- Time-outs and breakers ------------------------------------------------------------------------------------------
def test_a_time_out_of_the_service_is_a_504_in_time(mesh):
    traffic(mesh, timeouts={"request": "300ms"})
    begun = time.monotonic()
    assert mesh.ask(fields=do(sleep=3)).status == 504
    assert time.monotonic() - begun < 1.5


def test_an_idle_time_out_of_the_service_ends_what_no_longer_moves_and_nothing_else(mesh):
    traffic(mesh, timeouts={"idle": "400ms"})
    begun = time.monotonic()
    assert mesh.ask(fields=do(sleep=3)).status == 504
    assert 0.3 < time.monotonic() - begun < 1.5
    mesh.entry("node-1", kind="request", reason="idle_timeout", status=504)


def test_an_idle_time_out_is_between_bytes_and_not_of_the_whole(mesh):
    mesh.apply("TrafficPolicy", "v2", targetRefs=[{"kind": "Service", "name": "web-v2"}], timeouts={"idle": "600ms"})
    with mesh.both_ends() as ends:
        server = ends.asked()
        server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        ends.client.head()
        for _ in range(8):  # longer than the time-out together
            time.sleep(0.2)
            server.send(b"1\r\nx\r\n")
            assert ends.client.take(6) == b"1\r\nx\r\n"
        begun = time.monotonic()
        with pytest.raises((Ended, ConnectionResetError)):
            ends.client.line()
        assert 0.3 < time.monotonic() - begun < 3
    mesh.entry("node-1", kind="request", reason="idle_timeout", status=200)


def test_an_open_stream_is_not_ended_for_being_idle(mesh):
    with mesh.both_ends() as ends:
        server = ends.asked()
        server.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        ends.client.head()
        time.sleep(15)
        server.send(b"2\r\nok\r\n0\r\n\r\n")
        assert ends.client.take(1 + 2 + 2) == b"2\r\nok"


def test_a_circuit_breaker_answers_at_once_what_is_beyond_it(mesh):
    traffic(mesh, circuitBreaker={"requests": 4}, retry={"disabled": True})
    statuses, lock = [], threading.Lock()

    def one():
        status = mesh.ask(fields=do(sleep=1)).status
        with lock:
            statuses.append(status)

    threads = [threading.Thread(target=one) for _ in range(12)]
    begun = time.monotonic()
    with mesh.rises("node-1", "weir_circuit_breaker_open_total", by=8, destination_service="servers/web", limit="requests"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counted = collections.Counter(statuses)
    assert counted == {200: 4, 503: 8} and time.monotonic() - begun < 4
    mesh.entry("node-1", kind="request", reason="circuit_open", status=503)
    assert mesh.ask().status == 200


# --- Slow and failing pods -------------------------------------------------------------------------------------------
# A port that no other test asks slow things of: what a balancer has learnt of pods stays with the port for a while.
@pytest.mark.parametrize("port", [UNSAID, UNSAID_H2])
def test_a_slow_pod_is_avoided_by_default(mesh, port):
    slow = do("web-2", sleep=0.2)
    counted = collections.Counter()
    for _ in range(200):
        if port == UNSAID_H2:
            counted[mesh.ask_h2(fields=slow, port=port).get("x-pod")] += 1
        else:
            counted[mesh.ask(fields=slow, port=port).json["pod"]] += 1
    assert counted["web-2"] < 20 < min(counted["web-1"], counted["web-3"]), counted


def test_a_pod_that_fails_in_a_row_is_ejected_and_comes_back(mesh):
    traffic(mesh, balancer="RoundRobin", outlierDetection={"consecutiveFailures": 3, "interval": "200ms",
                                                           "baseEjection": "2s"}, retry={"disabled": True})
    assert len(mesh.tally(9, by="pod")) == 3  # what went wrong in the tests before is forgiven
    failing = do("web-1", status=500)
    web = {"destination_service": "servers/web"}
    with mesh.rises("node-1", "weir_endpoint_ejections_total", cause="consecutive_failures", **web):
        statuses = [mesh.ask(fields=failing).status for _ in range(60)]
    assert 3 <= statuses.count(500) <= 6 and statuses[-30:] == [200] * 30
    assert mesh.total("node-1", "weir_endpoints_ejected", **web) >= 1
    out = json.loads(mesh.lab.weir("node-1").admin("proxy", "/status"))["ejected"]
    assert {(e["service"], e["endpoint"], e["cause"]) for e in out} == {
        ("servers/web", mesh.lab.addresses("servers/web-1")[0], "consecutive_failures")}
    eventually(lambda: "web-1" in mesh.tally(9, by="pod"), 10, 0.3)
    eventually(lambda: mesh.total("node-1", "weir_endpoints_ejected", **web) == 0, 10, 0.3)


def test_never_more_than_the_panic_share_is_ejected(mesh):
    traffic(mesh, outlierDetection={"consecutiveFailures": 2, "maxEjectedPercent": 50, "baseEjection": "30s"},
            balancer="RoundRobin", retry={"disabled": True})
    for _ in range(40):
        mesh.ask(fields=do(status=500))
    assert len(mesh.tally(30, by="pod")) >= 2


# --- Balancers -----------------------------------------------------------------------------------------------------
def test_requests_of_one_connection_are_balanced_each(mesh):
    traffic(mesh, balancer="RoundRobin")
    assert mesh.tally(30, by="pod") == {pod: 10 for pod in PODS}
    end = mesh.h2()
    with end.socket:
        counted = collections.Counter(end.answer(end.ask()).get("x-pod") for _ in range(30))
    assert counted == {pod: 10 for pod in PODS}


@pytest.mark.parametrize("balancer", ["RingHash", "Maglev"])
@pytest.mark.parametrize("key", ["header", "cookie", "query"])
def test_a_hash_keeps_a_key_with_its_pod(mesh, balancer, key):
    traffic(mesh, balancer=balancer, hash={key: "user"})

    def pod(user):
        fields = {"header": [("user", user)], "cookie": [("Cookie", f"a=b; user={user}")], "query": []}[key]
        return mesh.ask("GET", f"/?user={user}" if key == "query" else "/", fields).json["pod"]

    users = [f"user-{n}" for n in range(20)]
    first = {user: pod(user) for user in users}
    assert {user: pod(user) for user in users} == first and len(set(first.values())) == 3


@pytest.mark.parametrize("balancer", ["PeakEWMA", "LeastRequest", "Random"])
def test_every_balancer_uses_every_pod(mesh, balancer):
    traffic(mesh, balancer=balancer)
    seen = set()

    def everyone():
        seen.update(mesh.tally(60, by="pod"))
        assert seen == set(PODS)

    # A pod that was slow in an earlier test is left alone for a while by the balancer that looks at latency.
    eventually(everyone, 60 if balancer == "PeakEWMA" else 0)


# --- Coming and going ------------------------------------------------------------------------------------------------
def test_a_pod_that_leaves_while_requests_run_costs_none(mesh):
    failures, stopped = [], threading.Event()

    def load():
        end = mesh.http()
        with end.socket:
            while not stopped.is_set():
                try:
                    if (status := end.ask("GET", "/").status) != 200:
                        failures.append(status)
                except (Ended, OSError) as error:
                    failures.append(error)
                    return

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for ready in ("False", "True", "False", "True"):
            pod = mesh.lab.pod("web-2")
            pod["status"]["conditions"] = [{"type": "Ready", "status": ready}]
            mesh.lab.apply(pod)
            mesh.settle()
            time.sleep(0.3)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_draining_proxy_asks_its_clients_to_leave_and_loses_no_request(mesh):
    end = mesh.http(service=WEB_V2)
    with end.socket:
        assert end.ask().status == 200
        mesh.lab.weir("node-1").admin("proxy", "/drain", "POST")

        def asked_to_leave():
            answer = end.ask()
            assert answer.status == 200
            return (answer.get("Connection") or "").lower() == "close"
        eventually(asked_to_leave)
    weir = mesh.lab.weir("node-1")
    weir.stop("proxy")
    weir.start("proxy")
    weir.wait_ready("proxy")
