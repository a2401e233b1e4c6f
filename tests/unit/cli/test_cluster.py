"""weirctl against a cluster that a recorded kubectl stands for: tables, errors, slow and silent nodes, rights."""

import json
import re
import signal
import subprocess
import time

import pytest

import cluster
from cluster import Cluster, crd, in_pod, items, node, status, weir_pod

FORBIDDEN = 'Error from server (Forbidden): nodes is forbidden: User "eve" cannot list resource "nodes"\n'


@pytest.fixture
def kube(tmp_path):
    return Cluster(tmp_path)


def test_status_has_a_line_for_each_node_and_says_what_all_nodes_say_once(kube):
    soon = int(time.time()) + cluster.IN_TWO_HOURS
    kube.of("n1", "n2").says(
        in_pod("weir-node-n1", "status", out=status("n1", notes=["no Service x"], expires=soon)),
        in_pod("weir-node-n2", "status", out=status("n2", notes=["no Service x"], sent=9, error="no netns")))
    done = kube.weirctl("status")
    assert done.returncode == 0, done
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0][:4] == ["NODE", "READY", "AGENT", "PROXY"]
    assert lines[1] == "n1 yes 0.1.0 0.1.0 1 1 0 in step, 7 2h 10m 3".split(), done.stdout
    assert lines[2] == "n2 yes 0.1.0 0.1.0 1 1 1 behind, 7 of 9 - 3".split(), done.stdout
    assert "2 of 2 nodes answer; 2 pods enrolled, 2 captured, 1 with errors" in done.stdout
    assert done.stdout.count("no Service x") == 1 and "all nodes: HTTPRoute shop/a: no Service x" in done.stdout
    assert "n2: pod shop/web: no netns" in done.stdout


