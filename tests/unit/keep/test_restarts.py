"""weir-keep with real programs: shells that write their pid to a file at each start, then do what the test wants."""

import os
import pathlib
import signal
import subprocess
import time

import pytest

BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR") or pathlib.Path(__file__).resolve().parents[3] / "build/release")


class Kept:
    """weir-keep with a shell script; `pids` are those of its starts."""

    def __init__(self, directory, script):
        self.file = directory / "pids"
        self.process = subprocess.Popen([BUILD / "bin" / "weir-keep", "/bin/sh", "-c", f"echo $$ >>{self.file}; {script}"],
                                        stderr=subprocess.PIPE, text=True)

    def pids(self, count=1):
        """The pids once there were so many starts."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = self.file.read_text().split() if self.file.exists() else []
            if len(found) >= count:
                return [int(pid) for pid in found]
            time.sleep(0.01)
        raise AssertionError(f"started {len(found)} times, not {count}")

    def end(self):
        """(exit code, what was logged)."""
        _, text = self.process.communicate(timeout=10)
        return self.process.returncode, text


@pytest.fixture
def keep(tmp_path):
    made = []

    def make(script):
        made.append(Kept(tmp_path, script))
        return made[-1]
    yield make
    for kept in made:
        if kept.process.poll() is None:
            kept.process.kill()
            kept.process.wait()


def gone(pid):
    """Whether a process has ended, within a second."""
    for _ in range(100):
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


def test_a_program_that_is_killed_is_started_again_and_it_is_said(keep):
    kept = keep("exec sleep 100")
    for count in range(1, 4):
        os.kill(kept.pids(count)[-1], signal.SIGKILL)
    assert len(set(kept.pids(4))) == 4
    kept.process.terminate()
    code, said = kept.end()
    assert code == 128 + signal.SIGTERM
    assert said.count("/bin/sh was ended by signal 9") == 3 and "it is started again in 100 ms" in said, said


def test_a_program_that_ends_by_itself_ends_its_keeper_with_its_exit_code(keep):
    for status in (0, 1, 7):
        kept = keep(f"exit {status}")
        assert kept.end() == (status, "")
    assert len(kept.pids()) == 3, "one of them was started again"


def test_a_signal_to_end_is_handed_on_and_the_program_has_its_time(keep):
    kept = keep("trap 'sleep 0.5; exit 5' TERM; while :; do sleep 0.05; done")
    kept.pids()
    time.sleep(0.1)  # for the trap
    kept.process.terminate()
    assert kept.end() == (5, "")
    assert len(kept.pids()) == 1


def test_a_program_that_is_killed_while_it_ends_is_not_started_again(keep):
    kept = keep("trap '' TERM; while :; do sleep 0.05; done")
    pid, = kept.pids()
    time.sleep(0.1)
    kept.process.terminate()
    time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    assert kept.end() == (137, "")
    assert len(kept.pids()) == 1


def test_a_signal_to_end_between_two_starts_is_heeded_at_once(keep):
    kept = keep("kill -9 $$")  # at its start, so that the waits grow
    kept.pids(5)
    begun = time.monotonic()
    kept.process.terminate()
    assert kept.end()[0] in (128 + signal.SIGTERM, 137)
    assert time.monotonic() - begun < 0.5


def test_the_program_does_not_outlive_its_keeper(keep):
    kept = keep("exec sleep 100")
    pid, = kept.pids()
    kept.process.kill()
    assert gone(pid)


def test_a_program_that_is_not_there_is_said(tmp_path):
    done = subprocess.run([BUILD / "bin" / "weir-keep", tmp_path / "nothing"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 127 and "cannot run" in done.stderr and "No such file" in done.stderr
    assert subprocess.run([BUILD / "bin" / "weir-keep"], capture_output=True, timeout=10).returncode == 2
