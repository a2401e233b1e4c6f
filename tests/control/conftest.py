"""Fixtures of the control tier: a real kube-apiserver for each module."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

import build  # noqa: E402
from control_plane import ControlPlane  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def programs():
    """Builds the control plane, once for all: minutes on a new machine, nothing after that."""
    try:
        build.build(build.CONTROL_PLANE, say=print)
    except build.Unreachable as error:
        pytest.skip(f"machine lacks a way to Go's registry: {str(error)[-200:]}")


@pytest.fixture(scope="module")
def control_plane():
    """The control plane of a module: started in a few seconds, ended with it. A module that breaks it makes its own."""
    with ControlPlane() as made:
        yield made


@pytest.fixture(scope="module")
def gateway_api(control_plane):
    """The same, with the Gateway API's CRDs."""
    control_plane.install_gateway_api()
    return control_plane
