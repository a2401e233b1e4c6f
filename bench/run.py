#!/usr/bin/env python3
"""`./dev bench`: Weir beside direct, Envoy and HAProxy, in one interleaved run; README.md says how and what to beware of.

Makes a lab of two nodes with a client and a server pod, starts every path that was asked for, and takes samples
A B C A B C … case by case. Prints a table; with --json also writes every sample, the medians, and what was run on
what. Everything runs in network namespaces and ends with this program, also when it crashes.
"""

import argparse
import contextlib
import datetime
import fcntl
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import peers  # noqa: E402
from path import cases, ground, load, profile, table  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weir-bench"
FAILURES = (RuntimeError, OSError, ground.LabError)  # of one sample; the others go on
TOOLS = {
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "nghttpd": "nghttp2-server",
    "iperf3": "iperf3",
    "/usr/sbin/nginx": "nginx-light",
    "/usr/sbin/haproxy": "haproxy",
    "openssl": "openssl",
    "ip": "iproute2",
}


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.splitlines()[0])
    names = lambda known, groups={}: lambda text: _chosen(text, known, groups)  # noqa: E731, B006
    parser.add_argument("--json", metavar="FILE", type=Path, help="samples, medians and versions, for machines")
    parser.add_argument("--quick", action="store_true", help="short samples, two repeats: does it work?")
    parser.add_argument("--only", metavar="NAMES", type=names(peers.ALL),
                        help="paths to measure, of " + ",".join(peers.ALL))
    parser.add_argument("--cases", metavar="NAMES", type=names(cases.CASES, {"l4": cases.LAYER_4, "http": cases.LAYER_7}),
                        default=list(cases.CASES), help="l4, http, or of " + ",".join(cases.CASES))
    parser.add_argument("--repeats", metavar="N", type=int, help="samples of each case and path (default 5)")
    parser.add_argument("--build-dir", metavar="DIR", type=Path, default=ROOT / "build/release",
                        help="where Weir and bench_latency are built (default build/release)")
    parser.add_argument("--other", metavar="DIR", type=Path, help="another build, whose proxy is the path weir-other")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for a quiet machine before a sample")
    parser.add_argument("--profile", metavar="PATH", choices=peers.ALL,
                        help="no figures: print where this path's proxies spend their time under --cases' first case")
    options = parser.parse_args()
    options.only = options.only or [name for name in peers.ALL if options.other or name != "weir-other"]
    if not options.other and "weir-other" in [*options.only, options.profile]:
        parser.error("the path weir-other needs --other DIR")
    if options.repeats is None:
        options.repeats = 2 if options.quick else 5
    return options


def _chosen(text, known, groups):
    chosen = {member for name in text.split(",") for member in groups.get(name, [name])}
    if unknown := chosen - set(known):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join([*groups, *known])}")
    return [name for name in known if name in chosen]


def check_tools(options):
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for network namespaces and BPF")
    if os.cpu_count() < 2:
        sys.exit("bench: needs two cores, one for the proxies and one for the load")
    missing = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    if missing:
        sys.exit(f"bench: apt-get install {' '.join(missing)}")
    if not latency_binary(options).exists():
        sys.exit(f"bench: no {latency_binary(options)}; build the target bench_latency")


def latency_binary(options):
    return options.build_dir / "bin/bench_latency"


