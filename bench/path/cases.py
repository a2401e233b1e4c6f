"""The cases: what is asked of every path that carries the service, and the figures that come out of one sample of it.

A sample is a load with the usage of everything read before and after it. Figures are per request, connection or
byte, so that samples of different speed compare. "cpu" is user and system time of both proxies; "machine" is all
that both cores did meanwhile: load generator, origin, interrupts, and the part of a path's work that the kernel
does on behalf of others. What neither proxies nor load explain is "foreign": noise, kept with the sample.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from path import load, procs

QUIET_BUSY = 0.12  # a core this busy at most counts as quiet
DISTURBED = 0.08  # foreign share of the proxies' core from which a sample is repeated
AT_REST_AFTER_S = 13  # a process gives back memory when it has rested for five to ten seconds; looked for every second or so


class Sampler:
    """Runs loads on the ground and measures them. Lengths in seconds; tries: how often a disturbed sample may run."""

    def __init__(self, ground, origin, latency_binary, quick=False, wait_quiet_s=10):
        self.ground = ground
        self.origin = origin
        self.latency_binary = latency_binary
        self.seconds = 2 if quick else 4
        self.warmup_s = 1
        self.idle_connections = 200 if quick else 1000
        self.short_for_s = 2 if quick else 8
        self.tries = 1 if quick else 3
        self.wait_quiet_s = wait_quiet_s

    def sample(self, peer, case):
        """The least disturbed of up to `tries` samples: chosen by the noise, never by the result."""
        best = None
        for _ in range(self.tries):
            self._wait_quiet()
            peer.check(CASES[case].service)
            sample = CASES[case].sample(self, peer)
            if best is None or sample.get("foreign", 0) < best.get("foreign", 0):
                best = sample
            if best.get("foreign", 0) <= DISTURBED:
                break
        return best

    def _wait_quiet(self):
        end = time.monotonic() + self.wait_quiet_s
        while time.monotonic() < end:
            before, _ = procs.cpu_busy_s()
            time.sleep(0.4)
            after, _ = procs.cpu_busy_s()
            if max(after[cpu] - before[cpu] for cpu in after) / 0.4 < QUIET_BUSY:
                return

    def measured(self, peer, work):
        """Runs `work`, which returns a load's result; returns that result and what everybody used meanwhile."""
        pids, packets = peer.pids(), self.ground.wire_packets()
        sides = {side: procs.usage(pids[side]) for side in pids}
        origin, children = procs.usage(self.origin.pids()), procs.children_cpu_s()
        (busy, stolen), began = procs.cpu_busy_s(), time.monotonic()
        result = work()
        wall_s = time.monotonic() - began
        busy_after, stolen_after = procs.cpu_busy_s()
        sides = {side: procs.usage(pids[side]) - before for side, before in sides.items()}
        origin = procs.usage(self.origin.pids()) - origin
        load_s = procs.children_cpu_s() - children
        packets = self.ground.wire_packets() - packets
        both = sides["a"] + sides["b"]
        busy = {cpu: busy_after[cpu] - busy[cpu] for cpu in busy}
        return result, {
            "wall_s": wall_s,
            "cpu_a_s": sides["a"].cpu_s,
            "cpu_b_s": sides["b"].cpu_s,
            "cpu_s": both.cpu_s,
            "user_share": both.user_share,
            "wakeups": both.wakeups,
            "preemptions": both.preemptions,
            "packets": packets,
            "machine_s": sum(busy.values()),
            "load_cpu_s": load_s,
            "origin_cpu_s": origin.cpu_s,
            "foreign": max(0.0, busy[procs.PROXY_CPU] - both.cpu_s) / wall_s,
            "foreign_load_core": max(0.0, busy[procs.LOAD_CPU] - load_s - origin.cpu_s) / wall_s,
            "stolen": sum(stolen_after[cpu] - stolen[cpu] for cpu in stolen) / wall_s,
        }


def _per_request(result, used):
    each = 1e6 / result["requests"]
    return {
        "cpu_us": used["cpu_s"] * each,
        "user_us": used["cpu_s"] * used["user_share"] * each,
        "system_us": used["cpu_s"] * (1 - used["user_share"]) * each,
        "machine_us": used["machine_s"] * each,
        "wakeups_each": used["wakeups"] / result["requests"],
        "packets_each": used["packets"] / result["requests"],
    }


