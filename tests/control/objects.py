"""Objects of Weir's kinds, and two judges of them: the schema, as a real API server applies it, and the agent's reader.

Used by test_objects.py. A spec is a dict; its verdicts are refusals as text, or None where the judge takes it.
"""

import http.client
import json
import os
import pathlib
import re
import ssl
import subprocess
import tempfile
import urllib.parse

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD_DIR", REPOSITORY / "build" / "release"))
CRDS = REPOSITORY / "charts" / "weir" / "crds"
TWINS = {"principals", "namespaces", "ipBlocks", "requestPrincipals", "ports", "hosts", "methods", "paths", "grpc"}


def crds():
    """Kind → CRD."""
    found = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
    return {crd["spec"]["names"]["kind"]: crd for crd in found}


def spec_schema(crd):
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def schema_nodes(schema, path=()):
    """(path, node) of a schema and everything below it; a list's items are at "[]", a map's values at "{}"."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from schema_nodes(below, (*path, name))
    if "items" in schema:
        yield from schema_nodes(schema["items"], (*path, "[]"))
    if "additionalProperties" in schema:
        yield from schema_nodes(schema["additionalProperties"], (*path, "{}"))


def twins_of(spec):
    """The spec with each list of from and to, one at a time, under its name with not: `hosts` as `notHosts`."""
    for r, rule in enumerate(spec.get("rules", [])):
        for side in ("from", "to"):
            for e, entry in enumerate(rule.get(side, [])):
                for name in TWINS & entry.keys():
                    twin = json.loads(json.dumps(spec))
                    below = twin["rules"][r][side][e]
                    below["not" + name[0].upper() + name[1:]] = below.pop(name)
                    yield twin


def object_of(kind, spec):
    return {"apiVersion": "weir.dev/v1alpha1", "kind": kind, "metadata": {"name": "tried"}, "spec": spec}


class Server:
    """The schema's verdict: a server-side dry run, unknown fields refused, as kubectl asks for."""

    def __init__(self, control_plane):
        url = urllib.parse.urlsplit(control_plane.url)
        context = ssl.create_default_context(cafile=control_plane.ca)
        context.load_cert_chain(control_plane.admin_certificate, control_plane.admin_key)
        self.connection = http.client.HTTPSConnection(url.hostname, url.port, context=context, timeout=30)
        self.plurals = {kind: crd["spec"]["names"]["plural"] for kind, crd in crds().items()}

    def refusal(self, kind, spec):
        body = object_of(kind, spec)
        self.connection.request(
            "POST",
            f"/apis/weir.dev/v1alpha1/namespaces/default/{self.plurals[kind]}?dryRun=All&fieldValidation=Strict",
            json.dumps(body),
            {"Content-Type": "application/json"},
        )
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status == 201:
            return None
        assert response.status in (400, 422), f"the API server: {response.status} {answer}"
        return answer["message"]


def agent_refusals(kind, specs):
    """The reader's verdicts, in order: `weir-agent validate` reads each as a file of its own, as YAML and as the API server's
    JSON, and says the same of both."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(directory) / f"{number}.{form}" for number in range(len(specs)) for form in ("yaml", "json")]
        for path in paths:
            body = object_of(kind, specs[int(path.stem)])
            path.write_text(json.dumps(body) if path.suffix == ".json" else yaml.safe_dump(body, allow_unicode=True))
        done = subprocess.run([BUILD / "bin" / "weir-agent", "validate", *paths], capture_output=True, text=True)
        assert done.returncode in (0, 1), done.stderr
        verdicts = {}
        for line in done.stderr.splitlines():
            name, why = re.fullmatch(rf"{re.escape(directory)}/(\d+\.\w+):(?:\d+:)? (.*)", line).groups()
            verdicts[name] = why.replace(f"{directory}/{name}", "FILE")
        for name in re.findall(r"/(\d+\.\w+): 1 objects$", done.stdout, re.MULTILINE):
            assert verdicts.setdefault(name) is None
        assert len(verdicts) == len(paths)
        for number, spec in enumerate(specs):
            assert verdicts[f"{number}.yaml"] == verdicts[f"{number}.json"], spec
        return [verdicts[f"{number}.yaml"] for number in range(len(specs))]