def test_nodes_that_do_not_answer_are_named_with_why_and_the_others_are_shown(kube):
    waiting = {"name": "agent", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    kube.of("n1", "n2", "n3", "n4", pods=[weir_pod("n1"), weir_pod("n2", agent=waiting), weir_pod("n4")]).says(
        in_pod("weir-node-n1", "status", out=status("n1")),
        in_pod("weir-node-n4", "status", exit=1, err="Error from server: error dialing backend: dial tcp: i/o timeout\n"))
    done = kube.weirctl("status")
    assert done.returncode == 1
    assert "1 of 4 nodes answer" in done.stdout
    assert "n2: the agent of pod weir-node-n2 does not run: CrashLoopBackOff" in done.stdout
    assert "n3: no pod of DaemonSet weir-node is on it" in done.stdout
    assert "n4: cannot ask pod weir-node-n4: Error from server: error dialing backend" in done.stdout
    assert "is the node up" in done.stdout
    as_json = json.loads(kube.weirctl("status", "-o", "json").stdout)
    assert [n["answers"] for n in as_json["nodes"]] == [True, False, False, False]


def test_of_two_pods_on_a_node_the_one_whose_agent_is_ready_is_asked(kube):
    young = weir_pod("n1", "weir-node-young", {"name": "agent", "ready": False, "state": {"running": {}}},
                     "2026-02-02T00:00:00Z")
    kube.of("n1", pods=[young, weir_pod("n1", "weir-node-old")]).says(
        in_pod("weir-node-old", "status", out=status("n1")))
    assert kube.weirctl("status").returncode == 0
    assert not any("weir-node-young" in call for call in kube.calls())


def test_who_may_not_list_nodes_still_sees_those_with_a_pod_and_is_told(kube):
    kube.of("n1").says({"when": ["get", "nodes"], "exit": 1, "err": FORBIDDEN},
                       in_pod("weir-node-n1", "status", out=status("n1")))
    done = kube.weirctl("status")
    assert done.returncode == 0 and "n1" in done.stdout
    assert "cannot list nodes" in done.stderr and "get and list of nodes" in done.stderr


@pytest.mark.parametrize("said, hint", [
    (FORBIDDEN, "create of pods/exec in weir-system"),
    ("error: You must be logged in to the server (Unauthorized)\n", "log in again"),
    ('error: context "x" does not exist\n', "kubectl config get-contexts"),
    ("E1125 22:01:02.000000   12 memcache.go:265] noise\nThe connection to the server localhost:8080 was refused - did "
     "you specify the right host or port?\n", "kubectl has no configuration"),
    ("Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: connection refused\n", "is the API server up"),
    ("", "exit status 1"),
])
def test_each_way_kubectl_fails_is_one_sentence_with_what_to_do(kube, said, hint):
    kube.says({"when": ["get"], "exit": 1, "err": said})
    done = kube.weirctl("status")
    assert done.returncode == 1 and done.stdout == ""
    assert hint in done.stderr and "noise" not in done.stderr, done.stderr
    assert done.stderr.startswith("weirctl: cannot list the pods of weir-node"), done.stderr


def test_without_kubectl_or_weir_it_is_said_what_to_install(kube):
    done = kube.weirctl("status", "--kubectl", "no-such-kubectl")
    assert done.returncode == 1 and "there is no such program" in done.stderr and "--kubectl" in done.stderr
    kube.of("n1", pods=[])
    done = kube.weirctl("status")
    assert done.returncode == 1 and "is Weir installed?" in done.stderr and "install-check" in done.stderr


def test_context_and_kubeconfig_go_to_kubectl_and_no_argument_goes_through_a_shell(kube, tmp_path):
    kube.of("n1").says({"when": ["exec"], "out": ""})
    odd = "x; touch " + str(tmp_path / "made")
    kube.weirctl("status", "--context", odd, "--kubeconfig", "/a b")
    assert all(call[:2] == ["--kubeconfig=/a b", f"--context={odd}"] for call in kube.calls()) and kube.calls()
    assert not (tmp_path / "made").exists()
    for bad in ("shop/--all", "$(x)/y", "shop/a b", "-rf"):
        before = len(kube.calls())
        done = kube.weirctl("why", "--", bad)
        if bad.startswith(("$", "-")) or " " in bad:
            assert done.returncode == 1 and "is no name of a pod" in done.stderr and len(kube.calls()) == before, bad


def test_nodes_are_asked_at_the_same_time(kube):
    names = [f"n{i}" for i in range(8)]
    kube.of(*names).says(*(in_pod(f"weir-node-{n}", "status", out=status(n), sleep=1) for n in names))
    begun = time.monotonic()
    assert "8 of 8 nodes answer" in kube.weirctl("status").stdout
    assert time.monotonic() - begun < 6


def test_version_names_each_node_and_what_differs(kube):
    kube.of("n1", "n2", "n3").says(
        in_pod("weir-node-n1", "status", out=status("n1")),
        in_pod("weir-node-n2", "status", out=status("n2", "9.9.0")),
        in_pod("weir-node-n3", "status", out=status("n3", proxy_version="0.0.9")))
    own = kube.weirctl("--version").stdout.strip()
    done = kube.weirctl("version")
    assert done.returncode == 0 and done.stdout.startswith(f"weirctl {own}\n")
    assert "n3: its proxy is 0.0.9 and its agent 0.1.0" in done.stdout
    assert f"n2: its agent is 9.9.0 and this weirctl {own}" in done.stdout
    assert "nodes differ: 0.1.0 on n1, n3; 9.9.0 on n2" in done.stdout
    assert json.loads(kube.weirctl("version", "-o", "json").stdout)["skewed"] is True


WHY = {"agent": {"pod": "shop/web-1", "node": "n2", "asked_node": "n2", "here": True, "enrolled": True,
                 "because": "label weir.dev/mesh: enabled of namespace shop"}, "refusals": []}


def test_why_finds_the_node_of_the_pod_and_asks_only_that_one(kube):
    pod = {"metadata": {"name": "web-1", "namespace": "shop"}, "spec": {"nodeName": "n2"}}
    kube.of("n1", "n2").says({"when": ["get", "pod", "web-1"], "out": pod},
                             in_pod("weir-node-n2", "why", out=WHY))
    for arguments in (["shop/web-1"], ["web-1", "-n", "shop"], ["web-1"]):
        done = kube.weirctl("why", *arguments)
        assert done.returncode == 0 and "label weir.dev/mesh: enabled of namespace shop" in done.stdout, done
        asked = [call for call in kube.calls() if "exec" in call]
        assert asked[-1][-3:] == ["shop/web-1", "-o", "json"] and "weir-node-n2" in asked[-1]
    gets = [call for call in kube.calls() if "pod" in call]
    assert "--namespace=shop" in gets[0] and "--namespace=shop" in gets[1]
    assert not any(word.startswith("--namespace") for word in gets[2]), "the context's own namespace counts"


def test_why_of_a_pod_that_is_nowhere_says_so(kube):
    kube.of("n1").says({"when": ["get", "pod", "gone"], "exit": 1,
                        "err": 'Error from server (NotFound): pods "gone" not found\n'},
                       {"when": ["get", "pod", "new"], "out": {"metadata": {"name": "new", "namespace": "a"}, "spec": {}}})
    done = kube.weirctl("why", "a/gone")
    assert done.returncode == 1 and "there is none of that name" in done.stderr
    done = kube.weirctl("why", "a/new")
    assert done.returncode == 1 and "on no node yet" in done.stderr


def line(clock, **more):
    return {"kind": "request", "time": f"2026-11-25T10:00:{clock}Z", "method": "GET", "path": f"/{clock}", **more}


def test_tap_shows_the_requests_of_all_nodes_in_the_order_of_their_time(kube):
    kube.of("n1", "n2").says(
        in_pod("weir-node-n1", "tap", lines=[(0, line("01.000")), (0, line("03.000"))], until_input_ends=True),
        in_pod("weir-node-n2", "tap", lines=[(0.3, line("02.000")), (0, line("04.000"))], until_input_ends=True))
    done = kube.weirctl("tap", "--count", "4", "--workload", "shop/web", "--status=5xx")
    assert done.returncode == 0, done
    assert [row.split()[0] for row in done.stdout.splitlines()[1:]] == [f"10:00:0{i}.000" for i in (1, 2, 3, 4)]
    asked = [call for call in kube.calls() if "exec" in call]
    assert all(call[1] == "-i" and "--workload=shop/web" in call and "--status=5xx" in call for call in asked)
    as_json = kube.weirctl("tap", "--count", "4", "-o", "json").stdout.splitlines()
    assert [json.loads(row)["node"] for row in as_json] == ["n1", "n2", "n1", "n2"]


def test_a_tap_that_is_ended_ends_those_on_the_nodes(kube):
    kube.of("n1").says(in_pod("weir-node-n1", "tap", lines=[(0, line("01.000"))], until_input_ends=True))
    with subprocess.Popen(kube.command("tap", "-o", "json"), env=kube.environment(), stdout=subprocess.PIPE) as tap:
        assert tap.stdout.readline()
        tap.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while ["input ended"] not in kube.calls():
        assert time.monotonic() < deadline, kube.calls()
        time.sleep(0.05)


def test_a_node_that_ends_its_tap_is_named_and_the_others_go_on(kube):
    kube.of("n1", "n2", "n3", pods=[weir_pod("n1"), weir_pod("n2")]).says(
        in_pod("weir-node-n1", "tap", exit=1, err="error: unable to upgrade connection: container not found\n"),
        in_pod("weir-node-n2", "tap", lines=[(0.5, line("02.000"))]))
    done = kube.weirctl("tap", "-o", "json")
    assert done.returncode == 1 and json.loads(done.stdout)["node"] == "n2"
    assert "node n1: cannot tap: error: unable to upgrade connection" in done.stderr
    assert "node n3 does not answer: no pod of DaemonSet weir-node" in done.stderr


def edge(requests, **more):
    return {"reporter": "source", "source": "a/a", "destination": "b/b", "service": "b/b", "protocol": "http/1.1",
            "security": "mtls", "requests": requests, "failures": 0, "bytes_sent": 0, "bytes_received": 0,
            "buckets": [[0, 0.01, requests]], **more}


def test_graph_adds_up_what_the_nodes_report_of_one_edge(kube):
    kube.of("n1", "n2", "n3", pods=[weir_pod("n1"), weir_pod("n2")]).says(
        in_pod("weir-node-n1", "graph", out={"before": {"edges": [edge(10)]}, "after": {"edges": [edge(30)]}, "seconds": 2}),
        in_pod("weir-node-n2", "graph", out={"before": {"edges": []}, "after": {"edges": [edge(5)]}, "seconds": 1}))
    done = kube.weirctl("graph", "--interval", "10ms", "-o", "json")
    assert [e["requests_per_second"] for e in json.loads(done.stdout)] == [15]
    assert done.returncode == 1 and "node n3 does not answer" in done.stderr


def installed(kube, **changed):
    crds = [crd(n + ".gateway.networking.k8s.io") for n in ("httproutes", "grpcroutes", "referencegrants")]
    answers = {
        "version": {"when": ["version"], "out": {"serverVersion": {"gitVersion": "v1.34.2"}}},
        "nodes": {"when": ["get", "nodes"], "out": items(node("n1"), node("n2"))},
        "crds": {"when": ["customresourcedefinitions", "get"], "out": items(*crds)},
        "sets": {"when": ["daemonsets"], "out": items({"metadata": {"name": "kube-flannel-ds"}})},
        "cilium": {"when": ["cilium-config"], "out": ""},
        "felix": {"when": ["felixconfigurations.crd.projectcalico.org"], "exit": 1, "err": "no such resource"},
        "classes": {"when": ["runtimeclasses"], "out": items()},
        "rights": {"when": ["auth", "can-i"], "out": "yes\n"},
        "pods": {"when": ["get", "pods", "weir-system"], "out": items()}}
    kube.answers = [answer for name, answer in (answers | changed).items()]
    return kube


def test_install_check_of_a_cluster_that_has_all_ends_well(kube):
    done = installed(kube).weirctl("install-check")
    assert done.returncode == 0 and "everything that Weir needs is there" in done.stdout, done.stdout
    for word in ("v1.34.2", "httproutes v1.6.3, channel standard", "Flannel", "containerd://1.7.2", "6.1.0-18-amd64"):
        assert word in done.stdout, done.stdout


@pytest.mark.parametrize("changed, level, about, said", [
    ({"version": {"when": ["version"], "out": {"serverVersion": {"gitVersion": "v1.28.9"}}}}, "fail", "API server",
     "Kubernetes 1.29 or newer"),
    ({"nodes": {"when": ["get", "nodes"], "out": items(node("n1", kernel="5.10.0"))}}, "fail", "kernel", "5.17"),
    ({"nodes": {"when": ["get", "nodes"], "out": items(node("n1", kernel="5.19.0"))}}, "warn", "kernel", "io_uring"),
    ({"nodes": {"when": ["get", "nodes"], "out": items(node("n1", architecture="arm64"))}}, "fail", "architecture", "amd64"),
    ({"nodes": {"when": ["get", "nodes"], "out": items(node("n1", runtime="docker://20"))}}, "warn", "runtime", "containerd"),
    ({"crds": {"when": ["customresourcedefinitions", "get"], "out": ""}}, "fail", "Gateway API", "kubectl apply"),
    ({"crds": {"when": ["customresourcedefinitions", "get"],
               "out": items(crd("httproutes.gateway.networking.k8s.io", "v1.3.0"))}}, "fail", "Gateway API", "v1.4 or newer"),
    ({"sets": {"when": ["daemonsets"], "out": items({"metadata": {"name": "cilium"}})},
      "cilium": {"when": ["cilium-config"], "out": {"data": {"kube-proxy-replacement": "true"}}}}, "fail", "CNI",
     "socketLB.hostNamespaceOnly=true"),
    ({"sets": {"when": ["daemonsets"], "out": items({"metadata": {"name": "cilium"}})},
      "cilium": {"when": ["cilium-config"], "out": {"data": {"cni-exclusive": "true"}}}}, "fail", "CNI", "cni.exclusive"),
    ({"sets": {"when": ["daemonsets"], "out": items({"metadata": {"name": "calico-node"}})},
      "felix": {"when": ["felixconfigurations.crd.projectcalico.org"], "out": {"spec": {"bpfEnabled": True}}}}, "fail", "CNI",
     "bpfConnectTimeLoadBalancing"),
    ({"sets": {"when": ["daemonsets"], "out": items({"metadata": {"name": "ztunnel"}})}}, "warn", "other meshes", "ztunnel"),
    ({"classes": {"when": ["runtimeclasses"], "out": items({"metadata": {"name": "g"}, "handler": "runsc"})}}, "warn",
     "RuntimeClass", "do not enrol"),
    ({"rights": {"when": ["auth", "can-i"], "out": "no\n", "exit": 1}}, "fail", "your rights", "ask who administers"),
    ({"nodes": {"when": ["get", "nodes"], "exit": 1, "err": FORBIDDEN}}, "fail", "nodes", "cannot list nodes"),
])
def test_install_check_says_what_is_missing_and_what_to_do(kube, changed, level, about, said):
    done = installed(kube, **changed).weirctl("install-check", "-o", "json")
    assert done.returncode == (1 if level == "fail" else 0), done
    found = [c for c in json.loads(done.stdout)["checks"] if c["about"] == about and c["level"] == level]
    assert any(said in c["said"] + c["todo"] for c in found), done.stdout
    text = kube.weirctl("install-check").stdout
    assert said in text and ("FAIL" in text) == (level == "fail")


def test_install_check_asks_nodes_that_have_an_agent_for_the_rest(kube):
    of_node = {"ok": False, "checks": [{"level": "fail", "about": "BTF", "said": "there is none", "todo": "rebuild"}]}
    installed(kube, pods={"when": ["get", "pods", "weir-system"], "out": items(weir_pod("n1"))}).says(
        in_pod("weir-node-n1", "install-check", out=of_node, exit=1))
    done = kube.weirctl("install-check")
    assert done.returncode == 1
    rows = [row.split() for row in done.stdout.splitlines()]
    assert ["FAIL", "n1", "BTF", "there", "is", "none;", "rebuild"] in rows, done.stdout
    assert any(row[:3] == ["warn", "n2", "agent"] for row in rows), done.stdout
    assert any(row[:2] == ["FAIL", "cluster"] and "authorizationpolicies.weir.dev" in row[4] for row in rows), done.stdout


def test_install_check_without_an_api_server_says_only_that(kube):
    kube.says({"when": [], "exit": 1, "err": "The connection to the server 10.0.0.1:6443 was refused\n"})
    done = kube.weirctl("install-check")
    assert done.returncode == 1 and done.stdout == "" and "is the API server up" in done.stderr


def example(command):
    """What README shows under `$ command`."""
    text = (cluster.HERE.parents[2] / "README.md").read_text()
    shown = text.split(f"$ {command}\n", 1)[1]
    return re.split(r"^(?:\$ |```)", shown, maxsplit=1, flags=re.M)[0]


def test_the_examples_in_the_readme_are_what_is_printed(kube):
    soon = int(time.time()) + cluster.IN_TWO_HOURS
    kube.of("n1", "n2", "n3", pods=[weir_pod("n1"), weir_pod("n2")]).says(
        in_pod("weir-node-n1", "status", out=status("n1", expires=soon)),
        in_pod("weir-node-n2", "status", out=status("n2", sent=9, expires=soon, error="no netns")))
    assert kube.weirctl("status").stdout == example("weirctl status")
    strict = {"mode": "Strict", "by": "shop/default", "level": "namespace"}
    rule = {"name": "no-batch", "from": [{"principals": ["cluster.local/ns/batch/sa/*"]}], "to": [{"methods": ["GET"]}]}
    answer = {"agent": WHY["agent"] | {
        "node": "n1", "asked_node": "n1", "addresses": ["10.0.0.1"], "identity": "spiffe://cluster.local/ns/shop/sa/web",
        "capture": {"state": "captured", "accepting": True, "announced": True}, "mode": strict,
        "ports": [{"port": 8080, "name": "http", "mode": strict,
                   "services": [{"service": "shop/web", "port": 80, "protocol": "HTTP"}]}],
        "policies": [{"policy": "shop/web", "action": "Deny", "level": "selector", "rules": [rule]}],
        "services": [{"service": "shop/web"}]},
        "refusals": [{"time": "2026-11-25T10:00:00.123Z", "kind": "request", "direction": "inbound", "method": "GET",
                      "path": "/cart", "source": {"pod": "batch/job"}, "reason": "denied", "policy": "shop/web",
                      "rule": "no-batch"}]}
    pod = {"metadata": {"name": "web-1", "namespace": "shop"}, "spec": {"nodeName": "n1"}}
    kube.says({"when": ["get", "pod", "web-1"], "out": pod}, in_pod("weir-node-n1", "why", out=answer))
    assert kube.weirctl("why", "shop/web-1").stdout == example("weirctl why shop/web-1")


def test_check_goes_over_every_node(kube):
    good = {"agent": {"ok": True, "pods": []}, "proxy": {"pods": []}}
    bad = {"agent": {"ok": False, "pods": [{"uid": "u", "name": "shop/web", "checks": [
        {"name": "routes", "ok": False, "detail": "rule is missing"}]}]}, "proxy": {"pods": []}}
    kube.of("n1", "n2").says(in_pod("weir-node-n1", "check", out=good),
                             in_pod("weir-node-n2", "check", out=bad, exit=1))
    done = kube.weirctl("check")
    assert done.returncode == 1 and "shop/web: routes: rule is missing" in done.stdout
    assert kube.weirctl("check", "--node", "n1").returncode == 0
    assert "there is no node n9" in kube.weirctl("check", "--node", "n9").stderr
