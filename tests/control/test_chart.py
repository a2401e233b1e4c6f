"""The chart without a cluster: what it makes of which values, and which values it refuses.

After a change that is meant: WEIR_GOLDEN=write python3 -m pytest tests/control/test_chart.py, and read the diff.
"""

import json
import os
import re
import subprocess
import time

import pytest
import yaml

from helm import CHART, GATEWAY, REPOSITORY, HelmRefused, helm, named, template, told
from objects import BUILD

HERE = REPOSITORY / "tests" / "control" / "chart"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def leaves(values, path=()):
    """(dotted path, value) of everything that is no map with members."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield ".".join((*path, key)), value


@pytest.mark.parametrize("name, arguments", [("default", []), ("all_on", ["--values", HERE / "all_on.yaml"])])
def test_the_manifests_are_those_of_the_golden_file(name, arguments):
    made, golden = told(template(*arguments)), HERE / f"{name}.golden.yaml"
    if os.environ.get("WEIR_GOLDEN") == "write":
        golden.write_text(made)
    assert made == golden.read_text(), "see the diff; if it is meant: WEIR_GOLDEN=write"


def test_helm_lint_finds_nothing():
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, "--namespace", "weir-system")


@pytest.mark.parametrize(
    "setting, word",
    [
        ("mesh.trustDomain=Example.org", "/mesh/trustDomain"),
        ("mesh.sameNode=Plain", "/mesh/sameNode"),
        ("mesh.sessionsPerLane=101", "/mesh/sessionsPerLane"),
        ("mesh.podCIDRs={ten}", "/mesh/podCIDRs/0"),
        ("node.proxy.drainSeconds=-1", "/node/proxy/drainSeconds"),
        ("node.proxy.sourceLimits.bufferedBytes=65535", "/node/proxy/sourceLimits/bufferedBytes"),
        ("node.proxy.sourceLimits.session=1", "session"),
        ("node.proxy.seccompProfile=None", "/node/proxy/seccompProfile"),
        ("node.proxy.metricsPort=80", "/node/proxy/metricsPort"),
        ("node.paths.run=run/weir", "/node/paths/run"),
        ("node.maxSurge=some", "/node/maxSurge"),
        ("node.proxy.resources.requests.cpu=lots", "/node/proxy/resources/requests/cpu"),
        ("controller.replicas=0", "/controller/replicas"),
        ("certificates.lifetime=forever", "/certificates/lifetime"),
        ("monitoring.serviceMonitors.interval=30", "/monitoring/serviceMonitors/interval"),
        ("uninstall.timeoutSeconds=1", "/uninstall/timeoutSeconds"),
        ("node.proxy.worker=4", "worker"),
        ("nodes.workers=4", "nodes"),
    ],
)
def test_bad_values_are_refused_by_name(setting, word):
    with pytest.raises(HelmRefused, match=re.escape(word)):
        template("--set", setting)


def test_every_value_has_a_schema_and_every_member_of_the_schema_a_default():
    schema = json.loads((CHART / "values.schema.json").read_text())

    def paths(node, path=()):
        for name, below in node.get("properties", {}).items():
            if below.get("properties"):
                assert below["additionalProperties"] is False, f"{name} takes anything"
                yield from paths(below, (*path, name))
            else:
                yield ".".join((*path, name))

    free = {"nodeSelector", "labels", "requests", "limits"}
    defaults = set()
    for path, _ in leaves(VALUES):
        parts = path.split(".")
        stop = next((number for number, part in enumerate(parts) if part in free), len(parts) - 1)
        defaults.add(".".join(parts[: stop + 1]))
    known = set(paths(schema)) - {"global"}
    assert {path for path in known if not path.endswith((".requests", ".limits"))} <= defaults
    assert defaults <= known


def test_the_readme_lists_every_value_with_its_default():
    readme = (CHART / "README.md").read_text()
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (?:`(.*?)`|) \|", readme, re.MULTILINE))
    wanted = {}
    for path, value in leaves(VALUES):
        parts = path.split(".")
        stop = next(
            (number for number, part in enumerate(parts) if part in {"nodeSelector", "labels", "requests", "limits"}), None
        )
        if stop is not None:
            path = ".".join(parts[: stop + 1])
            value = VALUES
            for part in parts[: stop + 1]:
                value = value[part]
        wanted[path] = "" if value == "" else value if isinstance(value, str) else json.dumps(value)
    assert rows == wanted


@pytest.mark.parametrize("lacking", ["HTTPRoute", "GRPCRoute"])
def test_a_cluster_without_the_gateway_api_is_told_what_to_install(lacking):
    served = next(word for word in GATEWAY if "/" in word and not word.endswith(lacking))
    with pytest.raises(
        HelmRefused, match=f"does not serve gateway.networking.k8s.io/v1 {lacking}. Install the standard channel"
    ):
        template("--api-versions", served, gateway=False)
    assert template("--set", "gatewayApi.check=false", gateway=False)


def test_another_namespace_is_refused():
    with pytest.raises(HelmRefused, match='Weir lives in the namespace weir-system, not in "default"'):
        template(namespace="default")


# --- what must hold whatever the values ---------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["default", "all_on"])
def objects(request):
    return template(*(["--values", HERE / "all_on.yaml"] if request.param == "all_on" else []))


def containers(workload):
    return {container["name"]: container for container in workload["spec"]["template"]["spec"]["containers"]}


def test_the_proxy_has_no_credential_and_the_agent_two_tokens(objects):
    pod = named(objects, "DaemonSet", "weir-node")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    tokens = {
        volume["name"]: source["serviceAccountToken"].get("audience", "")
        for volume in pod["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if "serviceAccountToken" in source
    }
    assert tokens == {"api-token": "", "ca-token": "weir-ca"}
    mounted = {
        name: {mount["name"] for mount in container["volumeMounts"]}
        for name, container in containers(named(objects, "DaemonSet", "weir-node")).items()
    }
    assert mounted["proxy"] == {"run"}
    assert tokens.keys() <= mounted["agent"]
    for container in pod.get("initContainers", []):
        assert not tokens.keys() & {mount["name"] for mount in container["volumeMounts"]}


def test_every_container_drops_all_capabilities_and_adds_few(objects):
    node, controller = named(objects, "DaemonSet", "weir-node"), named(objects, "Deployment", "weir-controller")
    added = {}
    for name, container in (containers(node) | containers(controller)).items():
        security = container["securityContext"]
        assert security["capabilities"]["drop"] == ["ALL"] and security["readOnlyRootFilesystem"] is True
        assert not security.get("privileged")
        added[name] = set(security["capabilities"].get("add", []))
    assert added == {
        "proxy": {"SYS_ADMIN", "NET_RAW"},
        "agent": {"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH"},
        "controller": set(),
    }
    assert controller["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_the_node_pod_is_on_the_pod_network_and_outlives_the_drain_limit(objects):
    node = named(objects, "DaemonSet", "weir-node")
    pod = node["spec"]["template"]["spec"]
    assert not pod.get("hostNetwork") and pod["hostPID"] is True
    drain = next(
        int(argument.split("=")[1])
        for argument in containers(node)["proxy"]["args"]
        if argument.startswith("--drain-seconds=")
    )
    assert pod["terminationGracePeriodSeconds"] >= drain + 15
    assert node["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_the_seccomp_profile_is_named_by_its_content_and_allows_io_uring(objects):
    pod = named(objects, "DaemonSet", "weir-node")["spec"]["template"]["spec"]
    profile = containers(named(objects, "DaemonSet", "weir-node"))["proxy"]["securityContext"]["seccompProfile"][
        "localhostProfile"
    ]
    assert pod["initContainers"][0]["command"][-1] == f"/seccomp/{profile}"
    allowed = {
        name
        for rule in json.loads(named(objects, "ConfigMap", "weir-seccomp")["data"]["proxy.json"])["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }
    assert {"io_uring_setup", "io_uring_enter", "io_uring_register", "setns", "socket"} <= allowed
    assert not {"bpf", "mount", "umount2", "ptrace", "kexec_load", "init_module", "open_by_handle_at", "unshare"} & allowed


def test_no_role_reads_secrets_at_large_or_writes_what_it_need_not(objects):
    for role in [one for one in objects if one["kind"] in ("Role", "ClusterRole")]:
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            if "secrets" in rule["resources"]:
                assert role["kind"] == "Role" and (rule["verbs"] == ["create"] or rule["resourceNames"] == ["weir-ca"])
            if role["kind"] == "ClusterRole" and role["metadata"]["name"] in ("weir-node", "weir-controller"):
                writes = set(rule["verbs"]) - {"get", "list", "watch"}
                assert (
                    not writes
                    or rule["resources"] == ["pods"]
                    and writes == {"patch"}
                    or rule["resources"] == ["tokenreviews"]
                    or all(resource.endswith("/status") for resource in rule["resources"])
                ), rule


def test_the_alert_on_certificates_knows_how_long_they_live():
    for lifetime, seconds in (("24h", 14400), ("90m", 900), ("2d", 28800)):
        made = template("--set", "monitoring.rules.enabled=true", "--set", f"certificates.lifetime={lifetime}")
        rules = named(made, "PrometheusRule", "weir")["spec"]["groups"][0]["rules"]
        assert next(rule for rule in rules if rule["alert"] == "WeirCertificateExpiring")["expr"].endswith(f" < {seconds}")


def test_what_else_was_put_on_a_node_is_removed_and_the_container_stays_until_it_is_told_to_go(tmp_path):
    (tmp_path / "seccomp" / "weir").mkdir(parents=True)
    (tmp_path / "seccomp" / "weir" / "proxy.json").write_text("{}")
    flags = ["--node=here", f"--state-dir={tmp_path / 'state'}", f"--remove={tmp_path / 'seccomp' / 'weir'}", "--stay"]
    running = subprocess.Popen([BUILD / "bin" / "weir-agent", "uninstall", *flags], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if not (tmp_path / "seccomp" / "weir").exists():
                break
            time.sleep(0.05)
        assert list((tmp_path / "seccomp").iterdir()) == []
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.5)
        running.terminate()
        assert running.wait(10) == 0
    finally:
        running.kill()
