"""Schema and reader agree: what the API server lets in the agent takes, and both refuse what is listed as bad.

The specs are in objects/. Numbers, words and durations are tried at their bounds, strings at random besides; and every rule,
pattern and bound of the schemas must have refused something here.
"""

import json
import os
import random
import re
import subprocess

import pytest
import yaml

from objects import BUILD, REPOSITORY, Server, agent_refusals, crds, schema_nodes, spec_schema, twins_of

KINDS = {
    "PeerAuthentication": "peer_authentication",
    "AuthorizationPolicy": "authorization_policy",
    "TrafficPolicy": "traffic_policy",
}
EXAMPLES = sorted((REPOSITORY / "charts" / "weir" / "examples").glob("*.yaml"))
CORPUS = {
    kind: yaml.safe_load((REPOSITORY / "tests" / "control" / "objects" / f"{name}.yaml").read_text())
    for kind, name in KINDS.items()
}


@pytest.fixture(scope="module")
def server(gateway_api):
    for crd in crds().values():
        gateway_api.apply(crd)
    gateway_api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    made = Server(gateway_api)
    made.control_plane = gateway_api
    return made


def specs_of(kind, which):
    """(name, spec, entry) of the corpus, twins included."""
    for entry in CORPUS[kind][which]:
        spec = CORPUS[kind].get("add", {}) | entry["spec"]
        yield entry["name"], spec, entry
        for twin in twins_of(spec):
            yield f"{entry['name']} (twin)", twin, entry


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_good_is_taken_by_both(server, kind):
    names, specs, _ = zip(*specs_of(kind, "good"))
    for name, spec, agent in zip(names, specs, agent_refusals(kind, specs)):
        assert (server.refusal(kind, spec), agent) == (None, None), name


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_bad_is_refused_by_both_for_the_same_reason(server, kind):
    names, specs, entries = zip(*specs_of(kind, "bad"))
    for name, spec, entry, agent in zip(names, specs, entries, agent_refusals(kind, specs)):
        api = server.refusal(kind, spec)
        assert api and entry["api"] in api, f"{name}: the API server says {api}"
        assert agent and entry["agent"] in agent, f"{name}: the agent says {agent}"


def put(spec, path, value):
    """The spec with `value` at `path`; lists on the way get one entry."""
    if not path:
        return value
    name, *rest = path
    if name == "[]":
        return [put(spec[0] if spec else {}, rest, value)]
    spec = spec or {}
    return spec | {name: put(spec.get(name), rest, value)}


# What else a spec needs before something may stand at a path of it.
BESIDE = {
    ("PeerAuthentication", "selector"): {"mode": "Strict"},
    ("PeerAuthentication", "targetRefs"): {"mode": "Strict", "targetRefs": [{"name": "web"}]},
    ("TrafficPolicy", "endpointWeights"): {"endpointWeights": [{"selector": {"matchLabels": {}}, "weight": 1}]},
    ("AuthorizationPolicy", "targetRefs"): {"targetRefs": [{"name": "web"}]},
}


def bounded(kind):
    """(path, good values, bad values) of every number and word of a kind, and of what must not be empty."""
    for path, node in schema_nodes(spec_schema(crds()[kind])):
        if "{}" in path:
            continue  # the modes of ports: in the corpus
        if "enum" in node:
            yield path, node["enum"], ["Bogus", node["enum"][-1].lower() + " "]
        elif node.get("type") == "integer":
            yield path, [node["minimum"], node["maximum"]], [node["minimum"] - 1, node["maximum"] + 1]
        elif "minItems" in node or "minProperties" in node:
            yield path, [], [[] if "minItems" in node else {}]


def bounds(kind):
    """(path, spec, whether it is good) of all that."""
    for path, good, bad in bounded(kind):
        beside = CORPUS[kind].get("add", {}) | BESIDE.get((kind, path[0]), {})
        for value in good + bad:
            yield path, put(beside, path, value), value in good


