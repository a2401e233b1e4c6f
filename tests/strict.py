"""A pytest plugin for every Python tier: what a skipped test means.

A test may skip only because the machine lacks a feature, and then its reason begins with "machine lacks". Any other
skip is a failure when CI is set: a tier that quietly runs nothing is the worst kind of green. When all that was
collected skipped, the exit status is 77, which ctest reports as skipped, not as passed.
"""

import os

import pytest

ALLOWED = "machine lacks"


class Tally:
    """Counts what ran and what skipped, and has the last word on the exit status."""

    def __init__(self):
        self.ran = 0
        self.skipped = []

    def pytest_runtest_logreport(self, report):
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.skipped.append((report.nodeid, reason.removeprefix("Skipped: ")))
        elif report.when == "call" or report.failed:
            self.ran += 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session, exitstatus):
        if exitstatus != pytest.ExitCode.OK:
            return
        wrong = [name for name, reason in self.skipped if not reason.startswith(ALLOWED)]
        if wrong and os.environ.get("CI"):
            print("\nSkipped, though the machine has what they need:", *wrong, sep="\n  ")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif self.skipped and not self.ran:
            session.exitstatus = 77


def pytest_configure(config):
    config.pluginmanager.register(Tally(), "weir-tally")
