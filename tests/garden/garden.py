#!/usr/bin/python3
"""The smuggling garden: mutated requests go through a proxy, and seven real servers must agree on what comes out of it.

    garden.py --through haproxy --mutations 10000             # what CI does, with `weir`
    garden.py --through relay --seed 7 --only 1234            # one stream again, with everything that each server said

The valid corpus goes first: none of it may be refused. The exit status is 1 if servers disagree, or a valid request is
refused. grammar.py says where mutations come from, recorder.py and sender.py stand around the proxy, replay.py judges.
"""

import argparse
import asyncio
import base64
import collections
import pathlib
import random
import sys
import tempfile
import time

import grammar
from ground import KINDS, Ground
from replay import Jury
from servers import Servers

BATCH, TOGETHER, TOLD_MAX, ORIGINS_MAX = 480, 20, 20, 5


class Garden:
    """One run: what was sent, forwarded and found."""

    def __init__(self, ground, jury, seed, say=print):  # say: None to be silent
        self.ground, self.jury, self.seed, self.say = ground, jury, seed, say
        self.seen, self.counts, self.refusers = set(), collections.Counter(), collections.Counter()
        self.disagreements, self.unwanted = [], []  # verdicts

    def send(self, streams):
        """Sends streams, each with a sentinel behind; returns what the client saw of each."""
        encoded = [base64.b64encode(stream + grammar.SENTINEL).decode() for stream in streams]
        return self.ground.ask(streams=encoded)

    def forwarded(self):
        """What came out of the proxy, by connection: (whole requests, the beginning of one)."""
        time.sleep(0.02)  # What was answered has been recorded; what was not, may be on its way.
        return [([base64.b64decode(p) for p in connection["pieces"]], base64.b64decode(connection["rest"]))
                for connection in self.ground.harvest()]

    def check_valid(self):
        """The valid corpus: every request is answered 200. Returns complaints."""
        complaints = []
        for _ in range(3):  # fresh and kept connections
            answers = self.send([stream for _, stream in grammar.VALID])
            for (count, stream), answer in zip(grammar.VALID, answers):
                final = [status for status in answer["statuses"] if status >= 200]
                if final != [200] * (count + 1):
                    complaints.append(f"a valid stream was answered {answer}: {stream[:300]!r}")
        self.jury.run(self.judge(self.forwarded()))
        self.counts["valid"] += 3 * len(grammar.VALID)
        return complaints

    def fresh(self, pieces):
        """Those not seen before."""
        found = [piece for piece in pieces if piece and piece not in self.seen]
        self.seen.update(found)
        return found

    async def judge(self, connections):
        """Has the jury read what was forwarded and was not seen before."""
        tasks = []
        for pieces, begun in connections:
            self.counts["forwarded"] += len(pieces)
            fresh = self.fresh(pieces)
            tasks += [self.jury.judge(fresh[i:i + TOGETHER]) for i in range(0, len(fresh), TOGETHER)]
            tasks += [self.jury.judge_begun(piece) for piece in self.fresh([begun])]
        self.counts["distinct"] = len(self.seen)
        for told in await asyncio.gather(*tasks):
            for verdict in told if isinstance(told, list) else [told]:
                self.refusers.update(verdict.refusers)
                if verdict.differences:
                    self.disagreements.append(verdict)
                elif verdict.unwanted and isinstance(told, list):
                    self.unwanted.append(verdict)

    def run(self, numbers):
        begun, told = time.monotonic(), 0
        for start in range(0, len(numbers), BATCH):
            batch = numbers[start:start + BATCH]
            for answer in self.send([grammar.mutated(self.seed, number) for number in batch]):
                final = [status for status in answer["statuses"] if status >= 200]
                self.counts["accepted" if final and final[0] < 400 else "refused" if final else "unanswered"] += 1
            before = len(self.disagreements), len(self.unwanted)
            self.jury.run(self.judge(self.forwarded()))
            if not self.say:
                continue
            for verdict in self.disagreements[before[0]:][:TOLD_MAX - min(before[0], TOLD_MAX)]:
                self.tell("DISAGREEMENT", verdict, batch)
            for verdict in self.unwanted[before[1]:][:TOLD_MAX - min(before[1], TOLD_MAX)]:
                self.tell("REFUSED BY HALF OF THE SERVERS", verdict, batch)
            if time.monotonic() - begun > told + 30:
                told = time.monotonic() - begun
                self.say(f"{start + len(batch)} streams in {told:.0f} s, {len(self.disagreements)} disagreements")

    def tell(self, what, verdict, batch):
        self.say(f"\n{what}: {verdict.piece[:600]!r}")
        for difference in verdict.differences:
            self.say(f"  {difference}")
        for name, reading in verdict.readings.items():
            self.say(f"  {name:9} {reading}")
        number = self.origin(verdict.piece, batch) if self.counts["searched"] < ORIGINS_MAX else None
        self.say(f"  made by: garden.py --through {self.ground.kind} --seed {self.seed} --only {number}" if number is not None
                 else f"  made by one of {batch[0]}–{batch[-1]} of seed {self.seed}")

    def origin(self, piece, batch):
        """Which stream of the batch makes this piece again: looked for in groups, then one by one."""
        self.counts["searched"] += 1

        def makes(numbers):
            self.send([grammar.mutated(self.seed, number) for number in numbers])
            return any(piece in (*pieces, begun) for pieces, begun in self.forwarded())

        for start in range(0, len(batch), 40):
            if makes(batch[start:start + 40]):
                return next((number for number in batch[start:start + 40] if makes([number])), None)
        return None

    def summary(self):
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items() if what != "searched")
        refusers = ", ".join(f"{name} {count}" for name, count in self.refusers.most_common()) or "none"
        return (f"{counts}; refused by servers: {refusers}; {self.jury.asked} readings\n{len(self.disagreements)} disagreements, "
                f"{len(self.unwanted)} forwarded requests that half of the servers refuse")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--through", choices=KINDS, default="weir")
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", default=str(random.randrange(1 << 32)))
    parser.add_argument("--only", type=int, help="this stream alone")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="garden-") as scratch:
        place = pathlib.Path(scratch)
        place.chmod(0o755)
        with Servers(place / "servers") as servers, Ground(asked.through, place / "ground") as ground:
            garden = Garden(ground, Jury(servers.ports), asked.seed)
            complaints = garden.check_valid()
            if asked.only is not None:
                print(repr(grammar.mutated(asked.seed, asked.only)))
                print(garden.send([grammar.mutated(asked.seed, asked.only)]))
                for pieces, begun in garden.forwarded():
                    for piece in filter(None, (*pieces, begun)):
                        print("forwarded", repr(piece))
                        for name, reading in garden.jury.run(garden.jury.readings(piece)).items():
                            print(f"  {name:9} {reading}")
                return 0
            garden.run(range(asked.mutations))
            print("\n".join(complaints))
            print(garden.summary())
            return 1 if complaints or garden.disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
