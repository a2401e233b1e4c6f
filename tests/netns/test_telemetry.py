"""What Weir tells about itself: metrics, the access log, the admin sockets, weirctl."""

import json
import os
import stat

import apps
from observe import Metrics
from world import NODES, SERVICE, eventually, read_exactly


def scrape(mesh, node, port):
    """/metrics as Prometheus gets it: over TCP, from the node."""
    done = mesh.lab.exec(f"node:{node}", ["curl", "-sf", f"http://127.0.0.1:{port}/metrics"])
    assert done.returncode == 0, done
    return Metrics(done.stdout)


def test_a_connection_is_counted_once_at_each_end_with_its_bytes(mesh):
    before = {node: scrape(mesh, node, 15020) for node in NODES}
    for _ in range(3):
        mesh.alice.echo(mesh.echo_2.v4, text=b"z" * 1000)
    mesh.entry("node-2", reporter="destination", bytes_sent=1000)

    def counted():
        after = {node: scrape(mesh, node, 15020) for node in NODES}
        for node, reporter in (("node-1", "source"), ("node-2", "destination")):
            def rise(name):
                return after[node].total(name, reporter=reporter) - before[node].total(name, reporter=reporter)
            assert rise("weir_tcp_connections_opened_total") == 3
            assert rise("weir_tcp_connections_closed_total") == 3
            assert rise("weir_tcp_sent_bytes_total") == 3000
            assert rise("weir_tcp_received_bytes_total") == 3000
        return after

    after = eventually(counted)
    labels, _ = after["node-1"].find("weir_tcp_connections_opened_total", reporter="source", destination_workload="echo")[0]
    assert labels["source_workload"] == "alice" and labels["destination_namespace"] == "servers"


def test_a_failure_is_counted_by_its_reason_and_names_no_pod(mesh):
    with mesh.rises("node-1", "weir_tcp_connections_failed_total", reporter="source", reason="refused"):
        mesh.alice.fails(mesh.echo_2.v4, 7999)
    text = scrape(mesh, "node-1", 15020).text
    assert "echo-2" not in text and mesh.echo_2.v4 not in text, "labels are owners, never pods or addresses"


def test_a_long_connections_bytes_show_before_it_ends(mesh):
    with mesh.alice.connect(mesh.echo_2.v4, apps.ECHO) as connection:
        with mesh.rises("node-1", "weir_tcp_sent_bytes_total", 100_000, reporter="source"):
            connection.sendall(b"z" * 100_000)
            read_exactly(connection, 100_000)


def test_metrics_tell_of_the_proxy_itself(mesh):
    mesh.alice.echo(mesh.echo_2.v4)
    source, destination = (scrape(mesh, node, 15020) for node in NODES)
    assert source.total("weir_build_info", driver=os.environ.get("WEIR_IO") or "io_uring") == 1
    assert source.total("weir_tls_handshakes_total") >= 1 and destination.total("weir_tls_handshakes_total") >= 1
    assert source.total("weir_lanes_opened_total") >= 1 and source.total("weir_sessions_opened_total") >= 1
    assert source.find("weir_certificate_not_after_seconds")
    assert source.total("weir_config_version") >= 1
    assert scrape(mesh, "node-1", 15021).find("weir_build_info")


def test_gauges_tell_live_flows_from_the_lanes_that_carry_them_at_each_end(mesh):
    def now():
        return {node: {"flows": scrape(mesh, node, 15020).total("weir_flows")} | {
            (name, role): scrape(mesh, node, 15020).total(f"weir_{name}", role=role)
            for name in ("lanes", "sessions") for role in ("dialler", "acceptor")} for node in NODES}

    mesh.alice.echo(mesh.echo_2.v4)  # The lane is there from now on, and without sessions.

    def idle():
        gauges = now()
        assert [gauges[n]["flows"] for n in NODES] == [0, 0], gauges
        assert gauges["node-1"]["sessions", "dialler"] == gauges["node-2"]["sessions", "acceptor"] == 0, gauges
        assert gauges["node-1"]["lanes", "dialler"] == gauges["node-2"]["lanes", "acceptor"] > 0, gauges
        return gauges

    before = eventually(idle)
    held = [mesh.alice.connect(mesh.echo_2.v4, apps.ECHO) for _ in range(3)]
    for connection in held:
        connection.sendall(b"x")
        read_exactly(connection, 1)
    live = now()
    assert [live[n]["flows"] for n in NODES] == [3, 3], live
    assert live["node-1"]["sessions", "dialler"] == live["node-2"]["sessions", "acceptor"] == 3, live
    assert live["node-1"]["sessions", "acceptor"] == live["node-2"]["sessions", "dialler"] == 0, live
    for role, node in (("dialler", "node-1"), ("acceptor", "node-2")):
        assert live[node]["lanes", role] == before[node]["lanes", role], live
    for connection in held:
        connection.close()
    eventually(idle)


