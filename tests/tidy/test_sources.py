"""Runs every rule of rules.py over the project's own files: one test per rule, which lists all that it found."""

import pathlib

import pytest

from tests.tidy import rules

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = list(rules.files(ROOT, rules.CPP + (".py", ".proto", "CMakeLists.txt"))) + ["dev"]


@pytest.mark.parametrize("rule", rules.FILE_RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule):
    found = [complaint for path in SOURCES for complaint in rule(path, (ROOT / path).read_text())]
    if found:
        pytest.fail("\n".join(found), pytrace=False)


@pytest.mark.parametrize("rule", rules.TREE_RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule):
    found = rule(ROOT)
    if found:
        pytest.fail("\n".join(found), pytrace=False)