def only_one():
    """A lock on the cache directory: two runs at once would measure each other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    lock = open(CACHE / "lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("bench: another run is under way")
    return lock


def build_type(options):
    cache = options.build_dir / "CMakeCache.txt"
    found = re.search(r"^CMAKE_BUILD_TYPE:\w+=(\w+)$", cache.read_text(), re.MULTILINE) if cache.exists() else None
    return found[1] if found else "unknown"


def machine(options):
    with open("/proc/cpuinfo", encoding="ascii") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions = {"wrk": ["wrk", "-v"], "h2load": ["h2load", "--version"], "iperf3": ["iperf3", "-v"],
                "nginx": ["/usr/sbin/nginx", "-v"]}
    tools = {}
    for name, argv in versions.items():
        said = subprocess.run(argv, capture_output=True, text=True)
        tools[name] = (said.stdout + said.stderr).splitlines()[0]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpu": f"{os.cpu_count()} × {model}",
        "commit": commit.stdout.strip(),
        "build": build_type(options),
        "tools": tools,
    }


def take_samples(options, sampler, paths):
    """Case by case, and within a case repeat by repeat, every path in turn; the order turns with each repeat.

    Returns the samples, and what each path says of itself before a case starts it anew.
    """
    samples, facts = [], {}
    for case in options.cases:
        if case in cases.RESTARTING and not facts:
            facts = ask_facts(paths)
        able = [path for path in paths if cases.fits(path, case)]
        for repeat in range(options.repeats):
            turn = repeat % max(1, len(able))
            for path in able[turn:] + able[:turn]:
                sample = in_turn(path, lambda path=path, case=case: sampler.sample(path, case))
                samples.append({"case": case, "peer": path.name, "repeat": repeat, "t": time.time(), **sample})
                report_progress(samples[-1])
    return samples, facts or ask_facts(paths)


def ask_facts(paths):
    return {path.name: in_turn(path, path.facts) for path in paths}


def in_turn(path, ask):
    """What `ask` returns while it is this path's turn, or how it failed. A turn that cannot be ended ends the run."""
    try:
        path.resume()
        return ask()
    except FAILURES as failure:
        return {"failed": str(failure) or repr(failure)}
    finally:
        path.pause()


def report_progress(sample):
    figures = [figure for figure, _, _ in table.COLUMNS[sample["case"]][1] if figure in sample]
    said = "  ".join(f"{figure} {sample[figure]:.4g}" for figure in figures[:3])
    noise = f"  foreign {sample['foreign']:.0%}" if sample.get("foreign", 0) > cases.DISTURBED else ""
    trouble = sample.get("failed") or sample.get("trouble")
    print(f"{sample['case']:9} {sample['repeat'] + 1} {sample['peer']:12} {said}{noise}" + (f"  ! {trouble}" if trouble else ""),
          file=sys.stderr, flush=True)


def main():
    options = arguments()
    check_tools(options)
    lock = only_one()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    os.sched_setaffinity(0, {load.procs.LOAD_CPU})
    run_dir = CACHE / "run"
    shutil.rmtree(run_dir, ignore_errors=True)
    run_dir.mkdir(parents=True)
    place = ground.Ground(options.build_dir, run_dir, options.other and options.other.resolve())
    origin = load.Origin(place, run_dir)
    names = [options.profile] if options.profile else options.only
    paths = [peers.ALL[name](place, CACHE, run_dir) for name in names]
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(lock.close)
        at_the_end.callback(place.down)
        place.up()
        at_the_end.callback(origin.stop)
        origin.start()
        for path in paths:
            print(f"starting {path.title}", file=sys.stderr, flush=True)
            at_the_end.callback(path.stop)
            path.start()
            path.pause()
        sampler = cases.Sampler(place, origin, latency_binary(options), options.quick, 0 if options.no_wait else 10)
        if options.profile:
            profile.profile(paths[0], sampler, options.cases[0], run_dir)
            return 0
        samples, facts = take_samples(options, sampler, paths)
    return finish(options, samples, facts, {path.name: path.title for path in paths})


def finish(options, samples, facts, titles):
    good = [sample for sample in samples if "failed" not in sample]
    table.add_differences(good)
    summary = table.summarise(good)
    where = machine(options)
    if options.json:
        whole = {"machine": where, "paths": facts, "summary": summary, "ratios": table.ratios(summary), "samples": samples}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")
    noise = sorted(sample.get("foreign", 0) for sample in good)
    print(f"{where['date']}  {where['cpu']}  Linux {where['kernel']}  commit {where['commit']}, {where['build']}")
    print(f"medians of {options.repeats} [least–most]; CPU is user and system time of both proxies together\n")
    print(table.render(summary, titles))
    for name, known in facts.items():
        if known:
            print(f"\n{titles[name]}: " + ", ".join(f"{what} {value}" for what, value in known.items()))
    if noise:
        print(f"\nnoise on the proxies' core: median {noise[len(noise) // 2]:.1%}, worst {noise[-1]:.1%} of a sample")
    failed = [sample for sample in samples if "failed" in sample]
    for sample in failed:
        print(f"FAILED {sample['peer']} {sample['case']}: {sample['failed']}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
