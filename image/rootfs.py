"""The files of a container image: programs, the shared libraries they load and nothing else. No shell, no package manager;
of Debian's programs only `install`, with which an init container puts the seccomp profile on the node.

The same few files whether they are collected in a Dockerfile's build stage or on a developer's machine by ./dev image,
from the same packages of Debian 12. /usr/share/weir/packages in the image names each of those and its version.

    rootfs.py node|controller PROGRAMS DIRECTORY     lays the files of an image out in DIRECTORY
"""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile

USER = 65532  # `weir` in the image; the node's two containers run as root, with few capabilities
# image: (programs, entry point, user)
IMAGES = {
    "node": (("weir-proxy", "weir-agent", "weirctl", "weir-cni", "weir-keep"), None, "0:0"),
    "controller": (("weir-controller",), "/usr/local/bin/weir-controller", f"{USER}:{USER}"),
}
PASSWD = f"""root:x:0:0:root:/:/sbin/nologin
weir:x:{USER}:{USER}:weir:/:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
"""
GROUP = f"root:x:0:\nweir:x:{USER}:\nnogroup:x:65534:\n"


class ImageError(Exception):
    """An image cannot be made; the message is for a person."""


class Tree:
    """What an image holds: path in the image → a file to copy, bytes, or a link's target; and modes."""

    def __init__(self):
        self.entries = {}

    def directory(self, path, mode=0o755):
        self.entries.setdefault(path.strip("/"), (None, mode))

    def text(self, path, text, mode=0o644):
        self.entries[path.strip("/")] = (text.encode(), mode)

    def link(self, path, target):
        self.entries[path.strip("/")] = (target, None)

    def file(self, source, path=None, mode=None):
        source = pathlib.Path(source)
        self.entries[str(path or source).strip("/")] = (source.resolve(), mode or stat.S_IMODE(source.stat().st_mode))

    def program(self, source, path):
        """A program and what it loads."""
        self.file(source, path, 0o755)
        for library in libraries(source):
            self.file(library)

    def built(self, source, path):
        """A program of ours, without what only a debugger reads, and what it loads."""
        with tempfile.NamedTemporaryFile() as stripped:
            subprocess.run(["strip", "--strip-unneeded", "-o", stripped.name, source], check=True)
            self.entries[path.strip("/")] = (pathlib.Path(stripped.name).read_bytes(), 0o755)
        for library in libraries(source):
            self.file(library)

    def packages(self):
        """Debian's packages that files come from, with their versions."""
        sources = sorted({str(made) for made, _ in self.entries.values() if isinstance(made, pathlib.Path)})
        told = subprocess.run(["dpkg", "-S", *merged_usr(sources)], capture_output=True, text=True).stdout
        names = sorted({line.split(": ")[0] for line in told.splitlines() if ": " in line and "diversion" not in line})
        form = "${binary:Package} ${Version}\\n"
        return subprocess.run(["dpkg-query", "-W", "-f", form, *names], capture_output=True, text=True).stdout if names else ""


def merged_usr(paths):
    """Each path as dpkg may know it: /usr/lib/x and, from before /usr was merged, /lib/x."""
    for path in paths:
        yield path
        if path.startswith("/usr/lib"):
            yield path.removeprefix("/usr")


def libraries(program):
    """The paths that the loader opens for a program; none for a static one."""
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True)
    if "not found" in done.stdout:
        raise ImageError(f"{program}: {done.stdout}")
    return sorted(set(re.findall(r"(/\S+) \(0x", done.stdout))) if done.returncode == 0 else []


def weir(image, programs):
    """The tree of one of Weir's images, from a directory with the built programs."""
    tree = Tree()
    for name in IMAGES[image][0]:
        if not (pathlib.Path(programs) / name).exists():
            raise ImageError(f"{programs}/{name} is not built")
        tree.built(pathlib.Path(programs) / name, f"/usr/local/bin/{name}")
    if image == "node":
        tree.program("/usr/bin/install", "/usr/bin/install")
    tree.text("/etc/passwd", PASSWD)
    tree.text("/etc/group", GROUP)
    tree.text("/etc/nsswitch.conf", "hosts: files dns\n")
    tree.directory("/tmp", 0o1777)
    for directory in ("/proc", "/sys", "/dev", "/run"):
        tree.directory(directory)
    linked = sorted(pathlib.Path(programs).resolve().parents[1].glob("boringssl-*/LICENSE")) if image == "node" else []
    for licence in linked:  # BoringSSL is in weir-proxy itself
        tree.text(f"/usr/share/weir/{licence.parent.name}.LICENSE", licence.read_text())
    sources = "".join(f"{licence.parent.name.replace('-', ' ')} (linked statically)\n" for licence in linked)
    tree.text("/usr/share/weir/packages", tree.packages() + sources)
    return tree


def lay_out(tree, directory):
    for path, (made, mode) in sorted(tree.entries.items()):
        target = pathlib.Path(directory) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if made is None:
            target.mkdir(exist_ok=True)
        elif isinstance(made, bytes):
            target.write_bytes(made)
        elif isinstance(made, str):
            target.symlink_to(made)
            continue
        else:
            shutil.copyfile(made, target)
        os.chmod(target, mode)


if __name__ == "__main__":
    try:
        lay_out(weir(sys.argv[1], sys.argv[2]), sys.argv[3])
    except ImageError as error:
        sys.exit(f"rootfs.py: {error}")
