"""The garden: nothing that comes out of the proxy may mean two things to two real servers or clients, and all that is valid
must pass. The garden itself is tried on a proxy that only moves bytes, which it must find out, and on HAProxy.

The proxy is Weir's, in a mesh of two nodes; WEIR_GARDEN says how many mutations (10,000 requests unless it does, a third as
many responses). The seed is printed: `garden.py --seed S` does it again.
"""

import os
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import grammar  # noqa: E402
import response_grammar  # noqa: E402
from garden import Garden  # noqa: E402
from ground import Ground  # noqa: E402
from replay import Jury, Reading, Verdict, contradictions, miscounts, same_host  # noqa: E402
from response_garden import ResponseGarden  # noqa: E402
from response_jury import Clients, differences, strictly  # noqa: E402
from servers import NAMES, Servers  # noqa: E402
from standin import between  # noqa: E402

MUTATIONS = int(os.environ.get("WEIR_GARDEN", 10_000))
# The same mutations in every run of CI, so that a change is judged by what it changed; new ones when more are asked for.
SEED = os.environ.get("WEIR_GARDEN_SEED", "" if "WEIR_GARDEN" in os.environ else "20261125")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    place = tmp_path_factory.mktemp("servers")
    for directory in [place, *place.parents][:4]:  # Apache's workers are not root, and must get there.
        directory.chmod(0o755)
    with Servers(place) as started:
        yield started


@pytest.fixture
def grow(servers, tmp_path):
    """Runs a garden through a proxy: (the garden, complaints about the valid corpus)."""
    def run(kind, mutations, say=None):
        seed = SEED or str(random.randrange(1 << 32))
        print(f"seed {seed}")
        with Ground(kind, tmp_path) as ground:
            garden = Garden(ground, Jury(servers.ports), seed, say)
            complaints = garden.check_valid()
            garden.run(range(mutations))
        print(garden.summary())
        return garden, complaints
    return run


@pytest.fixture
def answer(tmp_path):
    """The same for responses."""
    def run(kind, mutations, say=None):
        seed = SEED or str(random.randrange(1 << 32))
        print(f"seed {seed}")
        with Clients(tmp_path / "clients") as clients, Ground(kind, tmp_path / "ground", "origin.py") as ground:
            garden = ResponseGarden(ground, clients, seed, say)
            complaints = garden.check_valid()
            garden.run(range(mutations))
        print(garden.summary())
        return garden, complaints
    return run


