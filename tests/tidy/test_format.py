"""clang-format-19 with the root's .clang-format finds nothing to change in any C or C++ file."""

import pathlib
import shutil
import subprocess

import pytest

from tests.tidy import rules

ROOT = pathlib.Path(__file__).resolve().parents[2]


def clang_format(paths, cwd):
    return subprocess.run(["clang-format-19", f"--style=file:{ROOT}/.clang-format", "--dry-run", "--Werror",
                           "--ferror-limit=1", *paths], cwd=cwd, capture_output=True, text=True)


def test_every_file_is_formatted():
    assert shutil.which("clang-format-19"), "clang-format-19 is missing: ./dev deps"
    result = clang_format(list(rules.files(ROOT, rules.CPP)), ROOT)
    found = "\n".join(line for line in result.stderr.splitlines() if "error:" in line) or result.stderr
    if result.returncode != 0:
        pytest.fail(f"To repair, clang-format-19 -i FILE:\n{found}", pytrace=False)


def test_a_file_that_is_not_formatted_is_caught(tmp_path):
    (tmp_path / "bad.cc").write_text("int  f( ){return 1 ;}\n")
    (tmp_path / "good.cc").write_text("int f() { return 1; }\n")
    assert clang_format(["bad.cc"], tmp_path).returncode != 0
    assert clang_format(["good.cc"], tmp_path).returncode == 0
