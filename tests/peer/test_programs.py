"""Servers and clients that nobody here wrote, through a mesh of two nodes: the demo's applications under load.

Each test runs an ordinary client in the pod shop/frontend of node-1 against a server on node-2, lets that program judge
what it got, and then reads in the access log of node-1 that all of it went through the mesh, with mTLS to the other node.
"""

import hashlib
import json
import pathlib
import re
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lab"))

from lab import REPOSITORY, Lab  # noqa: E402

CLIENT = "shop/frontend"
WEB, WEB_V6, REDIS, MARIADB, IPERF3 = "10.96.0.10", "fd00:10:96::10", "10.96.0.20", "10.96.0.30", "10.96.0.40"
SQL = ["mariadb", "-h", MARIADB, "-ushop", "-pshop"]


def until(check, timeout):
    deadline = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def lab():
    mesh = Lab("peer")
    try:
        mesh.up(REPOSITORY / "tests" / "lab" / "demo")
        until(lambda: mesh.exec("mariadb", ["mariadb", "-h", "127.0.0.1", "-ushop", "-pshop", "-e", "SELECT 1"]
                                ).returncode == 0, 60)
        yield mesh
    finally:
        mesh.down()


@pytest.fixture
def client(lab):
    """Runs a command in the client pod, which must succeed, and returns what it wrote."""
    def run(*argv, timeout=60):
        done = lab.exec(CLIENT, list(argv), timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr
    return run


@pytest.fixture
def meshed(lab):
    """Waits until so many requests or connections to a service, some of them to node-2, have left a line in the log."""
    offset = lab.access_log_size("node-1")

    def entries(service):
        return [e for e in lab.access_log("node-1", offset) if e["service"] == service]

    def check(service, least=1, reasons=frozenset()):
        until(lambda: len(entries(service)) >= least, 10)
        found = entries(service)
        assert "mtls" in {e["security"] for e in found}
        assert {e["reason"] for e in found} <= {"none", ""} | reasons
    return check


@pytest.mark.parametrize("url", [f"http://{WEB}/", f"http://[{WEB_V6}]/"], ids=["ipv4", "ipv6"])
def test_wrk_finds_no_error_in_what_nginx_answers(client, meshed, url):
    told = client("wrk", "-t1", "-c32", "-d3s", url)
    assert "Socket errors" not in told and "Non-2xx" not in told, told
    assert int(re.search(r"(\d+) requests in", told)[1]) > 100, told
    # At the end of its time wrk closes with answers still on their way: a reset or a FIN, with or without a mesh.
    meshed("shop/web", 32, reasons={"client_reset", "client_closed"})


def test_curl_opens_and_closes_two_hundred_connections_to_nginx(client, meshed):
    told = client("sh", "-c", f"for i in $(seq 200); do curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' http://{WEB}/; done")
    assert told.split() == ["200"] * 200
    meshed("shop/web", 200)


def test_redis_benchmark_pipelines_over_fifty_connections(client, meshed):
    told = client("redis-benchmark", "-h", REDIS, "-n", "20000", "-c", "50", "-P", "8", "-t", "ping,set,get,lrange_100",
                  "--csv")
    rates = [float(line.split(",")[1].strip('"')) for line in told.splitlines() if line.count(",") > 2 and "rps" not in line]
    assert len(rates) >= 4 and all(rate > 0 for rate in rates), told
    meshed("shop/redis", 50)


def test_redis_keeps_a_value_of_many_megabytes_whole(client, meshed):
    value = "weir" * 4_000_000
    client("sh", "-c", f"python3 -c \"print('weir' * 4000000, end='')\" | redis-cli -h {REDIS} -x SET large", timeout=60)
    told = client("sh", "-c", f"redis-cli -h {REDIS} --raw GET large | head -c {len(value)} | sha256sum")
    assert told.split()[0] == hashlib.sha256(value.encode()).hexdigest()
    meshed("shop/redis", 2)


def test_mariadb_slap_reconnects_between_queries(client, meshed):
    client("mariadb-slap", *SQL[1:], "--auto-generate-sql", "--concurrency=8", "--number-of-queries=400", "--detach=10")
    meshed("shop/mariadb", 16)


def test_mariadb_sends_a_result_of_many_megabytes_whole(client, meshed):
    told = client("sh", "-c", " ".join(SQL) + " -N --raw -e \"SELECT REPEAT('weir', 2000000)\" | sha256sum")
    assert told.split()[0] == hashlib.sha256(b"weir" * 2_000_000 + b"\n").hexdigest()
    meshed("shop/mariadb")


@pytest.mark.parametrize("direction", [["-P", "8"], ["-P", "8", "-R"], ["--bidir"]], ids=["up", "down", "both_ways"])
def test_iperf3_moves_bulk_in_many_streams(client, meshed, direction):
    result = json.loads(client("iperf3", "-c", IPERF3, "-t", "2", "-J", *direction))
    assert "error" not in result
    assert result["end"]["sum_received"]["bytes"] > 10_000_000
    # iperf3 closes while there is still data to read, which resets, with or without a mesh.
    meshed("shop/iperf3", 2, reasons={"server_reset", "client_reset"})


def test_the_applications_own_tls_passes_inside_the_mesh(lab, client, meshed):
    directory = lab.directory / "tls"
    directory.mkdir()
    lab.exec("web-2", ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=web-2",
                       "-addext", "subjectAltName=DNS:web-2", "-keyout", str(directory / "key.pem"),
                       "-out", str(directory / "cert.pem")]).check_returncode()
    server = lab.popen("web-2", ["openssl", "s_server", "-quiet", "-www", "-accept", "8443", "-key", str(directory / "key.pem"),
                                 "-cert", str(directory / "cert.pem")])
    try:
        until(lambda: ":8443" in lab.exec("web-2", ["ss", "-Hltn"]).stdout, 10)
        told = client("curl", "-sS", "-m", "10", "--cacert", str(directory / "cert.pem"), "--connect-to",
                      f"web-2:8443:{lab.addresses('web-2')[0]}:8443", "https://web-2:8443/")
        assert "Ciphers supported" in told
        meshed("")  # the pod itself was dialled, no service
    finally:
        server.kill()
        server.wait()
