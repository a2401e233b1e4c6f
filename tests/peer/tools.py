"""The programs of the suites: built once into build/tools, each of a version that is written here.

Go's come from its module registry, by Debian's golang-go or any newer go; Ruby's from the package ruby-grpc, which holds
gRPC's own interop programs. What Debian packages otherwise is used where it is. A registry that cannot be reached skips
the tests that need it, and says so; whatever else fails, fails.
"""

import fcntl
import os
import pathlib
import re
import shutil
import subprocess

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BIN = REPOSITORY / "build" / "tools" / "bin"
# The released 2.6.0. Later commits of h2spec are not in the registry; what they changed is told in test_h2spec.py.
H2SPEC = "v0.0.0-20200804131034-70ac22940108"
GRPC_GO = "v1.64.1"  # the newest that Go 1.19, Debian's, can build
GO = {
    "h2spec": ("github.com/summerwind/h2spec/cmd/h2spec", H2SPEC),
    "h2specd": ("github.com/summerwind/h2spec/cmd/h2specd", H2SPEC),
    "grpc-interop-client": ("google.golang.org/grpc/interop/client", GRPC_GO),
    "grpc-interop-server": ("google.golang.org/grpc/interop/server", GRPC_GO),
}
UNREACHABLE = re.compile(r"dial tcp|no such host|i/o timeout|connection refused|TLS handshake timeout|network is unreachable")


def go(name):
    """The path of a Go program, built if it is not there in its version."""
    package, version = GO[name]
    target, stamp = BIN / name, BIN / f".{name}-{version}"
    BIN.mkdir(parents=True, exist_ok=True)
    with open(BIN / ".lock", "w") as lock:  # Suites may be started at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and target.exists():
            return target
        place = BIN.parent / "go" / name
        done = subprocess.run(["go", "install", f"{package}@{version}"], env=os.environ | {"GOBIN": str(place)},
                              capture_output=True, text=True)
        if done.returncode != 0:
            if UNREACHABLE.search(done.stderr):
                pytest.skip(f"machine lacks a way to Go's registry: {done.stderr.strip()[-200:]}")
            raise RuntimeError(f"go install {package}@{version}:\n{done.stderr}")
        (place / pathlib.Path(package).name).replace(target)
        for old in BIN.glob(f".{name}-v*"):
            old.unlink()
        stamp.touch()
    return target


def grpc_ruby():
    """The directory of Ruby's interop client.rb and server.rb, linked to where the manifests look for it."""
    told = subprocess.run(["ruby", "-e", "puts Gem::Specification.find_by_name('grpc').full_gem_path"],
                          capture_output=True, text=True, check=True).stdout.strip()
    link = BIN / "grpc-ruby"
    BIN.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(pathlib.Path(told) / "src" / "ruby" / "pb" / "test")
    return link


def debian(name):
    """The path of a program that a package of ./dev's list brings."""
    found = shutil.which(name)
    assert found, f"{name} is not installed: ./dev deps"
    return found
