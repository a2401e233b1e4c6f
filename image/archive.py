"""A container image as one tar file, written without a container engine or a registry, the same bytes for the same files.

The form is that of `docker save`, which docker, podman and containerd (`ctr images import`) all load: one layer, a
configuration named by its digest, and a manifest with the names.
"""

import hashlib
import io
import json
import pathlib
import platform
import tarfile

PATH = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def layer_of(tree):
    """The tar of a Tree: sorted, owned by root, without times."""
    out = io.BytesIO()
    entries = dict(tree.entries)
    for path in list(entries):
        for parent in list(pathlib.PurePosixPath(path).parents)[:-1]:
            entries.setdefault(str(parent), (None, 0o755))
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, (made, mode) in sorted(entries.items()):
            info = tarfile.TarInfo(path)
            info.mode = mode or 0o777
            if made is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            elif isinstance(made, str):
                info.type, info.linkname = tarfile.SYMTYPE, made
                tar.addfile(info)
            else:
                content = made if isinstance(made, bytes) else made.read_bytes()
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def write(target, names, tree, entrypoint=None, command=None, user="", labels=None):
    """Writes the image `names` (repository:tag, …) to target; the digest of its configuration, by which it is known."""
    layer = layer_of(tree)
    diff = hashlib.sha256(layer).hexdigest()
    configuration = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()], "os": "linux",
        "created": "1970-01-01T00:00:00Z", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "weir"}],
        "config": {"Entrypoint": [entrypoint] if entrypoint else None, "Cmd": command, "User": user, "WorkingDir": "/",
                   "Env": [PATH], "Labels": labels or {}}}, sort_keys=True).encode()
    digest = hashlib.sha256(configuration).hexdigest()
    manifest = [{"Config": f"{digest}.json", "RepoTags": list(names), "Layers": [f"{diff}/layer.tar"]}]
    target = pathlib.Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    with tarfile.open(fresh, "w") as out:
        for name, content in ((f"{digest}.json", configuration), (f"{diff}/layer.tar", layer),
                              ("manifest.json", json.dumps(manifest).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    fresh.replace(target)
    return digest
