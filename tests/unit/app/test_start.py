"""A proxy that cannot start says why, once, ends its threads and exits with 1."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR") or pathlib.Path(__file__).resolve().parents[3] / "build/release")
GOOD = 'changed { mesh { trust_domain: "cluster.local" node: "a" } }'


def command(config, *arguments):
    return [str(BUILD / "bin" / "weir-proxy"), "--config", str(config), "--access-log", "off", "--workers", "2",
            *arguments]


def refused(config, *arguments):
    """What the proxy says, line by line, of why it does not start; how it would have run on this machine is said before."""
    done = subprocess.run(command(config, *arguments), text=True, capture_output=True, timeout=60)
    assert done.returncode == 1, done
    before = re.compile(r"weir-proxy: (the workers use|\d+ descriptors for)")
    return [line for line in (done.stdout + done.stderr).splitlines() if not before.search(line)]


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "mesh.txtpb"
    file.write_text(GOOD)
    return file


def test_a_taken_port_is_said_and_nothing_else(config):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        lines = refused(config, "--metrics-listen", address)
    assert len(lines) == 1 and address in lines[0] and "Address already in use" in lines[0], lines


def test_an_admin_socket_that_cannot_be_made_is_said_and_the_port_is_let_go(config, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "127.0.0.1:%d" % free.getsockname()[1]
    lines = refused(config, "--metrics-listen", address, "--admin-socket", str(tmp_path / "none" / "admin.sock"))
    assert len(lines) == 1 and "admin.sock" in lines[0], lines


@pytest.mark.parametrize("text, said", [
    ("nonsense", ":1: "),
    (GOOD + ' changed { workload { uid: "w" identity: "nobody" } }', "w: identity"),
])
def test_a_first_configuration_that_is_refused_is_said_and_nothing_else(tmp_path, text, said):
    bad = tmp_path / "bad.txtpb"
    bad.write_text(text)
    admin = tmp_path / "admin.sock"
    lines = refused(bad, "--metrics-listen", "127.0.0.1:0", "--admin-socket", str(admin))
    assert len(lines) == 1 and said in lines[0], lines
    assert not admin.exists()


def test_a_configuration_that_is_not_there_is_said_and_nothing_else(tmp_path):
    lines = refused(tmp_path / "none.txtpb", "--metrics-listen", "127.0.0.1:0")
    assert len(lines) == 1 and "No such file" in lines[0] and "none.txtpb" in lines[0], lines


def test_a_proxy_that_can_start_is_ready_and_drains_when_it_is_told_to(config):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "127.0.0.1:%d" % free.getsockname()[1]
    with subprocess.Popen(command(config, "--metrics-listen", address), text=True, stderr=subprocess.PIPE) as proxy:
        for _ in range(100):
            try:
                assert urllib.request.urlopen(f"http://{address}/readyz", timeout=5).status == 200
                break
            except OSError:
                assert proxy.poll() is None
                time.sleep(0.05)
        else:
            pytest.fail("never ready")
        proxy.send_signal(signal.SIGTERM)
        said = proxy.communicate(timeout=60)[1]
    assert proxy.returncode == 0 and "drained" in said, said
