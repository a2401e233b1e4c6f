"""Uninstalling leaves pods and node exactly as they were: rules, routes, sysctls, BPF, listeners, files."""

import json
import signal
import subprocess

import pytest

import apps
from world import NODES, eventually

MESH_OPTIONS = {"weir": False}
SYSCTLS = ["net.ipv4.tcp_fwmark_accept", "net.ipv4.fwmark_reflect", "net.ipv4.tcp_migrate_req", "net.ipv6.fwmark_reflect",
           "net.ipv4.tcp_tw_reuse",
           "net.ipv4.ip_local_port_range", "net.ipv4.ip_nonlocal_bind", "net.ipv4.conf.all.rp_filter",
           "net.ipv4.conf.all.route_localnet", "net.ipv4.conf.all.src_valid_mark"]


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def traces(mesh):
    """Everything Weir touches, as text, by place."""
    found = {}
    for netns in [mesh.lab.place(p)[0] for p in ("alice", "bob", "echo-1", "echo-2", "echo-3", "stranger")] + [
            mesh.lab.node_netns(n) for n in NODES]:
        enter = ("nsenter", f"--net=/run/netns/{netns}")
        found[netns] = {
            "rules": output("ip", "-n", netns, "rule") + output("ip", "-6", "-n", netns, "rule"),
            "routes": output("ip", "-n", netns, "route", "show", "table", "all")
            + output("ip", "-6", "-n", netns, "route", "show", "table", "all"),
            "sysctls": output(*enter, "sysctl", *SYSCTLS),
            "listeners": sorted(line.split()[3] for line in output(*enter, "ss", "-Htln").splitlines()),
        }
    for what in ("prog", "map", "link"):
        found[what] = sorted(o["id"] for o in json.loads(output("bpftool", "-j", what)))
    found["mounts"] = [m for m in output("cat", "/proc/self/mounts").splitlines() if str(mesh.lab.directory) in m]
    return found


def difference(before, now):
    """What is there now that was not, and the other way round, for a person to read."""
    said = []
    for place in before:
        for key in before[place] if isinstance(before[place], dict) else [None]:
            one, two = (before[place][key], now[place][key]) if key else (before[place], now[place])
            if isinstance(one, list):
                if extra := sorted(set(map(str, two)) - set(map(str, one))):
                    said.append(f"{place} {key or ''}: more: {extra}")
            elif one != two:
                said.append(f"{place} {key}:\n{one}\n-> {two}")
    return "\n".join(said)


@pytest.mark.parametrize("crashed", [False, True])
def test_uninstalling_leaves_no_trace_whether_weir_was_stopped_or_crashed(mesh, crashed):
    before = traces(mesh)
    mesh.lab.start_weir()
    assert eventually(lambda: mesh.alice.reaches(mesh.echo_2.v4)) and mesh.outsider.reaches(mesh.echo_1.v4)
    assert difference(before, traces(mesh)), "the comparison would not see Weir if it were there"
    flow = mesh.stranger.connect(mesh.remote.v4, apps.ECHO)
    for role in ("proxy", "agent"):
        for node in NODES:
            mesh.lab.weir(node).stop(role, signal.SIGKILL if crashed else signal.SIGTERM)
    for node in NODES:
        code, said = mesh.lab.weir(node).uninstall()
        assert code == 0, said

    def clean():
        left = difference(before, traces(mesh))
        assert not left, left

    eventually(clean, 5)
    for node in NODES:
        bpf = mesh.lab.directory / node / "bpf"
        assert not bpf.exists() or not list(bpf.iterdir())
    assert not list((mesh.lab.directory / "shared").glob("captured/*"))
    # Pods speak plainly again, and who was never enrolled has noticed nothing.
    assert mesh.alice.who(mesh.echo_2.v4)["client"] == mesh.alice.v4
    assert mesh.outsider.fails(mesh.echo_2.v4, 7999) == "refused"
    flow.sendall(b"x")
    assert flow.recv(1) == b"x"
    flow.close()


def test_uninstalling_what_is_not_installed_is_no_error(mesh):
    before = traces(mesh)
    for node in NODES:
        code, said = mesh.lab.weir(node).uninstall()
        assert code == 0, said
    assert not difference(before, traces(mesh))
