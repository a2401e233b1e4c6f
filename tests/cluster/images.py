"""The images that a test cluster needs besides Weir's, made from the built programs and from Debian's: no registry.

    localhost/pause:1     the sandbox of every pod
    localhost/coredns:1   the cluster's DNS
    localhost/echo:1      the application of the tests (go/echo), also under the names that the Gateway API's conformance
                          manifests use, which are read from its module; likewise echo-basic
    localhost/tools:1     a shell, curl and busybox's applets
"""

import pathlib
import re
import shutil
import subprocess
import sys

import build

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "image"))

import archive  # noqa: E402
from rootfs import ImageError, Tree  # noqa: E402

IMAGES = build.CACHE / "images"
PAUSE = pathlib.Path(__file__).with_name("pause.c")


def conformance_names(image):
    """The names under which the conformance suite's manifests ask for an image."""
    manifests = build.module("sigs.k8s.io/gateway-api/conformance", build.CONFORMANCE)
    found = re.compile(rf"image: (\S+/{image}:\S+)")
    return sorted({name for path in manifests.rglob("*.yaml") for name in found.findall(path.read_text())})


def pause():
    target = build.CACHE / "pause"
    subprocess.run(["gcc", "-O2", "-s", "-static", "-o", target, PAUSE], check=True)
    tree = Tree()
    tree.file(target, "/pause", 0o755)
    return tree


def only(program, path):
    """A tree of one static program."""
    tree = Tree()
    tree.file(build.BIN / program, path, 0o755)
    return tree


def tools():
    tree = Tree()
    found = {name: shutil.which(name) for name in ("busybox", "curl", "dash")}
    if missing := [name for name, path in found.items() if not path]:
        raise ImageError(f"not installed: {', '.join(missing)}: ./dev cluster up installs them")
    for name, path in found.items():
        tree.program(path, f"/bin/{name}")
    applets = subprocess.run([found["busybox"], "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if applet not in found:
            tree.link(f"/bin/{applet}", "busybox")
    tree.link("/bin/sh", "dash")  # busybox's own sh prefers its applets to everything on PATH
    tree.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    tree.text("/etc/nsswitch.conf", "hosts: files dns\n")
    tree.directory("/tmp", 0o1777)
    tree.directory("/root", 0o700)
    return tree


def make(say=lambda text: None):
    """Writes every image that is missing or older than what it is made of; their directory."""
    echo = only("echo", "/usr/local/bin/server")
    echo.link("/usr/local/bin/client", "server")
    wanted = {
        "pause": (["localhost/pause:1"], pause, {"entrypoint": "/pause", "user": "65535:65535"}),
        "coredns": (["localhost/coredns:1"], lambda: only("coredns", "/coredns"), {"entrypoint": "/coredns"}),
        "echo": (["localhost/echo:1", *conformance_names("echo-advanced")], lambda: echo,
                 {"entrypoint": "/usr/local/bin/server", "user": "65532:65532"}),
        "echo-basic": (["localhost/echo-basic:1", *conformance_names("echo-basic")],
                       lambda: only("echo-basic", "/echo-basic"), {"entrypoint": "/echo-basic", "user": "65532:65532"}),
        "tools": (["localhost/tools:1"], tools, {"command": ["/bin/sh"]}),
    }
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, (names, tree, how) in wanted.items():
        target = IMAGES / f"{name}.tar"
        sources = [pathlib.Path(__file__), PAUSE, build.BIN / name]
        if target.exists() and all(not s.exists() or s.stat().st_mtime <= target.stat().st_mtime for s in sources):
            continue
        archive.write(target, names, tree(), **how)
        say(f"{names[0]}: {target.stat().st_size / 1e6:.0f} MB")
    return IMAGES