def durations(kind):
    """The same of durations; what is none at all, too."""
    for entry in CORPUS[kind].get("durations", []):
        for value in entry["within"] + entry["beyond"] + ["soon"]:
            spec = put(CORPUS[kind]["add"], entry["at"], value)
            spec[entry["at"][0]] = spec[entry["at"][0]] | entry["with"] if "with" in entry else spec[entry["at"][0]]
            yield entry["at"], spec, value in entry["within"]


def check_verdicts(server, kind, tried):
    assert tried
    for (path, spec, good), agent in zip(tried, agent_refusals(kind, [spec for _, spec, _ in tried])):
        api = server.refusal(kind, spec)
        assert (api is None) == good, f"{path}: the API server says {api} of {spec}"
        assert (agent is None) == good, f"{path}: the agent says {agent} of {spec}"


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_and_words_have_the_same_bounds(server, kind):
    check_verdicts(server, kind, list(bounds(kind)))


def test_durations_have_the_same_bounds(server):
    kind = "TrafficPolicy"
    schema = spec_schema(crds()[kind])
    described = {
        path
        for path, node in schema_nodes(schema)
        if "duration(self)" in json.dumps(node.get("x-kubernetes-validations", "")) and node["type"] == "string"
    }
    assert described == {tuple(entry["at"]) for entry in CORPUS[kind]["durations"]}, "a duration is not in the corpus"
    check_verdicts(server, kind, list(durations(kind)))


# Where a string stands, and of what it is made at random.
STRINGS = [
    (
        "AuthorizationPolicy",
        ["rules", "[]", "to", "[]", "hosts", "[]"],
        ["*", ".", "a", "B-", "_", "[", "]", "::1", "10.0.0.1", ":", "/", " "],
    ),
    (
        "AuthorizationPolicy",
        ["rules", "[]", "to", "[]", "paths", "[]"],
        [
            "/",
            "/",
            ".",
            "..",
            "*",
            "%",
            "2",
            "F",
            "f",
            "00",
            "5c",
            "41",
            "7E",
            "%7b",
            ";",
            "?",
            "#",
            "\\",
            "a",
            " ",
            "~",
            "ä",
            "/..",
            "..;",
            '"',
            "{",
        ],
    ),
    ("AuthorizationPolicy", ["rules", "[]", "to", "[]", "methods", "[]"], ["GET", "*", "get", " ", "-", "/", "!"]),
    (
        "AuthorizationPolicy",
        ["rules", "[]", "to", "[]", "grpc", "[]"],
        ["a", "B.c", "/", "/", "a/b", "*", ".", "_", "-", "ä"],
    ),
    ("AuthorizationPolicy", ["rules", "[]", "from", "[]", "principals", "[]"], ["spiffe://", "a", "*", "/", "ä", " "]),
    (
        "AuthorizationPolicy",
        ["rules", "[]", "from", "[]", "ipBlocks", "[]"],
        ["10.0.0.1", "::", "ffff:", "1", "/", "32", "128", "0", ".", "%", ":"],
    ),
    ("TrafficPolicy", ["slowStart"], ["1", "30s", "59m", "1h", "00", "s", "m", "ms", ".", "-"]),
    ("TrafficPolicy", ["timeouts", "request"], ["1s", "99999h", "0", "2ms", "s", "m", "h", "+"]),
]


@pytest.mark.parametrize(
    "kind, path, alphabet", STRINGS, ids=lambda value: value[-2] if isinstance(value, list) and "[]" in value else None
)
def test_what_the_schema_takes_of_random_strings_the_agent_takes(server, kind, path, alphabet):
    seed = int(os.environ.get("WEIR_SEED", random.randrange(2**32)))
    print(f"to see it again: WEIR_SEED={seed}")
    dice = random.Random(seed)
    texts = sorted({"".join(dice.choices(alphabet, k=dice.randint(1, 6))) for _ in range(400)})
    specs = [put(CORPUS[kind].get("add", {}), path, text) for text in texts]
    taken = 0
    for text, spec, agent in zip(texts, specs, agent_refusals(kind, specs)):
        if server.refusal(kind, spec) is None:
            taken += 1
            assert agent is None, f"the schema takes {text!r}, the agent says {agent} (WEIR_SEED={seed})"
    assert taken >= 2, f"only {taken} of {len(texts)} strings are good: the alphabet tries nothing (WEIR_SEED={seed})"


