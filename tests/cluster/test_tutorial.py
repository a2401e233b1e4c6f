"""README's section "On a cluster", done as written: each command is run, and must print what the README says.

In a block ```console, a line "$ COMMAND" is run by a shell of the repository's directory with the environment of `./dev
cluster shell`; the lines below it are what is to be expected, where … stands for anything. A command is repeated for some
seconds until it fits, as a person would; one that applies something is not.
"""

import re
import subprocess

from cluster import REPOSITORY
from space import until

PATIENCE = 20


def steps():
    """(command, expected output) of the section, in order."""
    section = re.search(r"^## On a cluster\n(.*?)^## ", (REPOSITORY / "README.md").read_text(), re.M | re.S)[1]
    for block in re.findall(r"^```console\n(.*?)^```", section, re.M | re.S):
        for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, expected = step.partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command = command[:-1] + more
            yield command, expected.strip()


def fits(expected, output):
    """Whether the output is what was expected; runs of blanks count as one, as columns differ."""
    def parts(text):
        return re.sub(r"[ \t]+", " ", text.strip())
    pattern = ".*?".join(re.escape(part) for part in parts(expected).split("…"))
    return re.fullmatch(pattern, parts(output), re.S) is not None


def test_an_expectation_fits_only_what_it_says():
    assert fits("a  b\nc…d", "a b\ncxxd\n")
    assert not fits("a b", "a b c") and not fits("", "anything")


def test_every_command_of_the_tutorial_prints_what_it_says(cluster, mesh):
    known = [step for step in steps() if not step[0].startswith("./dev cluster")]
    assert len(known) > 8
    cluster.kubectl("delete", "namespace", "shop", "elsewhere", "--ignore-not-found", timeout=120)
    try:
        for command, expected in known:
            def done():
                told = subprocess.run(command, shell=True, cwd=REPOSITORY, env=cluster.environment(), text=True, timeout=120,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, executable="/bin/bash").stdout
                assert fits(expected, told), f"$ {command}\nexpected:\n{expected}\nprinted:\n{told}"
            if re.search(r"\b(apply|label|helm)\b", command):
                done()
            else:
                until(done, PATIENCE, command)
    finally:
        cluster.kubectl("delete", "namespace", "shop", "elsewhere", "--ignore-not-found", "--wait=false")
