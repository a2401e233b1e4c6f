"""The control plane of these tests itself: what the tests of Weir lean on is really there."""

import json
import time

import pytest
from control_plane import ControlPlane, Refused

ROUTE = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web", "namespace": "default"},
         "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80}],
                  "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}}


def test_controllers_make_service_accounts_and_pods_and_end_namespaces(control_plane):
    control_plane.kubectl("create", "namespace", "made")
    control_plane.kubectl("wait", "--timeout=55s", "--for=create", "-n", "made", "serviceaccount/default",
                          "configmap/kube-root-ca.crt")
    control_plane.kubectl("-n", "made", "create", "deployment", "web", "--image=web", "--replicas=2")
    control_plane.kubectl("wait", "--timeout=55s", "--for=create", "-n", "made", "pod", "--selector=app=web")
    control_plane.kubectl("delete", "namespace", "made", "--timeout=60s")
    assert "made" not in control_plane.kubectl("get", "namespaces", "-o", "name")


def test_a_token_is_good_for_its_audience_and_for_no_other(control_plane):
    def review(audience):
        told = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                "spec": {"token": control_plane.token("default", "default", audience="weir-ca"), "audiences": [audience]}}
        return control_plane.kubectl("create", "-f", "-", "-o", "jsonpath={.status}", stdin=json.dumps(told))

    assert '"username":"system:serviceaccount:default:default"' in review("weir-ca")
    assert '"authenticated":true' not in review("other")


def test_a_token_may_do_what_rbac_allows_and_nothing_else(control_plane):
    config = control_plane.token_config("reader", control_plane.token("default", "default"))
    with pytest.raises(Refused, match="forbidden"):
        control_plane.kubectl("get", "services", config=config)
    control_plane.kubectl("create", "clusterrole", "reads-services", "--verb=get,list", "--resource=services")
    control_plane.kubectl("create", "clusterrolebinding", "reads-services", "--clusterrole=reads-services",
                          "--serviceaccount=default:default")
    assert "kubernetes" in control_plane.kubectl("get", "services", config=config)
    with pytest.raises(Refused, match="forbidden"):
        control_plane.kubectl("get", "secrets", config=config)


def test_gateway_api_takes_a_route_and_refuses_one_that_is_wrong(gateway_api):
    gateway_api.apply(ROUTE)
    bad = ROUTE | {"spec": {"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "no-slash"}}]}]}}
    with pytest.raises(Refused, match="value must be an absolute path"):
        gateway_api.apply(bad)


def test_the_api_server_comes_back_at_its_address_with_its_objects():
    with ControlPlane() as control_plane:
        control_plane.kubectl("create", "configmap", "kept", "--from-literal=key=value")
        begun = time.monotonic()
        control_plane.restart_apiserver(away=1)
        assert time.monotonic() - begun >= 1
        assert control_plane.get("configmap", "kept")["data"] == {"key": "value"}


def test_two_control_planes_stand_side_by_side_and_leave_nothing():
    with ControlPlane() as one, ControlPlane() as two:
        one.kubectl("create", "namespace", "only-in-one")
        assert "only-in-one" not in two.kubectl("get", "namespaces", "-o", "name")
        pids = [daemon.pid() for made in (one, two) for daemon in (made.etcd, made.apiserver, made.controllers)]
        assert all(pids)
    for made in (one, two):
        assert not made.state.exists()
        assert not any(daemon.pid() for daemon in (made.etcd, made.apiserver, made.controllers))
