#!/usr/bin/python3
"""`./dev demo`: a mesh of two nodes with real applications on this machine, shown step by step, with the commands.

Every step says what it shows, runs commands in pods and on nodes, prints them with their outputs, and checks the claim
it made; a claim that does not hold is said in the summary and makes the exit status 1. `--keep` leaves it all running.
"""

import argparse
import collections
import json
import re
import shlex
import subprocess
import sys
import time
import traceback

import demo_http
from lab import Lab
from narration import (BOLD, DIM, DIRECTORY, GREEN, NAME, PLAIN, RED, Claim, claim, command_of, run, say, show, step_of, wait_for,
                       weirctl)
from observe import Metrics
from processes import LabError
from weir import REPOSITORY

WEB, WEB_V6, REDIS, MARIADB, IPERF3 = "10.96.0.10", "fd00:10:96::10", "10.96.0.20", "10.96.0.30", "10.96.0.40"
STEPS = []
step = step_of(STEPS)


# --- The steps ---------------------------------------------------------------------------------------------------
@step("Two nodes, and what Weir says of itself")
def overview(lab):
    show(lab.describe(), 30)
    status = weirctl(lab, "node-1", "status").stdout
    claim("shop/frontend" in status and "spiffe://cluster.local/ns/shop/sa/frontend" in status,
          "each enrolled pod has an identity of its own")
    check = weirctl(lab, "node-1", "check")
    claim(check.returncode == 0, "capture is in place in every enrolled pod of node-1 (tested, not assumed)")


@step("A ClusterIP, balanced; the application sees the client's true address")
def balanced(lab):
    frontend = lab.addresses("frontend")
    for address, own in ((WEB, frontend[0]), (f"[{WEB_V6}]", frontend[1])):
        loop = f"for i in $(seq 15); do curl -s -m 5 http://{address}/; done"
        answers = run(lab, "shop/frontend", "sh", "-c", loop, quiet=True).splitlines()
        counted = collections.Counter(answers)
        show("\n".join(f"{count:3} × {line}" for line, count in sorted(counted.items())))
        claim(len(answers) == 15 and len({a.split()[0] for a in answers}) == 3, "all three replicas of nginx answered")
        claim(all(a.endswith(f"sees the client {own}") for a in answers), f"each saw {own}, the address of the client pod")


@step("A server that speaks first: MariaDB through its ClusterIP")
def server_first(lab):
    query = "SELECT VERSION() AS version, SUBSTRING_INDEX(USER(), '@', -1) AS the_client_that_mariadb_sees"
    argv = ["mariadb", "-h", MARIADB, "-ushop", "-pshop", "-t", "-e", query]
    wait_for("MariaDB is up", lambda: lab.exec("mariadb", [
        "mariadb", "-h", "127.0.0.1", "-ushop", "-pshop", "-e", "SELECT 1"]).returncode == 0)
    begun = time.monotonic()
    answer = run(lab, "shop/frontend", *argv)
    claim(lab.addresses("frontend")[0] in answer, "MariaDB greeted, answered, and saw the client pod's address")
    claim(time.monotonic() - begun < 2, f"in {time.monotonic() - begun:.2f} s, with no wait for the client to speak first")


@step("The wire between the nodes: no plaintext in it")
def wire(lab):
    secret = "the-recipe-of-the-house"
    with lab.sniff("node-1", ["tcp"]) as sniffer:
        say(f"{DIM}$ ./dev lab --name {NAME} node node-1 {shlex.join(sniffer.command)} &{PLAIN}")
        answer = run(lab, "shop/frontend", "redis-cli", "-h", REDIS, "SET", "secret", secret)
        read = run(lab, "shop/frontend", "redis-cli", "-h", REDIS, "GET", "secret")
    claim("OK" in answer and secret in read, "Redis on node-2 keeps and tells the secret")
    packets = sniffer.packets("host", lab.addresses("redis")[0])
    say(f"{DIM}$ tcpdump -n -r {sniffer.file} host {lab.addresses('redis')[0]}{PLAIN}")
    show("\n".join(packets), 6)
    claim(len(packets) > 6, f"{len(packets)} packets between the true addresses of the two pods were seen")
    claim(not sniffer.holds(secret.encode()), "the secret is in none of them")
    say("The same wire, when a pod outside the mesh speaks:")
    with lab.sniff("node-1", ["tcp"]) as sniffer:
        run(lab, "bare/legacy", "curl", "-s", "-m", "5", f"http://{lab.addresses('web-2')[0]}:8080/?secret={secret}")
    packets = [p for p in sniffer.packets("-A") if secret in p]
    show("\n".join(packets), 3)
    claim(packets, "its plaintext is there to be read")


