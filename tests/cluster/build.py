"""The programs of a real Kubernetes, built from Go modules into a cache: once, each of a version that is written here.

What is built comes from the folders of go/ (a go.mod and go.sum each, so that every byte is pinned) and, for Helm, from
its own module. A stamp beside each program says from what it was made: a changed pin rebuilds that program only. The
compiler is the `go` on PATH where it is new enough; Debian 12's is not, and then the Go module golang.org/toolchain is.

    build.py [PROGRAM...]      all of them when none is named; says how long each took
"""

import fcntl
import functools
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
GO = HERE / "go"
CACHE = pathlib.Path(os.environ.get("WEIR_K8S_CACHE") or pathlib.Path.home() / ".cache" / "weir" / "k8s")
BIN = CACHE / "bin"
KUBERNETES = "v1.34.4"  # the last minor release that also runs on cgroup v1
HELM = "v4.3.1"
CONFORMANCE = "v1.6.3"  # as go/conformance has it; the CRDs are of the same release
TOOLCHAIN = "1.26.0"  # what go/conformance asks for; Kubernetes itself is content with 1.24

# program: (folder of go/, package in it)
KUBE = {name: ("kubernetes", f"k8s.io/kubernetes/cmd/{name}") for name in (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")}
PROGRAMS = KUBE | {
    "etcd": ("kubernetes", "go.etcd.io/etcd/server/v3"),
    "coredns": ("coredns", "."),
    "echo": ("echo", "."),
    "echo-basic": ("conformance", "sigs.k8s.io/gateway-api/conformance/echo-basic"),
    "conformance": ("conformance", "."),  # a test program: go test -c
    "helm": (None, f"helm.sh/helm/v4/cmd/helm@{HELM}"),
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


class BuildError(Exception):
    """A program could not be had; the message is for a person."""


class Unreachable(BuildError):
    """It could not be had because Go's registry does not answer, or does not have it."""


# No answer, or the answer of a mirror that does not have everything.
SILENCE = re.compile(r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake timeout|network is unreachable|"
                     r"40[34] (Not Found|Forbidden)|410 Gone|50[234] ")


def failed(what, said):
    kind = Unreachable if SILENCE.search(said) else BuildError
    return kind(f"{what}: {said[-4000:].strip()}")


def go_version(go):
    told = subprocess.run([go, "version"], capture_output=True, text=True).stdout
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", told)
    return tuple(int(part or 0) for part in found.groups()) if found else (0, 0, 0)


@functools.cache
def go():
    """The path of a Go that is new enough."""
    wanted = tuple(map(int, TOOLCHAIN.split(".")))
    here = shutil.which("go") or "/usr/lib/go/bin/go"
    if go_version(here) >= wanted:
        return here
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    module = f"golang.org/toolchain@v0.0.1-go{TOOLCHAIN}.linux-{machine}"
    done = subprocess.run([here, "mod", "download", "-json", module], capture_output=True, text=True, cwd="/",
                          env=os.environ | {"GOFLAGS": "-mod=mod"})
    if done.returncode != 0:
        raise failed(f"Go {TOOLCHAIN}", done.stderr or done.stdout)
    directory = pathlib.Path(json.loads(done.stdout)["Dir"])
    for tool in [*(directory / "bin").iterdir(), *(directory / "pkg" / "tool").glob("*/*")]:
        tool.chmod(0o755)  # A module's zip has no execute bits.
    return str(directory / "bin" / "go")


def environment():
    return os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}


def kubernetes_flags():
    """kubelet, kubectl and the API server tell each other their version: a build without one is refused by the others."""
    minor = KUBERNETES.split(".")[1]
    told = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean",
            "gitCommit": "0" * 40, "buildDate": "2026-01-01T00:00:00Z"}
    return " ".join(f"-X {package}.{key}={value}" for package in
                    ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version") for key, value in told.items())


def command_of(program, target):
    """(argv, directory) that builds a program into target."""
    folder, package = PROGRAMS[program]
    flags = "-s -w" + (f" {kubernetes_flags()}" if folder == "kubernetes" else "")
    if folder is None:
        return [go(), "install", "-trimpath", "-ldflags", flags, package], None
    verb = ["test", "-c"] if program == "conformance" else ["build"]
    return [go(), *verb, "-trimpath", "-ldflags", flags, "-o", target, package], GO / folder


def stamp_of(program):
    """What the program is made from: the command and every file of its folder."""
    argv, directory = command_of(program, "")
    digest = hashlib.sha256(json.dumps(argv[1:]).encode())
    for path in sorted(directory.rglob("*")) if directory else ():
        if path.is_file():
            digest.update(path.relative_to(directory).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def module(name, version):
    """The directory of a module's files in Go's module cache."""
    done = subprocess.run([go(), "mod", "download", "-json", f"{name}@{version}"], cwd="/", capture_output=True, text=True,
                          env=environment() | {"GOFLAGS": "-mod=mod"})
    if done.returncode != 0:
        raise failed(f"{name}@{version}", done.stderr or done.stdout)
    return pathlib.Path(json.loads(done.stdout)["Dir"])


def gateway_api_crds(version, channel):
    """The manifests of a Gateway API release, without the policy that refuses to go back a release or a channel."""
    directory = module("sigs.k8s.io/gateway-api", version) / "config" / "crd" / channel
    return [path for path in directory.glob("gateway*.yaml") if "vap_safeupgrades" not in path.name]


def build(programs=PROGRAMS, say=lambda text: None):
    """Builds what is missing or stale; returns the directory of the programs."""
    BIN.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:  # Test runs of several checkouts share the cache.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for program in programs:
            target, stamp = BIN / program, BIN / f".{program}"
            wanted = stamp_of(program)
            if target.exists() and stamp.exists() and stamp.read_text() == wanted:
                continue
            begun = time.monotonic()
            fresh = BIN / f".{program}.new"
            argv, directory = command_of(program, fresh)
            done = subprocess.run(["nice", *map(str, argv)], cwd=directory or CACHE, capture_output=True, text=True,
                                  env=environment() | {"GOBIN": str(CACHE / "gobin")})
            if done.returncode != 0:
                raise failed(program, done.stderr)
            if directory is None:
                (CACHE / "gobin" / program).replace(fresh)
            fresh.replace(target)  # A running program keeps its old file.
            stamp.write_text(wanted)
            say(f"{program}: {time.monotonic() - begun:.0f} s, {target.stat().st_size / 1e6:.0f} MB")
    return BIN


if __name__ == "__main__":
    try:
        build(sys.argv[1:] or PROGRAMS, say=lambda text: print(text, file=sys.stderr, flush=True))
    except BuildError as error:
        sys.exit(f"build.py: {error}")