def _as_fast_as_it_goes(service, load_for, **words):
    """A load without a pause, after a second of it that does not count."""

    def sample(sampler, peer):
        target = peer.target(service)
        load_for(sampler.ground, target, sampler.warmup_s, **words)
        result, used = sampler.measured(peer, lambda: load_for(sampler.ground, target, sampler.seconds, **words))
        return {**result, **used, **_per_request(result, used), "per_s": result["requests"] / result["load_s"]}

    return Case(service, sample)


def _fixed_rate(service):
    """1,000 requests a second over 16 connections, open loop: latency, and the price of waking up."""

    def sample(sampler, peer):
        target = peer.target(service)
        work = lambda: load.fixed_rate(sampler.ground, target, sampler.seconds, sampler.latency_binary)  # noqa: E731
        result, used = sampler.measured(peer, work)
        return {**result, **used, **_per_request(result, used)}

    return Case(service, sample)


def _unary(ground, target, seconds):
    request = ground.scratch / "unary-request"
    request.write_bytes(load.grpc_message(load.GRPC_REQUEST_BYTES))
    return load.unary_calls(ground, target, seconds, request)


def _per_gb(result, used):
    gigabytes = result["bytes"] / 1e9
    return {"cpu_s_per_gb": used["cpu_s"] / gigabytes, "machine_s_per_gb": used["machine_s"] / gigabytes}


def _bulk(streams):
    """So many iperf3 streams from client to server."""

    def sample(sampler, peer):
        with sampler.origin.bulk_server():
            work = lambda: load.bulk(sampler.ground, peer.target("bulk"), sampler.seconds, streams)  # noqa: E731
            result, used = sampler.measured(peer, work)
        return {**result, **used, **_per_gb(result, used)}

    return Case("bulk", sample)


def _beside():
    """A ping-pong's latency alone, and while a bulk stream runs between the same two pods. The stream's own programs get what
    the others leave of the load core, so that it is the path that is asked, not the scheduler."""
    nice = ["nice", "-n", "29"]
    asked = {"rate": 100, "connections": 1}

    def sample(sampler, peer):
        ground, target, seconds, binary = sampler.ground, peer.target("tcp"), sampler.seconds, sampler.latency_binary
        alone = load.fixed_rate(ground, target, seconds, binary, **asked)
        with sampler.origin.bulk_server(nice), ThreadPoolExecutor(1) as threads:
            bulk = threads.submit(load.bulk, ground, peer.target("bulk"), seconds + 3, 1, nice)
            time.sleep(1)
            beside = load.fixed_rate(ground, target, seconds, binary, **asked)
            gbit_s = bulk.result()["gbit_s"]
        return {"p50": alone["p50"], "p99": alone["p99"], "p50_beside": beside["p50"], "p99_beside": beside["p99"],
                "p99_times": beside["p99"] / alone["p99"], "gbit_s": gbit_s,
                "trouble": alone["trouble"] + beside["trouble"]}

    return Case("bulk", sample)


def _workers():
    """How eight bulk streams divide among the workers of each proxy, by the bytes of the flows of each."""

    def sample(sampler, peer):
        with sampler.origin.bulk_server(), ThreadPoolExecutor(1) as threads:
            bulk = threads.submit(load.bulk, sampler.ground, peer.target("bulk"), sampler.seconds + 1, 8)
            time.sleep(sampler.seconds)
            shares = {side: _least_share(peer.flows(side)) for side in peer.nodes}
            gbit_s = bulk.result()["gbit_s"]
        return {"gbit_s": gbit_s, "share_a": shares["a"], "share_b": shares["b"], "trouble": ""}

    return Case("bulk", sample, paths=("weir-2",))


def _least_share(flows):
    by_worker = {0: 0, 1: 0}
    for flow in flows:
        by_worker[flow["worker"]] += flow["bytes_sent"] + flow["bytes_received"]
    return min(by_worker.values()) / sum(by_worker.values())


def _handshake():
    """What a full mTLS handshake costs the proxy that is dialled: with no ticket, over TCP of its own, and its end. Envoy also
    opens the connection to the application for each; Weir knows the client's chain from the one before, as it ships."""

    def sample(sampler, peer):
        entry, count = peer.tls_entry(), 400 if sampler.seconds < 4 else 1000
        load.handshakes(sampler.ground, entry, 50)
        result, used = sampler.measured(peer, lambda: load.handshakes(sampler.ground, entry, count))
        return {**result, **used, "cpu_us": used["cpu_b_s"] / count * 1e6}

    return Case("tcp", sample, paths=("envoy-tcp", "weir"))