# --- Weir ----------------------------------------------------------------------------------------------------------
if between() == "weir":
    def test_no_two_servers_disagree_on_what_weir_forwards_and_nothing_valid_is_refused(grow):
        garden, complaints = grow("weir", MUTATIONS, print)
        assert not complaints, "\n".join(complaints)
        assert not garden.disagreements, garden.summary()

    def test_no_two_clients_disagree_on_the_answers_that_weir_forwards(answer):
        garden, complaints = answer("weir", MUTATIONS // 3, print)
        assert not complaints, "\n".join(complaints)
        assert not garden.disagreements, garden.summary()


# --- The garden itself -----------------------------------------------------------------------------------------------
def test_a_proxy_that_only_moves_bytes_is_found_out(grow):
    garden, complaints = grow("relay", len(grammar.SEEDS))
    assert not complaints
    assert len(garden.disagreements) >= 25 and len(garden.unwanted) >= 100, garden.summary()


def test_haproxy_lets_little_through_and_refuses_nothing_valid(grow):
    garden, complaints = grow("haproxy", 1500)
    assert not complaints
    assert len(garden.disagreements) <= 10, garden.summary()
    assert garden.counts["accepted"] > 200 and garden.counts["refused"] > 500


def test_clients_find_out_a_proxy_that_only_moves_bytes(answer):
    garden, complaints = answer("relay", 300)
    assert not complaints
    assert len(garden.disagreements) >= 100, garden.summary()


def test_haproxy_forwards_every_valid_response(answer):
    garden, complaints = answer("haproxy", len(response_grammar.SEEDS))
    assert not complaints
    assert 0 < len(garden.disagreements) < 60, garden.summary()


def test_every_server_takes_the_valid_corpus_for_the_same(servers):
    jury = Jury(servers.ports)
    for count, stream in grammar.VALID:
        readings = jury.run(jury.readings(stream))
        assert not contradictions(readings) and not miscounts(readings), readings
        assert sum(r.complete and len(r.entries) == count for r in readings.values()) >= len(NAMES) - 1, (stream, readings)


def test_a_mutation_depends_on_its_seed_and_number_alone():
    made = [grammar.mutated("7", number) for number in range(2000)]
    assert made == [grammar.mutated("7", number) for number in range(2000)]
    assert len(set(made)) > 1800 and made[1000:] != [grammar.mutated("8", number) for number in range(1000, 2000)]


def reading(*entries, complete=True, end="closed"):
    made = Reading(b"", end)
    made.entries, made.complete = list(entries), complete
    return made


GET, POST = ("GET", "/", "a", 0, ""), ("POST", "/", "a", 4, "x")


@pytest.mark.parametrize("readings", [
    [reading(GET), reading(POST)],
    [reading(GET), reading(GET, GET)],
    [reading(GET, 400, complete=False), reading(POST, GET)],
    [reading(GET), reading(complete=False, end="silent")],
    [reading(GET), reading(GET, GET, 400, complete=False)],
    [reading(GET), reading(GET, "itself", complete=False)]], ids=["opinion", "count", "before", "waits", "more", "by itself"])
def test_servers_that_differ_are_found(readings):
    named = dict(zip("ab", readings))
    assert contradictions(named) + miscounts(named)


@pytest.mark.parametrize("readings", [
    [reading(GET), reading(GET)],
    [reading(GET, POST), reading(GET, 400, complete=False)],
    [reading(400, complete=False), reading(GET)],
    [reading(501, GET), reading(POST, GET)],
    [reading("itself", GET), reading(POST, GET)],
    [reading("itself", complete=False), reading(POST, GET)]], ids=["same", "stopped", "refused", "limit", "itself", "leaves"])
def test_servers_that_only_refuse_do_not_differ(readings):
    named = dict(zip("ab", readings))
    assert not contradictions(named) + miscounts(named)


def test_two_writings_of_one_host_are_the_same_and_no_others():
    assert same_host("[::01]:8080") == same_host("[0:0::1]:8080") == "[::1]:8080"
    assert same_host(" A.example:80") == same_host("a.EXAMPLE") == "a.example"
    others = ("[::1]:8080", "[::1]:808", "[::2]:8080", "[::g]:8080", "[::1]", "::1", "a", "a.")
    assert len({same_host(host) for host in others}) == len(others)


def test_what_half_of_the_servers_refuse_is_unwanted():
    assert Verdict(b"", {"a": reading(400, complete=False), "b": reading(GET)}, []).unwanted
    assert not Verdict(b"", {"a": reading(400, complete=False), "b": reading(GET), "c": reading(GET)}, []).unwanted


@pytest.mark.parametrize("answer_bytes,end,read", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "open", [200, 2, "sentinel"]),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", "open", [200, 2, "other"]),
    (b"HTTP/1.1 200 OK\r\n\r\nok", "closed", [200, 2, "sentinel"]),
    (b"HTTP/1.1 200 OK\r\n\r\nok", "open", ["waits"]),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "closed", ["cut"]),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "open", [200, 2, "sentinel"]),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", "open", ["refused"]),
    (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "open", ["cut"])])
def test_a_response_is_read_by_the_rules(answer_bytes, end, read):
    told = strictly(answer_bytes, end)
    assert told[:2] + told[3:] == read


def test_clients_that_differ_are_found():
    one, other = [200, 2, "a", "sentinel"], [200, 3, "b", "sentinel"]
    assert differences({"curl": one, "node": other, "the RFC": one})
    assert differences({"curl": one, "node": ["waits"], "the RFC": one})
    assert differences({"curl": one, "node": [200, 2, "a", "other"], "the RFC": one})
    assert differences({"curl": one, "node": one, "the RFC": ["refused"]})
    assert not differences({"curl": one, "node": ["refused"], "the RFC": one})