def test_the_access_log_has_one_entry_per_reporter_with_who_what_and_how(mesh):
    with mesh.alice.connect(SERVICE["v4"], apps.ECHO) as connection:
        port = connection.getsockname()[1]
        connection.sendall(b"12345")
        read_exactly(connection, 5)
    source = mesh.entry("node-1", reporter="source", source_address=f"{mesh.alice.v4}:{port}")
    assert source["dialled"] == f"{SERVICE['v4']}:{apps.ECHO}" and source["service"] == "servers/echo"
    assert (source["direction"], source["verdict"], source["reason"]) == ("outbound", "opened", "none")
    assert (source["bytes_sent"], source["bytes_received"]) == (5, 5) and source["duration_ms"] > 0
    assert source["source"] | {"address": ""} == {
        "address": "", "pod": "clients/alice", "namespace": "clients", "workload": "alice",
        "principal": "spiffe://cluster.local/ns/clients/sa/alice"}
    assert source["destination"]["namespace"] == "servers" and source["destination"]["workload"] == "echo"
    entries = [e for n in NODES for e in mesh.entries(n)]
    assert [e["reporter"] for e in entries].count("source") == 1
    assert [e["reporter"] for e in entries].count("destination") == 1


def test_a_proxy_told_to_keep_no_access_log_serves_and_counts_all_the_same(mesh):
    weir = mesh.lab.weir("node-2")

    def restart_with_log(on):
        mesh.lab.options["access_log"] = on
        weir.stop("proxy")
        weir.start("proxy")
        weir.wait_ready("proxy")
        assert eventually(lambda: mesh.alice.reaches(mesh.echo_2.v4))

    restart_with_log(False)
    try:
        size = mesh.lab.access_log_size("node-2")
        with mesh.rises("node-2", "weir_tcp_connections_closed_total", reporter="destination"):
            mesh.alice.echo(mesh.echo_2.v4)
        assert mesh.lab.access_log_size("node-2") == size
        assert not (weir.directory / "off").exists()
    finally:
        restart_with_log(True)


def test_admin_sockets_are_local_and_for_root_alone(mesh):
    for node in NODES:
        for role in ("agent", "proxy"):
            path = mesh.lab.weir(node).admin_socket(role)
            assert stat.S_ISSOCK(path.stat().st_mode) and not path.stat().st_mode & 0o077, oct(path.stat().st_mode)


def test_the_configuration_can_be_read_and_has_no_secret_in_it(mesh):
    for node in NODES:
        dump = mesh.lab.weir(node).admin("proxy", "/config")
        json.loads(dump)
        assert "servers/echo-2" in dump and "10.96.0.1" in dump
        for secret in ("PRIVATE", "privateKey", "private_key", "key\":"):
            assert secret not in dump


def test_live_flows_are_listed_while_they_live(mesh):
    def flows():
        return mesh.lab.weir("node-1").admin("proxy", "/flows")

    with mesh.alice.connect(mesh.echo_2.v4, apps.ECHO) as connection:
        connection.sendall(b"x")
        read_exactly(connection, 1)
        port = str(connection.getsockname()[1])
        assert eventually(lambda: port in flows())
    assert eventually(lambda: port not in flows())


def test_a_health_check_and_a_readiness_check_answer_over_tcp(mesh):
    for target in ("healthz", "readyz"):
        url = f"http://127.0.0.1:15020/{target}"
        done = mesh.lab.exec("node:node-1", ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url])
        assert done.stdout == "200"


def test_weirctl_status_shows_pods_identities_and_modes(mesh):
    done = mesh.lab.weir("node-1").weirctl("status")
    assert done.returncode == 0, done.stdout
    for word in ("clients/alice", "servers/echo-1", "spiffe://cluster.local/ns/clients/sa/alice", "ermissive"):
        assert word in done.stdout, done.stdout
    assert "bare/stranger" not in done.stdout
    as_json = mesh.lab.weir("node-1").weirctl("status", "-o", "json")
    json.loads(as_json.stdout)


def test_weirctl_check_tests_capture_and_says_where_it_is_broken(mesh):
    weir = mesh.lab.weir("node-1")
    done = weir.weirctl("check")
    assert done.returncode == 0 and "clients/alice" in done.stdout, done.stdout
    netns = mesh.lab.place("alice")[0]
    setting = ["nsenter", f"--net=/run/netns/{netns}", "sysctl", "-qw"]
    broken = False
    for _ in range(20):  # The agent mends what is broken, so the check must be quick.
        mesh.lab.exec("node:node-1", [*setting, "net.ipv4.tcp_fwmark_accept=0"])
        mesh.lab.exec("node:node-1", ["ip", "-n", netns, "rule", "del", "priority", "77"])
        said = weir.weirctl("check")
        broken = broken or (said.returncode != 0 and "clients/alice" in said.stdout)
        if broken:
            break
    mended = eventually(lambda: weir.weirctl("check").returncode == 0)
    assert mended
    assert broken or "mended" in weir.log_tail("agent", 200), "neither the check nor the agent saw a missing rule"
