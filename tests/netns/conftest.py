"""Fixtures of the scenario tests: one mesh for each module, and what its processes wrote beside each failure."""

import pytest

from world import NODES, Mesh


@pytest.fixture(scope="module")
def whole_mesh(request):
    """The mesh of a module. A module changes it with MESH_OPTIONS = {…}, options of class Lab."""
    mesh = Mesh(**getattr(request.module, "MESH_OPTIONS", {}))
    try:
        yield mesh.up()
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
        for node in NODES:
            for role in ("agent", "proxy"):
                report.sections.append((f"{role} of {node}", mesh.lab.weir(node).log_tail(role, 12)))
            lines = [str(e) for e in mesh.entries(node)[-8:]] if report.when == "call" else []
            report.sections.append((f"access log of {node}", "\n".join(lines)))
