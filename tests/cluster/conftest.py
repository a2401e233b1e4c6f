"""Fixtures of the cluster tier: the cluster that `./dev cluster up` made, Weir on it, and a namespace for each module."""

import json

import pytest

from cluster import REPOSITORY, Cluster, install_weir
from mesh import Mesh
from space import Space


@pytest.fixture(scope="session")
def cluster():
    made = Cluster()
    assert made.running(), "no cluster runs: ./dev cluster test makes one, or ./dev cluster up first"
    return made


@pytest.fixture(scope="session")
def mesh(cluster):
    """Weir, installed: what its processes say."""
    made = Mesh(cluster)
    if not made.installed():
        install_weir(cluster)
    made.wait_ready()
    return made


@pytest.fixture(scope="module")
def space(cluster, mesh, request):
    """An enrolled namespace of the module, named after its file."""
    with Space(cluster, request.module.__name__.replace("test_", "").replace("_", "-")) as made:
        yield made


@pytest.fixture(scope="session")
def figures():
    """Takes (what, seconds of each try); all of them are printed at the end and kept in build/cluster-figures.json."""
    taken = {}
    yield lambda what, seconds: taken.update({what: sorted(round(second, 3) for second in seconds)})
    for what, seconds in taken.items():
        print(f"\n{what}: median {seconds[len(seconds) // 2]} s, largest {seconds[-1]} s, of {len(seconds)}")
    (REPOSITORY / "build").mkdir(exist_ok=True)
    (REPOSITORY / "build" / "cluster-figures.json").write_text(json.dumps(taken, indent=1))


@pytest.fixture(autouse=True)
def said_by_weir(request):
    """What proxies and agents logged during a test that failed."""
    yield
    report = getattr(request.node, "weir_report", None)
    if report is not None and report.failed and "mesh" in request.fixturenames:
        request.node.add_report_section("call", "Weir", request.getfixturevalue("mesh").said())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.weir_report = outcome.get_result()