def test_every_rule_pattern_and_bound_of_the_schemas_refuses_something(server):
    missing = []
    for kind, crd in crds().items():
        bad = [spec for _, spec, _ in specs_of(kind, "bad")] + [
            spec for _, spec, good in [*bounds(kind), *durations(kind)] if not good
        ]
        refused = [(spec, server.refusal(kind, spec)) for spec in bad]
        said = "\n".join(message for _, message in refused if message)
        for path, node in schema_nodes(spec_schema(crd)):
            place = re.escape(".".join(("spec", *path))).replace(r"\.\[\]", r"\[\d+\]").replace(r"\.\{\}", r"\.[^ :]+")
            for rule in node.get("x-kubernetes-validations", []):
                if not re.search(rf"{place}: Invalid value: .*{re.escape(rule['message'])}", said):
                    missing.append(f"{kind} {place}: {rule['message']}")
            if "pattern" in node and not re.search(rf"{place}: Invalid value: .*{re.escape(node['pattern'])}", said):
                missing.append(f"{kind} {place}: {node['pattern']}")
            if "minItems" in node and not re.search(rf"{place}: Invalid value: .*should have at least 1 items", said):
                missing.append(f"{kind} {place}: minItems")
            if "minProperties" in node and not re.search(
                rf"{place}: Invalid value: .*should have at least 1 properties", said
            ):
                missing.append(f"{kind} {place}: minProperties")
            others = [one["not"]["pattern"] for one in node.get("allOf", [])]
            for pattern in others:
                lone = [
                    spec
                    for spec, _ in refused
                    for text in strings_of(spec)
                    if re.search(pattern, text) and not any(re.search(other, text) for other in others if other != pattern)
                ]
                if not lone:
                    missing.append(f"{kind} {place}: not {pattern}")
    assert not missing, "no bad object of the corpus is refused by:\n" + "\n".join(missing)


def strings_of(value):
    if isinstance(value, str):
        yield value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings_of(below)


def test_every_twin_has_the_schema_of_its_list():
    match = spec_schema(crds()["AuthorizationPolicy"])["properties"]["rules"]["items"]["properties"]
    for side in ("from", "to"):
        lists = match[side]["items"]["properties"]
        plain = {name for name in lists if not name.startswith("not")}
        assert {"not" + name[0].upper() + name[1:] for name in plain} == lists.keys() - plain
        for name in plain:
            bare = [
                {key: value for key, value in lists[one].items() if key != "description"}
                for one in (name, "not" + name[0].upper() + name[1:])
            ]
            assert bare[0] == bare[1], name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_taken_by_both(server, path):
    assert server.control_plane.apply(path, "--dry-run=server", "--validate=strict")
    done = subprocess.run([BUILD / "bin" / "weir-agent", "validate", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_kubectl_shows_what_a_policy_says_and_whether_it_is_accepted(server):
    plane = server.control_plane
    plane.apply(
        {
            "apiVersion": "weir.dev/v1alpha1",
            "kind": "PeerAuthentication",
            "metadata": {"name": "shown", "namespace": "default"},
            "spec": {"targetRefs": [{"name": "web"}], "mode": "Strict"},
        }
    )
    status = {
        "status": {
            "conditions": [
                {
                    "type": "Accepted",
                    "status": "True",
                    "reason": "Accepted",
                    "message": "",
                    "observedGeneration": 1,
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ]
        }
    }
    plane.kubectl("patch", "peerauth", "shown", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    heading, row = plane.kubectl("get", "weir").splitlines()[:2]
    assert heading.split() == ["NAME", "MODE", "TARGETS", "ACCEPTED", "AGE"]
    assert row.split()[1:4] == ["Strict", "web", "True"]
    # The status is a subresource: who may write the spec cannot say that it was accepted, and the other way round.
    plane.kubectl("patch", "peerauth", "shown", "--type=merge", "-p", '{"status": {"conditions": []}}')
    assert plane.get("peerauth", "shown")["status"]["conditions"][0]["status"] == "True"
