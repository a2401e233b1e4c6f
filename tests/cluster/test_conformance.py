"""The Gateway API's own mesh conformance suite, core and every extended feature of a mesh; its report stays in build/.

    build/conformance/MESH-HTTP.yaml    what `gateway-api/conformance/reports` takes
    build/conformance/MESH-HTTP.log
"""

import re
import subprocess

import pytest
import yaml
from cluster import REPOSITORY
from space import until

import build

REPORTS = REPOSITORY / "build" / "conformance"
EXTENDED = ["MeshClusterIPMatching", "MeshConsumerRoute", "MeshHTTPRouteRewritePath", "MeshHTTPRouteSchemeRedirect",
            "MeshHTTPRouteRedirectPort", "MeshHTTPRouteRedirectPath", "MeshHTTPRouteBackendRequestHeaderModification",
            "MeshHTTPRouteQueryParamMatching", "MeshHTTPRouteNamedRouteRule"]
FEATURES = {"MESH-HTTP": ["Mesh", "HTTPRoute", *EXTENDED], "MESH-GRPC": ["Mesh", "GRPCRoute"]}


def wait_for_the_last_run(cluster):
    """The suite does not wait for the end of the namespaces that it deletes, and cannot begin while they are there."""
    def gone():
        return "gateway-conformance" not in cluster.kubectl("get", "namespaces", "-o", "name")
    until(gone, 120, "the namespaces of an earlier run are gone")


def run(cluster, profile):
    wait_for_the_last_run(cluster)
    REPORTS.mkdir(parents=True, exist_ok=True)
    report, log = REPORTS / f"{profile}.yaml", REPORTS / f"{profile}.log"
    report.unlink(missing_ok=True)
    version = re.search(r"VERSION ([\d.]+)", (REPOSITORY / "CMakeLists.txt").read_text().split("project(")[1])[1]
    with open(log, "w") as out:
        subprocess.run([build.BIN / "conformance", "-test.v", "-test.timeout=40m", "-test.run=TestConformance",
                        f"--conformance-profiles={profile}", f"--supported-features={','.join(FEATURES[profile])}",
                        "--namespace-labels=weir.dev/mesh=enabled", "--cleanup-base-resources=true",
                        "--organization=weir", "--project=weir", "--url=https://weir.dev", f"--version=v{version}",
                        "--contact=https://weir.dev", f"--report-output={report}"],
                       env=cluster.environment(), stdout=out, stderr=subprocess.STDOUT, timeout=2500, cwd=REPORTS)
    return report, log.read_text()


@pytest.mark.parametrize("profile", FEATURES)
def test_the_mesh_passes_the_conformance_profile_with_every_feature(cluster, mesh, profile):
    report, log = run(cluster, profile)
    passed, failed = (re.findall(rf"^ +--- {word}: TestConformance/(\S+)", log, re.M) for word in ("PASS", "FAIL"))
    assert report.exists(), log[-3000:]
    told = yaml.safe_load(report.read_text())["profiles"][0]
    assert told["name"] == profile
    assert told["core"]["result"] == "success", f"failed: {failed}\n{log[-3000:]}"
    assert told["core"]["statistics"]["Skipped"] == 0
    if "extended" in told:
        assert told["extended"]["result"] == "success", f"failed: {failed}\n{log[-3000:]}"
        assert told["extended"]["statistics"]["Skipped"] == 0
        assert set(EXTENDED) <= set(told["extended"]["supportedFeatures"]) or profile != "MESH-HTTP"
    assert passed and not failed
