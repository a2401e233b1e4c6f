"""What an attack costs the proxy and its neighbours, against what it costs the attacker.

An `Attack` hands out the attacker's sockets and counts what the kernel carried on them, both ways, without headers. The
`Toll` of a proxy is its processor time and its high-water mark of memory. A `Neighbour` is another pod's steady client
(neighbour.py) to another pod's server, through the same two proxies.

Three gates, on gross damage and never on speed. Memory: at most GAIN times the attacker's bytes, beyond a floor for what
any connection holds. Processor: at most GAIN times what as many bytes of ordinary small requests take, measured in the
same run. The neighbour: no failed request, and its p99 at most twice its own in quiet, beyond a floor for the scheduler.
Time on a shared machine is noise: so the proxies and the neighbour are first in line for a processor, which leaves what
the proxies themselves make it wait, the attacker is last, and an attack that seems to slow the neighbour is given more
chances, with quiet measured anew between them: a proxy that starves others does so every time. And it does so by working:
a neighbour that still waits after three chances, but longer than all that the attack made the proxies work, waits for the
machine.
"""

import contextlib
import os
import pathlib
import socket
import statistics
import struct
import sys
import time

from neighbour import CONNECTIONS
from world import reset

GAIN = 100
# What a proxy may hold whatever came: pages and arenas touched for the first time, kept buffers, a log's ring.
FLOOR_BYTES = 4 << 20
CONNECTION_BYTES = 16 << 10  # Two sockets' state, a flow, a coroutine or two: twice what an idle one may take (issue 4).
FLOOR_SECONDS = 0.05         # Timers, metrics, the neighbour's own jitter.
DIALS = 2                    # times what an ordinary connection of one request takes, for each connection
FLOOR_LATENCY = 0.020        # A few turns of the busy processors of a shared machine.
SANITIZED = bool(os.environ.get("WEIR_SANITIZED"))
CHANCES = 10                 # as many seconds in all: the busy spell of a shared machine ends sooner
PATIENCE = 5                 # seconds until an attack must have been minded, however little of a processor it gets
RATE = 400                   # The neighbour's requests a second.
LASTS = 0.2                  # seconds of each attack: eighty of the neighbour's requests
TCP_INFO_BYTES = struct.Struct("@120xQQ")  # struct tcp_info: tcpi_bytes_acked, tcpi_bytes_received


