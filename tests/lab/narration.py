"""How a demo tells what it does: commands with their outputs, and claims that are checked.

A step is a function with a title; a claim that does not hold ends its step, not the demo. Colours only on a terminal.
"""

import shlex
import sys
import time

from weir import REPOSITORY

NAME = "demo"
DIRECTORY = REPOSITORY / "tests" / "lab" / "demo"
BOLD, DIM, RED, GREEN, PLAIN = ("\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[0m") if sys.stdout.isatty() else [""] * 5


class Claim(Exception):
    """What a step said is not so."""


def claim(true, text):
    if not true:
        raise Claim(text)
    print(f"{GREEN}  ✓ {text}{PLAIN}", flush=True)


def step_of(steps):
    """A decorator that marks functions as steps, with their titles."""
    def step(title):
        def add(function):
            steps.append((title, function))
            return function
        return add
    return step


def say(text):
    print(f"{text}", flush=True)


def show(text, lines_max=16):
    lines = text.rstrip("\n").splitlines()
    for line in lines[:lines_max]:
        print(f"  {line[:220]}")
    if len(lines) > lines_max:
        print(f"  {DIM}… {len(lines) - lines_max} more lines{PLAIN}")
    sys.stdout.flush()


def command_of(where, argv):
    verb = f"node {where.removeprefix('node:')}" if where.startswith("node:") else f"exec {where}"
    return f"./dev lab --name {NAME} {verb} {shlex.join(argv)}"


def run(lab, where, *argv, timeout=20, quiet=False, lines_max=16):
    """Runs a command in a pod or on a node, prints both, and returns what it wrote."""
    print(f"{DIM}$ {command_of(where, argv)}{PLAIN}", flush=True)
    done = lab.exec(where, list(argv), timeout=timeout)
    text = done.stdout + done.stderr
    if not quiet:
        show(text, lines_max)
    return text


def weirctl(lab, node, *arguments):
    done = lab.weir(node).weirctl(*arguments)
    print(f"{DIM}$ {shlex.join(done.args)}{PLAIN}", flush=True)
    show(done.stdout, 30)
    return done


def wait_for(what, check, timeout=30):
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise Claim(f"{what}: not within {timeout} s")
        time.sleep(0.1)
