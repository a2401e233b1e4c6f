"""Every Python file compiles, and pyflakes finds nothing in it."""

import pathlib
import subprocess
import sys

import pytest

from tests.tidy import rules

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pyflakes(paths, cwd):
    return subprocess.run([sys.executable, "-m", "pyflakes", *paths], cwd=cwd, capture_output=True, text=True)


def test_pyflakes_finds_nothing_to_say():
    result = pyflakes(list(rules.files(ROOT, (".py",))), ROOT)
    if result.returncode != 0:
        pytest.fail(result.stdout + result.stderr, pytrace=False)


def test_pyflakes_catches_an_unused_import_and_a_file_that_does_not_compile(tmp_path):
    (tmp_path / "unused.py").write_text("import os\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "good.py").write_text("import os\n\nprint(os.name)\n")
    assert pyflakes(["unused.py"], tmp_path).returncode != 0
    assert pyflakes(["broken.py"], tmp_path).returncode != 0
    assert pyflakes(["good.py"], tmp_path).returncode == 0