class Attack:
    """The attacker's sockets while an attack lasts."""

    def __init__(self, dial, lasts=LASTS):
        self.dial_some, self.sockets, self.bytes, self.connections = dial, [], 0, 0
        self.codes = []  # error codes of the GOAWAY frames that came
        self.began, self.until = time.monotonic(), time.monotonic() + lasts
        self.last_moment = self.began + PATIENCE

    def lasts(self, until_met=True):
        """Whether it goes on: for its time, and for as long beyond it as it has not met what it is to meet."""
        now = time.monotonic()
        return now < self.until or (not until_met and now < self.last_moment)

    def dial(self, *where):
        return self.dial_many(1, *where)[0]

    def dial_many(self, count, *where):
        return [self.count(connection) for connection in self.dial_some(count, *where)]

    def count(self, connection):
        """One more socket of the attacker's."""
        connection.settimeout(1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sockets.append(connection)
        self.connections += 1
        return connection

    def close(self, connection, abruptly=False):
        self.sockets.remove(connection)
        self.bytes += carried(connection)
        if abruptly:
            reset(connection)
        else:
            connection.close()

    @contextlib.contextmanager
    def connection(self, *where):
        """A connection that ends with the block, or when the proxy ends it."""
        connection = self.dial(*where)
        with contextlib.suppress(ConnectionError, TimeoutError, BlockingIOError):
            yield connection
        self.close(connection)

    def end(self):
        for connection in list(self.sockets):
            self.close(connection)


def first_in_line(pid):
    """Every thread of a process gets a processor before those of ordinary ones."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), -10)


def carried(connection):
    """Bytes of payload that the peer has acknowledged and that have come."""
    return sum(TCP_INFO_BYTES.unpack_from(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)))


class Toll:
    """What one proxy has spent since this was made."""

    def __init__(self, pid):
        self.process = pathlib.Path(f"/proc/{pid}")
        (self.process / "clear_refs").write_text("5")  # the high-water mark begins at what is resident now
        self.resident, self.seconds_before, self.began = self.peak(), self.seconds_ever(), time.monotonic()

    def peak(self):
        status = (self.process / "status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    def seconds_ever(self):
        """Of every thread, in nanoseconds of the scheduler's own clock: ticks are too coarse for short attacks."""
        return sum(int(task.read_text().split()[0]) for task in self.process.glob("task/*/schedstat")) / 1e9

    def take(self):
        self.grown = self.peak() - self.resident
        self.seconds = self.seconds_ever() - self.seconds_before
        self.lasted = time.monotonic() - self.began
        return self


class Neighbour:
    """The steady client of a pod. What it met in a stretch of time is read from what it wrote."""

    def __init__(self, mesh, pod, address, port):
        self.path = mesh.directory(pod) / "neighbour.log"
        program = pathlib.Path(__file__).with_name("neighbour.py")
        with self.path.open("wb") as log:
            self.process = mesh.lab.popen(pod, [sys.executable, program, address, port, RATE], stdout=log, stderr=log)
        first_in_line(self.process.pid)

    def met(self, since, until):
        """(latencies, failures) of what was due then; waits until the last of it was answered."""
        for _ in range(500):
            whole = self.path.read_text().rpartition("\n")[0]  # the last line may be half written yet
            rows = [line.split(" ", 3) for line in whole.splitlines()]
            assert self.process.poll() is None and all(len(row) == 4 for row in rows), rows[-9:]
            last = {row[0]: float(row[1]) for row in rows}
            if len(last) == CONNECTIONS and min(last.values()) >= until:
                break
            time.sleep(0.01)
        else:
            raise AssertionError("the neighbour waits for answers")
        rows = [(float(took), failure) for _, due, took, failure in rows if since <= float(due) <= until]
        return [took for took, _ in rows], [failure for _, failure in rows if failure]

    def p99(self, since, until):
        latencies, failures = self.met(since, until)
        assert not failures, f"the neighbour's requests failed: {failures[:5]}"
        assert latencies, "the neighbour was never answered"
        return sorted(latencies)[int(0.99 * (len(latencies) - 1))]

    def quiet(self, windows=3, seconds=LASTS):
        """The median of its p99 over a few windows from now on."""
        found = []
        for _ in range(windows):
            began = time.monotonic()
            time.sleep(seconds)
            found.append(self.p99(began, began + seconds))
        return statistics.median(found)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Scales:
    """The proxies of a mesh, what ordinary requests cost them, and the neighbour in quiet: what attacks are held to."""

    def __init__(self, pids, neighbour, dial, ordinary):
        self.pids, self.neighbour, self.dial = pids, neighbour, dial
        self.quiet = neighbour.quiet()
        tolls = [Toll(pid) for pid in pids]
        time.sleep(LASTS)
        self.idle = sum(toll.take().seconds / toll.lasted for toll in tolls)  # the neighbour's own share
        self.start = {pid: Toll(pid).resident for pid in pids}
        attack, tolls = self.run(lambda attack: ordinary(attack, True))
        self.per_byte = self.own(tolls) / attack.bytes
        attack, tolls = self.run(lambda attack: ordinary(attack, False))
        self.per_connection = self.own(tolls) / attack.connections

    def run(self, act, lasts=LASTS):
        tolls, attack = [Toll(pid) for pid in self.pids], Attack(self.dial, lasts)
        try:
            act(attack)
            time.sleep(max(0, attack.until - time.monotonic()))
        finally:
            attack.end()
        self.stretch = (attack.began, time.monotonic())
        return attack, [toll.take() for toll in tolls]

    def own(self, tolls):
        """Seconds of processor beyond what the neighbour takes in that time."""
        return max(0.0, sum(toll.seconds for toll in tolls) - self.idle * tolls[0].lasted)

    def weigh(self, act, lasts=LASTS):
        """Runs an attack and holds it to the gates; returns the Attack."""
        for chance in range(1, CHANCES + 1):
            attack, tolls = self.run(act, lasts)
            slowest = self.neighbour.p99(*self.stretch)
            grown = max(toll.grown for toll in tolls)
            seconds = self.own(tolls)
            memory_max = GAIN * attack.bytes + FLOOR_BYTES + CONNECTION_BYTES * attack.connections
            seconds_max = (GAIN * attack.bytes * self.per_byte + DIALS * attack.connections * self.per_connection
                           + FLOOR_SECONDS)
            slowest_may = max(2 * self.quiet, self.quiet + FLOOR_LATENCY)
            told = (f"{attack.connections} connections and {attack.bytes} bytes cost {grown >> 10} KiB (may be "
                    f"{memory_max >> 10}), {seconds:.3f} s (may be {seconds_max:.3f}); the neighbour's p99 "
                    f"{1000 * slowest:.1f} ms (may be {1000 * slowest_may:.1f}), GOAWAY {attack.codes[:4]}")
            print(told)
            assert attack.bytes, "nothing was sent"
            if SANITIZED:
                return attack
            assert grown <= memory_max and seconds <= seconds_max, told
            if slowest <= slowest_may or (chance > 3 and slowest - self.quiet > seconds):
                return attack
            self.quiet = max(self.quiet, self.neighbour.quiet())  # it may be the machine that is busier now
        raise AssertionError(f"{chance} times the neighbour was slowed: {told}")
