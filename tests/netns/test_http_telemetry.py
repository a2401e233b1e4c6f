"""What every request leaves behind: metrics by class and route, a log line for each end, tap, graph, trace headers."""

import itertools
import json
import re
import threading
import time

import pytest

from h2_ends import GRPC_FIELDS
from http_ends import Ended
from http_world import GRPC, HttpMesh, backends, do, prefix, weir_only

MESH = HttpMesh
pytestmark = weir_only
SOURCE = {"reporter": "source", "source_workload": "alice", "destination_namespace": "servers"}
TRACE = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "a=1,b=2"),
         ("X-B3-TraceId", "80f198ee56343ba864fe8b2a57d3eff7"), ("X-B3-SpanId", "e457b5a2e4d86bd1"), ("X-B3-Sampled", "1")]


@pytest.mark.parametrize("status,response", [(200, "2xx"), (302, "3xx"), (404, "4xx"), (503, "5xx")])
def test_a_request_is_counted_once_by_each_reporter_with_its_class(mesh, status, response):
    with mesh.rises("node-1", "weir_requests_total", by=3, response_class=response, **SOURCE):
        for _ in range(3):
            assert mesh.ask(fields=do(status=status)).status == status


def test_a_request_is_counted_by_its_route(mesh):
    mesh.route("api", {"name": "v2-only", "matches": [prefix("/api")], "backendRefs": backends(web_v2=1)},
               {"backendRefs": backends(web_v1=1)})
    with mesh.rises("node-1", "weir_requests_total", by=2, route="servers/api/v2-only", destination_workload="web-v2"):
        mesh.ask(target="/api/1")
        mesh.ask(target="/api/2")
    assert mesh.entry("node-1", kind="request", path="/api/2")["route"] == "servers/api/v2-only"


def test_a_duration_is_observed_in_a_histogram(mesh):
    with mesh.rises("node-1", "weir_request_duration_seconds_count", by=1, **SOURCE):
        mesh.ask(fields=do(sleep=0.3))
    sums = mesh.total("node-1", "weir_request_duration_seconds_sum", **SOURCE)
    assert sums >= 0.3
    text = mesh.lab.metrics("node-1").text
    assert re.search(r'weir_request_duration_seconds_bucket\{[^}]*le="\+Inf"', text)


def test_a_grpc_call_is_counted_by_its_status(mesh):
    with mesh.rises("node-1", "weir_requests_total", protocol="grpc", grpc_code="5"):
        end = mesh.h2(port=GRPC)
        with end.socket:
            end.answer(end.ask("POST", "/weir.test.Echo/Say", GRPC_FIELDS + do(grpc=5)))


def test_open_connections_to_endpoints_are_counted_by_what_they_speak(mesh):
    mesh.ask()
    mesh.ask_h2(port=GRPC)
    assert mesh.total("node-1", "weir_upstream_connections", kind="lane") >= 1
    assert mesh.total("node-1", "weir_upstream_connections", kind="http/1.1") >= 1
    assert mesh.total("node-1", "weir_upstream_connections", kind="http/2") >= 1


def test_labels_are_bounded_and_never_a_clients_bytes(mesh):
    for number in range(50):
        mesh.ask("GET", f"/secret-{number}", [("User-Agent", f"agent-{number}")], host=f"host-{number}.example")
    text = mesh.lab.metrics("node-1").text
    assert not re.search(r"secret-\d|agent-\d|host-\d", text)


def test_the_log_has_a_line_for_each_request_with_who_what_and_how(mesh):
    answer = mesh.ask("POST", "/orders?id=7", [("User-Agent", 'odd "agent"\\')] + do(bytes=1000), b"x" * 500)
    assert answer.status == 200
    entry = mesh.entry("node-1", kind="request", reporter="source")
    assert (entry["method"], entry["status"], entry["protocol"]) == ("POST", 200, "http/1.1")
    assert entry["path"].startswith("/orders") and entry["host"] == "web.servers" and entry["attempts"] == 1
    assert entry["source"]["pod"] == "clients/alice" and entry["service"] == "servers/web" and entry["reason"] == "none"
    assert (entry["bytes_sent"], entry["bytes_received"]) == (500, 1000) and entry["duration_ms"] > 0


def test_a_request_whose_client_went_away_leaves_a_line_too(mesh):
    end = mesh.http()
    end.send_request(fields=do(sleep=2))
    time.sleep(0.2)
    end.socket.close()
    entry = mesh.entry("node-1", kind="request", reporter="source")
    assert entry["reason"] in ("client_closed", "client_reset") and not entry.get("status")


def test_a_request_whose_server_died_leaves_a_line_too(mesh):
    with mesh.both_ends() as ends:
        ends.client.send_request("POST", "/dies", [("Content-Length", "1000000")])
        server = ends.accept()
        server.request(with_body=False)
        server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        server.socket.close()
        with pytest.raises((Ended, ConnectionError)):
            ends.client.answer()
    assert mesh.entry("node-1", kind="request", path="/dies")["reason"] != "none"


def test_trace_headers_pass_unharmed(mesh):
    seen = mesh.ask(fields=TRACE).json["headers"]
    names = {name.lower(): value for name, value in seen}
    assert all(names[name.lower()] == value for name, value in TRACE)


def test_tap_shows_requests_as_they_end_and_filters_them(mesh):
    weir = mesh.lab.weir("node-1")
    command = [weir.program("weirctl"), "--run-dir", weir.directory, "tap", "-o", "json", "--workload", "clients/alice",
               "--status", "5xx"]
    tap = mesh.lab.popen("node:node-1", command, stdout=-1, text=True)
    try:
        time.sleep(0.5)
        mesh.ask(target="/fine")
        mesh.ask(target="/bobs", fields=do(status=503), client="bob")
        mesh.ask(target="/broken", fields=do(status=503))
        told = json.loads(tap.stdout.readline())
        assert (told["path"], told["status"]) == ("/broken", 503)
    finally:
        tap.kill()
        tap.wait()
        tap.stdout.close()


def test_graph_prints_who_calls_whom_with_rate_success_and_latency(mesh):
    stopped = threading.Event()

    def load():
        for number in itertools.count():
            mesh.ask(fields=do(status=500 if number % 4 == 0 else 200))
            if stopped.wait(0.02):
                return

    thread = threading.Thread(target=load)
    thread.start()
    try:
        done = mesh.lab.weir("node-1").weirctl("graph", "--interval", "1s")
    finally:
        stopped.set()
        thread.join()
    assert done.returncode == 0, done.stdout
    line = next(line for line in done.stdout.splitlines() if "alice" in line and "web" in line)
    assert "%" in line and "ms" in line, line
