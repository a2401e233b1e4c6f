"""Fixtures of the scenario tests: one mesh for each module, and what its processes wrote beside each failure."""

import os

import pytest

from world import NODES, Mesh
from standin import between  # world has put tests/lab on the path

BETWEEN = between()


def pytest_configure(config):
    config.addinivalue_line("markers", "weir_only: needs routes, policies, limits or telemetry, which no stand-in has")
    config.addinivalue_line("markers", "proxied: cannot hold where nobody is between client and server")
    config.addinivalue_line("markers", "beyond_haproxy: a rule that HAProxy 2.6 breaks")


def pytest_collection_modifyitems(config, items):
    marks = {"weir": set(), "direct": {"weir_only", "proxied"}}.get(BETWEEN, {"weir_only", "beyond_haproxy"})
    left_out = [item for item in items if marks & {mark.name for mark in item.iter_markers()}]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="module")
def whole_mesh(request):
    """The mesh of a module. A module changes it with MESH (another class of it) and MESH_OPTIONS = {…} of class Lab."""
    mesh = getattr(request.module, "MESH", Mesh)(**getattr(request.module, "MESH_OPTIONS", {}))
    try:
        mesh.up()
        for node in mesh.lab.weirs if BETWEEN == "weir" and os.environ.get("WEIR_IO") else []:
            if mesh.lab.weir(node).alive("proxy"):  # the scenarios are to run on what was asked for
                assert mesh.lab.weir(node).metrics("proxy").total("weir_build_info", driver=os.environ["WEIR_IO"]) == 1
        yield mesh
    finally:
        mesh.down()


@pytest.fixture
def mesh(whole_mesh, request):
    """The mesh in one test: its log begins here, its policies end here."""
    whole_mesh.begin()
    request.node.weir_mesh = whole_mesh
    yield whole_mesh
    whole_mesh.end()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    mesh = getattr(item, "weir_mesh", None)
    if report.failed and mesh is not None:
        for node in [n for n in NODES if n in mesh.lab.weirs]:  # none is left when the module's end fails
            for role in ("agent", "proxy"):
                report.sections.append((f"{role} of {node}", mesh.lab.weir(node).log_tail(role, 12)))
            lines = [str(e) for e in mesh.entries(node)[-8:]] if report.when == "call" else []
            report.sections.append((f"access log of {node}", "\n".join(lines)))
