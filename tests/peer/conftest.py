"""Fixtures of the suites."""

import pytest

from suites import Suites


@pytest.fixture(scope="module")
def suites():
    made = Suites()
    try:
        yield made.up()
    finally:
        made.lab.down()
