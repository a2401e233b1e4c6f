"""The lab itself: its network without Weir, its commands, and that nothing of it outlives `down`, or a crash."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

import apps
from lab import RUN, Lab
from processes import cgroup_root
from world import WORLD, Mesh, eventually

LAB = pathlib.Path(__file__).resolve().parents[1] / "lab" / "lab.py"
NAME = "labtest"


def lab(*arguments):
    """A CompletedProcess of `./dev lab …`."""
    return subprocess.run([sys.executable, LAB, "--name", NAME, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def traces():
    """What there is of the lab on this machine."""
    names = [p.name for p in pathlib.Path("/run/netns").glob(f"wl-{NAME}-*")]
    mounts = [line for line in pathlib.Path("/proc/mounts").read_text().splitlines() if f"weir-lab/{NAME}" in line]
    paths = [str(p) for p in (RUN / NAME, cgroup_root() / "weir-lab" / NAME) if p.exists()]
    return names + mounts + paths


def runs(pid):
    """Whether it is there and no mere zombie (a machine's first process may be slow to bury them)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    Lab(NAME).down()
    assert not traces()


def test_without_weir_everybody_reaches_everybody_on_both_families():
    mesh = Mesh(weir=False)
    try:
        mesh.up()
        everybody = [*mesh.pods.values(), mesh.outsider]
        for client in everybody:
            for server in everybody:
                for family in ("v4", "v6"):
                    answer = client.who(server.address(family))
                    assert answer["pod"] == server.name
                    if client is not server and client.name != "hostly":  # A node speaks with the address of its bridge.
                        assert answer["client"] == client.address(family)
    finally:
        mesh.down()


def test_commands_find_the_lab_that_an_earlier_command_has_made():
    assert lab("up", WORLD, "--no-weir").returncode == 0
    said = lab("status")
    assert said.returncode == 0 and "clients/alice" in said.stdout and "10.96.0.1" in said.stdout
    assert "10.244.1." in lab("exec", "clients/alice", "ip", "-4", "-o", "addr", "show", "eth0").stdout
    assert "cni0" in lab("node", "node-1", "ip", "link").stdout
    assert lab("exec", "alice", "sh", "-c", "exit 7").returncode == 7
    unknown = lab("exec", "nobody", "true")
    assert unknown.returncode == 1 and "nobody" in unknown.stderr
    assert lab("down").returncode == 0 and not traces()
    assert "no lab" in lab("status").stderr


@pytest.mark.parametrize("after", [0.05, 0.3, 0.6])
def test_a_lab_whose_making_was_killed_can_be_removed_and_made_again(after):
    making = subprocess.Popen([sys.executable, LAB, "--name", NAME, "up", WORLD, "--no-weir"], stdout=subprocess.DEVNULL)
    eventually(lambda: bool(traces()))
    time.sleep(after)
    making.send_signal(signal.SIGKILL)
    making.wait()
    assert lab("up", WORLD, "--no-weir").returncode == 0
    assert lab("exec", "alice", "curl", "-s", "-m", "2", f"telnet://10.244.2.10:{apps.WHO}").returncode == 0


def test_down_ends_what_was_started_in_a_pod_and_nothing_else():
    bystander = subprocess.Popen(["sleep", "60"])
    assert lab("up", WORLD, "--no-weir").returncode == 0
    assert lab("exec", "alice", "sh", "-c", "setsid sleep 61 >/dev/null 2>&1 & setsid sleep 62 >/dev/null 2>&1 &").returncode == 0
    in_pod = Lab(NAME)
    in_pod.attach()
    cgroup = in_pod.place("alice")[1]
    found = cgroup.pids()
    assert len(found) == 3, "the application and the two that were left behind"
    assert lab("down").returncode == 0
    assert not any(runs(pid) for pid in found)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_mistake_in_the_manifests_is_said_before_anything_is_made(tmp_path):
    (tmp_path / "pod.yaml").write_text("kind: Pod\nmetadata: {name: p}\nspec: {nodeName: nowhere}\n")
    said = lab("up", tmp_path, "--no-weir")
    assert said.returncode == 1 and "Node" in said.stderr
