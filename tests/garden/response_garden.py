#!/usr/bin/python3
"""The garden's other half: mutated responses go through a proxy, and three client libraries must agree on what comes out.

    response_garden.py --through haproxy --mutations 3000
    response_garden.py --through relay --seed 7 --only 1234   # one response again, with what each client read

A client's connection asks for the mutated response and, behind it, for the sentinel. What the proxy forwarded before the
sentinel must be one whole response, to the RFC and to each client; if it ended the connection instead, all must see that.
"""

import argparse
import base64
import collections
import pathlib
import random
import re
import sys
import tempfile

import response_grammar as grammar
from ground import KINDS, Ground
from response_jury import Clients, differences, whole

BATCH, TOLD_MAX = 480, 20
MARK = re.compile(rb"x-sentinel: 1\r\n", re.I)


class ResponseGarden:
    """One run: what was sent, forwarded and found."""

    def __init__(self, ground, clients, seed, say=print):  # say: None to be silent
        self.ground, self.clients, self.seed, self.say = ground, clients, seed, say
        self.seen, self.counts, self.disagreements = {}, collections.Counter(), []

    def forwarded(self, numbers):
        """{number: (what came before the sentinel, how the connection went on)}"""
        streams = [f"GET /{self.seed}/{n} HTTP/1.1\r\nHost: a\r\n\r\n"
                   f"GET /sentinel HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" for n in numbers]
        told = self.ground.ask(streams=[base64.b64encode(s.encode()).decode() for s in streams], answers=True)
        found = {}
        for number, one in zip(numbers, told):
            answer, end = base64.b64decode(one["answer"]), one["end"]
            mark = MARK.search(answer)
            start = answer.rfind(b"HTTP/1.", 0, mark.start()) if mark else -1
            if start >= 0:
                answer, end = answer[:start], "open"
                self.counts["went on"] += 1
            found[number] = answer, end if end in ("closed", "reset") else "open"
        return found

    def judge(self, forwarded):
        """[(number, answer, end, readings, differences)] of what was not seen before and something is the matter with."""
        fresh = {}
        for number, told in forwarded.items():
            if told[0] and told not in self.seen:
                self.seen[told] = number
                fresh[number] = told
        self.counts["distinct"] = len(self.seen)
        found = []
        for number, readings in self.clients.readings(fresh).items():
            said = differences(readings)
            if fresh[number][1] == "open" and not whole(readings):
                said.append("the proxy went on after what is no whole response by RFC 9112")
            if said:
                found.append((number, *fresh[number], readings, said))
        return found

    def check_valid(self):
        """Valid responses arrive with their status and body at every client. Returns complaints."""
        complaints = []
        forwarded = self.forwarded(range(len(grammar.VALID)))
        readings = self.clients.readings(forwarded)
        for number, (status, body, made) in enumerate(grammar.VALID):
            for name, reading in readings[number].items():
                knows = name != "python" or b" 103 " not in made  # http.client takes 103 for the answer
                if knows and reading[:2] != [status, len(body)]:
                    complaints.append(f"{name} read {reading} of {made[:200]!r}, forwarded as {forwarded[number]}")
        self.counts["valid"] += len(grammar.VALID)
        return complaints

    def run(self, numbers):
        for start in range(0, len(numbers), BATCH):
            forwarded = self.forwarded(numbers[start:start + BATCH])
            self.counts["responses"] += len(forwarded)
            for finding in self.judge(forwarded):
                self.disagreements.append(finding)
                if self.say and len(self.disagreements) <= TOLD_MAX:
                    self.tell(finding)

    def tell(self, finding):
        number, answer, end, readings, said = finding
        self.say(f"\nDISAGREEMENT: {answer[:600]!r}, then {end}")
        for sentence in said:
            self.say(f"  {sentence}")
        for name, reading in readings.items():
            self.say(f"  {name:8} {reading}")
        self.say(f"  made by: response_garden.py --through {self.ground.kind} --seed {self.seed} --only {number}\n"
                 f"  of: {grammar.mutated(self.seed, number)[:600]!r}")

    def summary(self):
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        return f"{counts}; {len(self.disagreements)} disagreements"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--through", choices=KINDS, default="weir")
    parser.add_argument("--mutations", type=int, default=3_000)
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
    parser.add_argument("--only", type=int, help="this response alone")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="garden-") as scratch:
        place = pathlib.Path(scratch)
        with Clients(place / "clients") as clients, Ground(asked.through, place / "ground", "origin.py") as ground:
            garden = ResponseGarden(ground, clients, asked.seed)
            if asked.only is not None:
                forwarded = garden.forwarded([asked.only])
                print(repr(grammar.mutated(asked.seed, asked.only)), forwarded, sep="\n")
                print(clients.readings(forwarded))
                return 0
            complaints = garden.check_valid()
            garden.run(range(asked.mutations))
            print("\n".join(complaints))
            print(garden.summary())
            return 1 if complaints or garden.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
