"""Fixtures of the suites, which are collected when WEIR_HTTP says who stands between client and server."""

import pytest

from suites import Suites, between

SUITES = ("test_h2spec.py", "test_grpc_interop.py", "test_websocket.py")


def pytest_ignore_collect(collection_path):
    return True if collection_path.name in SUITES and not between() else None


@pytest.fixture(scope="module")
def suites():
    made = Suites()
    try:
        yield made.up()
    finally:
        made.lab.down()
