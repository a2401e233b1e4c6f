"""Pods as a kubelet starts them: captured before they run, found by their cgroup when they run already, and never
started past a Weir that is away."""

import json
import signal
import subprocess
import time

import pytest

import apps
import network
from kubelet import KubePod, finish, install_primary
from world import NODES, Mesh, eventually

SECRET = b"nobody-may-read-this-on-the-wire"
TRY_AGAIN = 11


class CniMesh(Mesh):
    def up(self):
        super().up()
        for node in NODES:
            install_primary(self, node)
        return self


MESH = CniMesh
MESH_OPTIONS = {"cni": True, "drain_seconds": 2}


def stop_agent(mesh, node="node-1", number=signal.SIGKILL):
    mesh.lab.weir(node).stop("agent", number)


def start_agent(mesh, node="node-1", ready=True):
    mesh.lab.weir(node).start("agent")
    if ready:
        mesh.lab.weir(node).wait_ready("agent")


@pytest.fixture
def agent_back(mesh):
    """The agent of node-1 runs again after the test, whatever it did to it."""
    yield
    if not mesh.lab.weir("node-1").alive("agent"):
        mesh.lab.weir("node-1").reap("agent")
        start_agent(mesh)


def say_at_once(pod, address, port=apps.ECHO):
    """The first thing a container does: says SECRET to an echo server. What came back."""
    script = (f"import socket; s = socket.create_connection(({address!r}, {port}), 15); s.sendall({SECRET!r}); "
              f"s.shutdown(socket.SHUT_WR); print(s.makefile('rb').read().decode())")
    said = pod.popen(["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return said.communicate(timeout=30)[0].strip()


def found(mesh, how, node="node-1"):
    return mesh.lab.agent_metrics(node).total("weir_capture_found_total", found=how)


def test_the_first_packet_of_a_pod_is_captured_before_the_api_knows_its_address(mesh):
    with KubePod(mesh, "early") as pod, mesh.lab.sniff("node-1", ["tcp"]) as wire:
        pod.apply()
        pod.make_network()
        code, result = pod.add()
        assert code == 0 and [i["address"] for i in result["ips"]] == [f"{pod.v4}/24", f"{pod.v6}/64"]
        assert pod.captured() and pod.status()["found"] == "starting"
        assert say_at_once(pod, mesh.echo_2.v4) == SECRET.decode()
        entry = mesh.entry("node-2", destination_pod="servers/echo-2")
        assert entry["security"] == "mtls" and entry["source"]["principal"].endswith("/sa/early")
        pod.report()
        place = pod.start_app()
        assert eventually(lambda: mesh.alice.reaches(place.v4))
        assert pod.captured()
    assert not wire.holds(SECRET)


def test_a_pod_that_the_source_has_not_seen_yet_is_waited_for_and_then_sent_away(mesh):
    with KubePod(mesh, "late") as pod:
        pod.make_network()
        begun = time.monotonic()
        code, error = pod.add()
        assert (code, error["code"]) == (1, TRY_AGAIN) and 4 < time.monotonic() - begun < 10
        called = pod.plugin("ADD")
        time.sleep(1)
        assert called.poll() is None
        pod.apply()
        assert finish(called)[0] == 0 and pod.captured()


def test_an_object_of_the_same_name_but_another_uid_is_not_the_pod(mesh):
    with KubePod(mesh, "again", namespace="bare") as pod:
        pod.apply()
        pod.make_network()
        mesh.settle(["node-1"])
        code, error = finish(pod.plugin("ADD", uid="somebody-else"))
        assert (code, error["code"]) == (1, TRY_AGAIN)


def test_pods_that_are_not_enrolled_start_at_once_and_stay_as_they_are(mesh):
    for more in ({"namespace": "bare"}, {"labels": {"weir.dev/mesh": "disabled"}}):
        with KubePod(mesh, "plain", **more) as pod:
            pod.apply()
            pod.make_network()
            mesh.settle(["node-1"])
            begun = time.monotonic()
            assert pod.add()[0] == 0
            assert time.monotonic() - begun < 1 and pod.status() is None


def test_without_an_agent_only_pods_of_enrolled_namespaces_are_held_back(mesh, agent_back):
    stop_agent(mesh)
    for namespace, code in (("clients", 1), ("bare", 0), ("kube-system", 0), ("weir-system", 0)):
        with KubePod(mesh, "orphan", namespace=namespace) as pod:
            pod.make_network()
            got, result = pod.add()
            assert got == code, f"{namespace}: {result}"
            if code:
                assert result["code"] == TRY_AGAIN and "namespace clients is enrolled" in result["msg"]


def test_a_list_that_is_damaged_holds_back_all_but_the_systems_own(mesh, agent_back):
    stop_agent(mesh)
    listed = mesh.lab.directory / "node-1" / "state" / "enrolled-namespaces"
    assert "- clients\n" in listed.read_text()
    listed.write_text("weir enrolled-namespaces 1\n- cli")
    for namespace, code in (("bare", 1), ("kube-system", 0)):
        with KubePod(mesh, "orphan", namespace=namespace) as pod:
            pod.make_network()
            assert pod.add()[0] == code
    start_agent(mesh)
    eventually(lambda: "- clients\n" in listed.read_text())


def test_an_agent_killed_over_the_question_leaves_it_to_its_successor(mesh, agent_back):
    with KubePod(mesh, "between") as pod:
        pod.make_network()
        called = pod.plugin("ADD")
        time.sleep(0.5)
        stop_agent(mesh)
        assert called.poll() is None
        start_agent(mesh, ready=False)
        pod.apply()
        assert finish(called)[0] == 0 and pod.captured()
    mesh.settle()  # and its proxy has found it


def test_an_agent_killed_after_its_answer_is_followed_by_one_that_finds_the_pod_whole(mesh, agent_back):
    with KubePod(mesh, "adopted") as pod:
        pod.apply()
        pod.make_network()
        assert pod.add()[0] == 0
        stop_agent(mesh)
        assert say_at_once(pod, mesh.echo_2.v4) == SECRET.decode()
        pod.report()
        place = pod.start_app()
        start_agent(mesh)
        assert pod.captured() and pod.status()["found"] == "whole"
        assert place.who(mesh.echo_2.v4)["pod"] == "echo-2"


@pytest.mark.parametrize("form", ["{kubepods}/burstable/pod{uid}", "{kubepods}/besteffort/pod{uid}", "{kubepods}/pod{uid}"])
def test_a_running_pod_is_found_by_its_cgroup_and_captured_when_labelled(mesh, form):
    with KubePod(mesh, "running", namespace="bare", cgroup=form) as pod:
        pod.make_network()
        place = pod.start_app()
        pod.report()
        mesh.settle(["node-1"])
        assert pod.status() is None
        pod.labels = {"weir.dev/mesh": "enabled"}
        pod.report()
        eventually(pod.captured)
        assert pod.status()["found"] == "running" and pod.status()["netns_path"].startswith("/proc/")
        place.echo(mesh.echo_2.v4, text=SECRET)
        mesh.entry("node-2", destination_pod="servers/echo-2", source_principal="spiffe://cluster.local/ns/bare/sa/running")


def test_a_static_pod_is_found_by_the_uid_that_its_kubelet_gave_it(mesh):
    with KubePod(mesh, "static") as pod:
        pod.make_network()
        pod.start_app()
        of_kubelet, pod.uid = pod.uid, "mirror-of-it"
        pod.annotations = {"kubernetes.io/config.mirror": of_kubelet}
        pod.report()
        eventually(pod.captured)
        pod.cgroup_form = pod.cgroup_form.replace("{uid}", of_kubelet)


def test_a_pod_whose_namespace_does_not_own_its_address_is_not_captured_and_the_status_says_why(mesh):
    with KubePod(mesh, "elsewhere") as pod:
        pod.make_network()
        pod.start_app()
        network.ip(pod.netns, f"addr del {pod.v4}/24 dev eth0")
        pod.report()
        eventually(lambda: "does not own its address" in (pod.status() or {"error": ""})["error"])
        assert not pod.captured() and not pod.status()["refused"]


def test_a_process_of_the_pod_in_the_nodes_own_namespace_does_not_make_that_the_pods(mesh):
    with KubePod(mesh, "escaped") as pod:
        pod.make_network()
        mesh.lab.popen("node:node-1", ["/bin/sh", "-c", f'echo 0 > {pod.cgroup().create().path}/cgroup.procs; exec sleep 60'])
        pod.report()
        eventually(lambda: "node's own network namespace" in (pod.status() or {"error": ""})["error"])
        pod.start_app()  # beside it: the namespace that owns the address is taken, though its process is younger
        eventually(pod.captured)


def test_sandboxed_runtimes_are_refused_for_good_and_the_status_says_so(mesh):
    with KubePod(mesh, "boxed", runtimeClassName="gvisor") as pod:
        pod.apply()
        pod.make_network()
        code, error = pod.add()
        assert (code, error["code"]) == (1, 100) and "runtime class gvisor" in error["msg"]
        assert pod.status()["refused"] and "gvisor" in pod.status()["error"]


def test_a_sandbox_that_is_made_anew_is_captured_anew_under_the_same_uid(mesh):
    with KubePod(mesh, "phoenix") as pod:
        pod.apply()
        pod.make_network()
        assert pod.add()[0] == 0
        pod.start_app()
        pod.report()
        eventually(lambda: mesh.alice.reaches(pod.v4))
        pod.end_sandbox()
        pod.make_network()
        assert pod.add()[0] == 0 and pod.captured()
        assert pod.status()["netns_path"].endswith(pod.netns)
        with mesh.lab.sniff("node-1", ["tcp"]) as wire:
            assert say_at_once(pod, mesh.echo_2.v4) == SECRET.decode()
        assert not wire.holds(SECRET)


@pytest.mark.parametrize("mode,outcome", [("Strict", "ended"), ("Permissive", "left")])
def test_a_pod_that_began_without_an_agent_is_captured_by_the_next_and_its_older_connections_settled(
        mesh, agent_back, mode, outcome):
    if mode == "Strict":
        mesh.apply("PeerAuthentication", "strict", namespace="clients", mode="Strict")
    stop_agent(mesh)
    with KubePod(mesh, "unseen") as pod:
        pod.make_network()
        place = pod.start_app()
        pod.report()
        older = place.connect(mesh.remote.v4, apps.ECHO)
        older.sendall(b"x")
        assert older.recv(1) == b"x"
        start_agent(mesh)
        status = pod.status()
        assert status["found"] == "uncaptured" and pod.captured()
        assert status[f"older_connections_{outcome}"] == 1
        assert found(mesh, "uncaptured") == 1
        assert mesh.lab.agent_metrics("node-1").total("weir_capture_older_connections_total", then=outcome) == 1
        assert "was found uncaptured" in mesh.lab.weir("node-1").log_tail("agent", 400)
        if mode == "Strict":
            with pytest.raises((ConnectionResetError, ConnectionAbortedError)):
                older.recv(1)
        else:
            older.sendall(b"y")
            assert older.recv(1) == b"y"
        older.close()


def test_capture_that_was_damaged_without_an_agent_is_mended_by_the_next_and_said(mesh, agent_back):
    stop_agent(mesh)
    netns = mesh.lab.place("alice")[0]
    network.ip(netns, "rule del priority 77")
    start_agent(mesh)
    alice = next(p for p in json.loads(mesh.lab.weir("node-1").admin("agent", "/status"))["pods"]
                 if p["name"] == "clients/alice")
    assert alice["found"] == "broken" and alice["state"] == "captured"
    assert found(mesh, "broken") == 1 and found(mesh, "whole") >= 2
    assert "priority 77" in subprocess.run(["ip", "-n", netns, "rule"], capture_output=True, text=True).stdout \
        or "77:" in subprocess.run(["ip", "-n", netns, "rule"], capture_output=True, text=True).stdout
    mesh.alice.echo(mesh.echo_2.v4)


def test_after_a_reboot_every_enrolled_pod_is_captured_again(mesh, agent_back):
    with KubePod(mesh, "survivor") as pod:
        pod.apply()
        pod.make_network()
        assert pod.add()[0] == 0
        pod.report()
        for role in ("proxy", "agent"):
            mesh.lab.weir("node-1").stop(role, signal.SIGKILL)
        # What a reboot leaves: the files, which name another boot; no pins, no namespaces.
        node = mesh.lab.directory / "node-1"
        for record in (node / "state" / "redirect").glob("*.json"):
            record.write_text(json.dumps(json.loads(record.read_text()) | {"boot": "an-earlier-one"}))
        subprocess.run(["umount", node / "bpf"], check=True)
        pod.end_sandbox()
        with KubePod(mesh, "other", namespace="bare") as unenrolled:
            unenrolled.make_network()
            assert unenrolled.add()[0] == 0
        pod.make_network()
        code, error = pod.add()  # before Weir is back
        assert (code, error["code"]) == (1, TRY_AGAIN)
        for role in ("agent", "proxy"):
            mesh.lab.weir("node-1").start(role)
        assert pod.add()[0] == 0
        mesh.lab.wait_ready()
        assert pod.captured() and say_at_once(pod, mesh.echo_2.v4) == SECRET.decode()
        assert found(mesh, "uncaptured") >= 3  # alice, bob and echo-1 run in the namespaces they had
        assert mesh.alice.who(mesh.echo_2.v4)["pod"] == "echo-2"


def test_the_configuration_is_repaired_followed_and_removed_with_weir(mesh, agent_back):
    directory = mesh.lab.directory / "node-1"
    ours, primary = directory / "cni-conf" / "00-weir.conflist", directory / "cni-conf" / "10-podnet.conflist"

    def chain():
        return [p["type"] for p in json.loads(ours.read_text())["plugins"]]

    assert chain() == ["bridge", "weir-cni"]
    ours.unlink()
    eventually(ours.exists, 5)
    eventually(lambda: mesh.lab.agent_metrics("node-1").total("weir_agent_cni_repairs") == 1)
    text = primary.read_text()
    primary.write_text(json.dumps({"cniVersion": "0.4.0", "name": "podnet", "type": "ptp"}))
    eventually(lambda: chain() == ["ptp", "weir-cni"], 5)
    primary.unlink()
    eventually(lambda: not ours.exists(), 5)
    primary.write_text(text)
    eventually(lambda: chain() == ["bridge", "weir-cni"], 5)
    for role in ("proxy", "agent"):
        mesh.lab.weir("node-1").stop(role)
    assert ours.exists() and (directory / "cni-bin" / "weir-cni").exists()
    code, said = mesh.lab.weir("node-1").uninstall()
    assert code == 0, said
    assert sorted(p.name for p in (directory / "cni-conf").iterdir()) == ["10-podnet.conflist"]
    assert not list((directory / "cni-bin").iterdir())
    assert not (directory / "state" / "enrolled-namespaces").exists()
    for role in ("agent", "proxy"):
        mesh.lab.weir("node-1").start(role)
    mesh.lab.wait_ready()
