"""Which driver weir-proxy starts with, and what it says of it: the program itself, under seccomp filters of its own."""

import ctypes
import errno
import json
import os
import pathlib
import socket
import struct
import subprocess
import time

import pytest

BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR") or pathlib.Path(__file__).parents[3] / "build/release")
IO_URING_SETUP = 425  # the same number on every architecture
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
RETURN_ERRNO, RETURN_ALLOW = 0x00050000, 0x7FFF0000


def refusing(call, code):
    """For preexec_fn: from then on that system call fails with that errno."""
    load, jump_if_equal, give_back = 0x20, 0x15, 0x06
    program = b"".join(struct.pack("HBBI", *one) for one in [
        (load, 0, 0, 0), (jump_if_equal, 0, 1, call), (give_back, 0, 0, RETURN_ERRNO | code), (give_back, 0, 0, RETURN_ALLOW)])
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", 4, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)

    def install():
        assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) == 0, (ctypes.get_errno(), instructions)
    return install


def start(directory, *flags, before=None):
    """weir-proxy with nothing to do, and its log's file."""
    (directory / "mesh.txtpb").write_text('full_state: true changed { mesh { trust_domain: "cluster.local" } }\n')
    log = directory / "log"
    with open(log, "wb") as out:
        return subprocess.Popen(
            [BUILD / "bin/weir-proxy", "--config", directory / "mesh.txtpb", "--workers", "2", "--metrics-listen", "127.0.0.1:0",
             "--admin-socket", directory / "admin.sock", "--access-log", "off", "--drain-seconds", "0", *flags],
            preexec_fn=before, stdout=out, stderr=out), log


def status(directory, proxy, limit_s=20):
    """/status of the running proxy, once it answers."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(directory / "admin.sock"))
                client.sendall(b"GET /status HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n")
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            return json.loads(answer.partition(b"\r\n\r\n")[2])
        except OSError:
            assert proxy.poll() is None and time.monotonic() < deadline, (directory / "log").read_text()
            time.sleep(0.05)


def running_with(directory, *flags, before=None):
    """The driver that it reports, and the lines about it in its log."""
    proxy, log = start(directory, *flags, before=before)
    try:
        driver = status(directory, proxy)["driver"]
    finally:
        proxy.terminate()
        ended = proxy.wait(20)
    assert ended == 0, log.read_text()
    return driver, [line for line in log.read_text().splitlines() if "the workers use" in line]


def test_io_uring_is_used_where_it_can_be_had_and_the_log_says_so_once(tmp_path):
    driver, said = running_with(tmp_path)
    assert driver == "io_uring"
    assert len(said) == 1 and "info" in said[0] and said[0].endswith("the workers use io_uring"), said


@pytest.mark.parametrize("code, why", [
    (errno.EPERM, "io_uring is forbidden to this process, as seccomp profiles do (EPERM)"),
    (errno.ENOSYS, "this kernel has no io_uring (ENOSYS)"),
    (errno.EINVAL, "this kernel's io_uring is older than Linux 6.1 (EINVAL)"),
])
def test_where_io_uring_is_refused_epoll_is_used_and_the_log_says_why_once(tmp_path, code, why):
    driver, said = running_with(tmp_path, before=refusing(IO_URING_SETUP, code))
    assert driver == "epoll"
    assert len(said) == 1 and "warn" in said[0] and said[0].endswith(f"the workers use epoll: {why}"), said


def test_epoll_that_was_asked_for_needs_no_reason(tmp_path):
    driver, said = running_with(tmp_path, "--io", "epoll")
    assert driver == "epoll"
    assert len(said) == 1 and "info" in said[0] and said[0].endswith("the workers use epoll"), said


def test_io_uring_that_was_asked_for_and_cannot_be_had_is_no_start(tmp_path):
    proxy, log = start(tmp_path, "--io", "io_uring", before=refusing(IO_URING_SETUP, errno.EPERM))
    assert proxy.wait(20) == 1
    assert "io_uring" in log.read_text()


def test_a_driver_that_does_not_exist_is_a_bad_argument(tmp_path):
    proxy, log = start(tmp_path, "--io", "kqueue")
    assert proxy.wait(20) == 2
    assert "--io" in log.read_text()