@step("A policy: only frontend may talk to Redis")
def policy(lab):
    mark = {n: lab.access_log_size(n) for n in ("node-1", "node-2")}
    show((DIRECTORY / "4-clients.yaml").read_text().split("---\n")[-1])
    allowed = run(lab, "shop/frontend", "redis-cli", "-h", REDIS, "PING")
    denied = run(lab, "shop/intruder", "redis-cli", "-h", REDIS, "PING")
    outside = run(lab, "bare/legacy", "redis-cli", "-h", lab.addresses("redis")[0], "PING")
    claim("PONG" in allowed, "frontend is served")
    claim("PONG" not in denied and "PONG" not in outside, "intruder and legacy are not")

    def refusals():
        return [e for e in lab.access_log("node-2", mark["node-2"]) if e["reason"] == "not_allowed"]

    def refused():
        return {e["source"]["pod"] for e in refusals()}

    # Not for two lines: redis-cli may try twice.
    wait_for("both clients' refusals in the access log of node-2", lambda: refused() >= {"shop/intruder", "bare/legacy"}, 5)
    say(f"{DIM}$ grep not_allowed {lab.directory}/node-2/access.log{PLAIN}")
    for entry in refusals():
        show(json.dumps(entry))
    claim(refused() >= {"shop/intruder", "bare/legacy"}, "the access log says who was refused, and why")


class Traffic:
    """curl in a loop, in the background: one line for each request with its outcome and how long it took."""

    def __init__(self, lab, url):
        self.file = lab.directory / "traffic.txt"
        told = "%{http_code} %{time_total} %{errormsg}\\n"
        loop = f"while :; do curl -s -m 8 -o /dev/null -w '{told}' '{url}'; sleep 0.02; done"
        say(f"{DIM}$ {command_of('shop/frontend', ['sh', '-c', loop])} &{PLAIN}")
        with self.file.open("w") as out:
            self.process = lab.popen("shop/frontend", ["sh", "-c", loop], stdout=out, stderr=out)

    def lines(self):
        return [line.split(" ", 2) for line in self.file.read_text().splitlines() if line.count(" ") >= 2]

    def stop(self):
        self.process.terminate()
        self.process.wait()


@step("kill -9 of the proxy under traffic")
def killed(lab):
    word = "read-me-if-you-can"
    held = ["python3", "-u", "-c",
            f"import socket; s = socket.create_connection(('{REDIS}', 6379)); s.sendall(b'PING\\r\\n'); print(s.recv(9))\n"
            "try: print('a clean end:', s.recv(9))\nexcept OSError as e: print(e)"]
    say(f"{DIM}$ {command_of('shop/frontend', held)[:160]}… &{PLAIN}")
    connection = lab.popen("shop/frontend", held, stdout=-1, stderr=-2, text=True)
    connection.stdout.readline()
    with lab.sniff("node-1", ["tcp"]) as sniffer:
        traffic = Traffic(lab, f"http://{WEB}/?word={word}")
        try:
            wait_for("traffic", lambda: len(traffic.lines()) > 20)
            before, pid = len(traffic.lines()), lab.weir("node-1").pid("proxy")
            say(f"{DIM}$ kill -9 {pid}{PLAIN}   (the proxy of node-1, after {before} requests)")
            lab.weir("node-1").stop("proxy", 9)
            said = connection.communicate(timeout=10)[0].strip()
            time.sleep(1.5)
            at_rest = len(traffic.lines())
            say(f"{DIM}$ {shlex.join(map(str, lab.weir('node-1').proxy_command()))[:160]}… &{PLAIN}")
            lab.weir("node-1").start("proxy")
            lab.weir("node-1").wait_ready("proxy")
            wait_for("traffic again", lambda: len(traffic.lines()) > at_rest + 20)
        finally:
            traffic.stop()
    requests = traffic.lines()
    slow = [r for r in requests if r[0] == "200" and float(r[1]) > 0.5]
    failed = [r for r in requests if r[0] != "200"]
    show(f"{len(requests)} requests: {len(requests) - len(failed)} answered (of them {len(slow)} after a wait of "
         f"{max([float(r[1]) for r in slow], default=0):.1f} s), {len(failed)} failed: {[r[2] for r in failed]}\n"
         f"the connection held open meanwhile: {said}")
    claim("reset" in said, "a live connection was reset: never a clean end of a truncated answer")
    claim(slow and len(failed) <= 1,
          "a connection begun while there was no proxy waited and was served by the next one; at most the one under way failed")
    claim(not sniffer.holds(word.encode()), "nothing went out in plaintext while there was no proxy")