def _connect():
    """What the hooks of connect() cost: whole, and of it the time in Weir's programs, as the kernel counts it. Direct: the
    programs are attached, as on every node that has Weir, but the pod is not enrolled."""

    def sample(sampler, peer):
        with procs.BpfTime("weir_") as programs:
            result = load.connects(sampler.ground)
        return {"connect_us": result["connect_us"], "hooks_us": programs.ns / 1e3 / result["connects"], "trouble": ""}

    return Case("tcp", sample, paths=("direct", "weir"))


def _big_bodies(connections):
    """64 MiB bodies from server to client, over so many connections."""

    def sample(sampler, peer):
        target = peer.target("http")
        load.big_bodies(sampler.ground, target, sampler.warmup_s, connections)
        work = lambda: load.big_bodies(sampler.ground, target, sampler.seconds, connections)  # noqa: E731
        result, used = sampler.measured(peer, work)
        return {**result, **used, **_per_gb(result, used)}

    return Case("http", sample)


def _memory(service):
    """Resident memory of a proxy that has just started, and what each idle application connection adds to it."""

    def sample(sampler, peer):
        if not peer.all_pids():
            return {"trouble": ""}
        peer.stop()
        peer.start()
        peer.resume()
        time.sleep(1)
        at_rest = procs.rss_kib(peer.all_pids())
        with load.IdleConnections(sampler.ground, peer.target(service), sampler.idle_connections):
            time.sleep(1)
            with_idle = procs.rss_kib(peer.all_pids())
        proxies = len(peer.pids())
        time.sleep(1)
        short = load.keep_alive(sampler.ground, peer.target(service), sampler.short_for_s, close=True)["requests"]
        time.sleep(AT_REST_AFTER_S)
        return {
            "after_mb": procs.rss_kib(peer.all_pids()) * 1024 / 1e6 / proxies,
            "after_count": short,
            "rest_mb": at_rest * 1024 / 1e6 / proxies,
            "idle_mb": with_idle * 1024 / 1e6 / proxies,
            "idle_kib_each": (with_idle - at_rest) / proxies / sampler.idle_connections,
            "trouble": "",
        }

    return Case(service, sample)


@dataclass(frozen=True)
class Case:
    service: str  # which of the origin's: paths that do not carry it have no sample
    sample: Callable  # (sampler, peer) → figures
    paths: tuple = ()  # that alone have one; empty: all


def fits(path, case):
    """Whether a path has a sample of a case."""
    wanted = CASES[case]
    return (wanted.service in path.services and (not path.cases or case in path.cases)
            and (not wanted.paths or path.name in wanted.paths))


LAYER_4 = {
    "full": _as_fast_as_it_goes("tcp", load.keep_alive),
    "rate": _fixed_rate("tcp"),
    "short": _as_fast_as_it_goes("tcp", load.keep_alive, close=True),
    "bulk1": _bulk(1),
    "bulk8": _bulk(8),
    "beside": _beside(),
    "workers": _workers(),
    "handshake": _handshake(),
    "connect": _connect(),
    "memory": _memory("tcp"),
}
LAYER_7 = {
    "h1": _as_fast_as_it_goes("http", load.keep_alive),
    "h1-rate": _fixed_rate("http"),
    "h1-short": _as_fast_as_it_goes("http", load.keep_alive, close=True),
    "h1-1": _as_fast_as_it_goes("http", load.keep_alive, connections=1),
    "h1-16": _as_fast_as_it_goes("http", load.keep_alive, connections=16),
    "h1-512": _as_fast_as_it_goes("http", load.keep_alive, connections=512),
    "h2": _as_fast_as_it_goes("h2", load.streams),
    "grpc": _as_fast_as_it_goes("grpc", _unary),
    "h1-bulk1": _big_bodies(1),
    "h1-bulk8": _big_bodies(8),
    "h1-memory": _memory("http"),
}
RESTARTING = ("memory", "h1-memory")  # the last: a path that was started anew has forgotten what it can say of the others
CASES = {name: case for name, case in {**LAYER_4, **LAYER_7}.items() if name not in RESTARTING}
CASES.update({name: {**LAYER_4, **LAYER_7}[name] for name in RESTARTING})
