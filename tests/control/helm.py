"""The chart, as Helm renders it."""

import hashlib
import os
import pathlib
import subprocess

import build
import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CHART = REPOSITORY / "charts" / "weir"
GATEWAY = [
    "--api-versions",
    "gateway.networking.k8s.io/v1/HTTPRoute",
    "--api-versions",
    "gateway.networking.k8s.io/v1/GRPCRoute",
]


class HelmRefused(Exception):
    """Helm failed; the message is what it said."""


def helm(*arguments, config=None, timeout=120):
    """What Helm printed."""
    build.build(["helm"])
    done = subprocess.run(
        [build.BIN / "helm", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"KUBECONFIG": str(config or "/dev/null")},
    )
    if done.returncode != 0:
        raise HelmRefused(done.stderr + done.stdout)
    return done.stdout


def template(*arguments, namespace="weir-system", gateway=True):
    """The objects that an installation makes, hooks included."""
    text = helm("template", "weir", CHART, "--namespace", namespace, *(GATEWAY if gateway else []), *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


def named(objects, kind, name):
    """The one object of that kind and name."""
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def told(objects):
    """Objects as text for a golden file: ordered, and whole files within ConfigMaps by their hash."""

    def short(value):
        if isinstance(value, dict):
            return {key: short(below) for key, below in value.items()}
        if isinstance(value, list):
            return [short(below) for below in value]
        if isinstance(value, str) and value.count("\n") > 20:
            return f"sha256 {hashlib.sha256(value.encode()).hexdigest()}"
        return value

    ordered = sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))
    return yaml.safe_dump_all([short(one) for one in ordered], sort_keys=True, width=120)