@step("Bulk: iperf3 through two proxies")
def bulk(lab):
    text = run(lab, "shop/frontend", "iperf3", "-c", IPERF3, "-t", "2", "-f", "g", lines_max=30)
    rates = re.findall(r"([\d.]+) Gbits/sec.*receiver", text)
    claim(rates and float(rates[0]) > 0, f"{rates and rates[0]} Gbit/s, encrypted between the nodes")


@step("Metrics and the access log")
def telemetry(lab):
    text = run(lab, "node:node-1", "curl", "-s", "http://127.0.0.1:15020/metrics", quiet=True)
    metrics = Metrics(text)
    wanted = re.compile(r"^weir_(tcp_connections|tcp_sent|requests_total|tls_handshakes_total|lanes|sessions|certificate|"
                        r"config_version)")
    show("\n".join(line for line in text.splitlines() if wanted.match(line) and not line.endswith(" 0")), 24)
    opened = metrics.total("weir_tcp_connections_opened_total", reporter="source", source_workload="frontend")
    requests = metrics.total("weir_requests_total", reporter="source", source_workload="frontend")
    claim(opened + requests > 20,
          f"for frontend node-1 has opened {opened:.0f} connections and carried {requests:.0f} requests since its proxy is back")
    last = lab.access_log("node-1")[-1]
    say(f"{DIM}$ tail -1 {lab.directory}/node-1/access.log | jq .{PLAIN}")
    show(json.dumps(last, indent=2), 40)
    claim(last["source"]["workload"], "and each of them has left a line like this")


# --- All of it ---------------------------------------------------------------------------------------------------
def main():
    parser = argparse.ArgumentParser(prog="dev demo", description=__doc__.split("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave the mesh running at the end")
    parser.add_argument("--build", help="where the binaries are (default: build/release)")
    asked = parser.parse_args()
    begun = time.monotonic()
    lab = Lab(NAME, asked.build)
    steps, outcomes = STEPS + demo_http.STEPS, []
    try:
        say(f"{BOLD}Making two nodes, their pods and their Weir from {DIRECTORY.relative_to(REPOSITORY)}/{PLAIN}")
        lab.up(DIRECTORY)
        for number, (title, function) in enumerate(steps, 1):
            say(f"\n{BOLD}{number}. {title}{PLAIN}")
            try:
                function(lab)
                outcomes.append((title, None))
            except (Claim, LabError, OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                detail = f"{type(error).__name__}: {error}" if not isinstance(error, Claim) else str(error)
                say(f"{RED}  ✗ {detail}{PLAIN}")
                if not isinstance(error, Claim):
                    traceback.print_exc(limit=-2)
                outcomes.append((title, detail))
    finally:
        if not asked.keep:
            lab.down()
    say(f"\n{BOLD}Summary{PLAIN} ({time.monotonic() - begun:.0f} s)")
    for title, failure in outcomes:
        say(f"  {GREEN + '✓' if failure is None else RED + '✗'} {title}{'' if failure is None else ': ' + failure}{PLAIN}")
    if asked.keep:
        say(f"\nIt is still there: {DIM}./dev lab --name {NAME} status{PLAIN}, "
            f"{DIM}./dev lab --name {NAME} exec shop/frontend curl http://{WEB}{PLAIN}; "
            f"./dev lab --name {NAME} down ends it.")
    return 0 if len(outcomes) == len(steps) and not any(f for _, f in outcomes) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        sys.exit(f"demo: {error}")
