"""The HTTP steps of `./dev demo`: a canary by header and by weight, redirect and rewrite, gRPC, a method denied, a slow pod
avoided, a retry seen in the metrics.

Each is a function that demo.py runs like its own. The manifests they apply are in demo/routes/.
"""

import collections
import json
import re

import yaml

from narration import DIRECTORY, claim, run, say, show, step_of, wait_for, weirctl

CATALOG, ORDERS, GREETER = "10.96.0.50", "10.96.0.53", "10.96.0.54"
CLIENT = "shop/frontend"
GREET = ["/usr/bin/python3", str(DIRECTORY / "greeter.py"), f"{GREETER}:50051"]
STEPS = []
step = step_of(STEPS)


def apply(lab, name):
    """Shows a file of routes/ and applies it, as kubectl would."""
    path = DIRECTORY / "routes" / name
    show(path.read_text(), 40)
    for document in yaml.safe_load_all(path.read_text()):
        lab.apply(document)


def get(lab, *urls, options=()):
    """curl of each URL over one connection; one line for each answer, its status first."""
    argv = ["curl", "-s", "-m", "5", "-w", "%{http_code} %{redirect_url}\\n", *options]
    return run(lab, CLIENT, *argv, *[f"http://{CATALOG}{url}" for url in urls]).splitlines()


def versions(lab, count, *options):
    """How often each version of the catalog answered."""
    loop = f"curl -s -m 20 {' '.join(options)} 'http://{CATALOG}/catalog?[1-{count}]'"
    answers = run(lab, CLIENT, "sh", "-c", loop, quiet=True)
    counted = collections.Counter(re.findall(r"^catalog (v\d)", answers, re.M))
    show(", ".join(f"{n} × {v}" for v, n in sorted(counted.items())))
    return counted


@step("HTTP: a canary by header, routed request by request")
def canary_by_header(lab):
    before = versions(lab, 20)
    claim(set(before) == {"v1", "v2"}, "without a route, both versions of the catalog answer")
    apply(lab, "1-canary-by-header.yaml")
    wait_for("the route", lambda: (set(versions(lab, 8, "-H", "'x-canary: yes'")), set(versions(lab, 8))) == ({"v2"}, {"v1"}))
    claim(versions(lab, 20, "-H", "'x-canary: yes'") == {"v2": 20}, "who says x-canary gets v2, always")
    claim(versions(lab, 20) == {"v1": 20}, "all others get v1, always")


@step("HTTP: a canary by weight, changed under load without an error")
def canary_by_weight(lab):
    loop = f"curl -s -m 60 -o /dev/null -w '%{{http_code}}\\n' --rate 200/s 'http://{CATALOG}/catalog?[1-600]'"
    say(f"Meanwhile: {loop}")
    load = lab.popen(CLIENT, ["sh", "-c", loop], stdout=-1, text=True)
    apply(lab, "2-canary-by-weight.yaml")
    wait_for("the weights", lambda: "v2" in versions(lab, 50))
    counted = versions(lab, 400)
    claim(15 <= counted["v2"] <= 70, f"v2 gets about one request in ten: {counted['v2']} of {sum(counted.values())}")
    statuses = collections.Counter(load.communicate(timeout=60)[0].split())
    claim(set(statuses) == {"200"}, f"the load saw nothing of the change: {dict(statuses)}")


@step("HTTP: redirect and rewrite")
def redirect_and_rewrite(lab):
    answers = get(lab, "/products/7?q=1")
    claim(answers[-1] == f"301 http://{CATALOG}/catalog/7?q=1", "an old address is answered with the new one")
    answers = get(lab, "/c/7")
    claim("GET /catalog/7" in answers[0], "an alias is rewritten on its way to nginx")


@step("HTTP: a method and a path denied")
def denied(lab):
    apply(lab, "4-no-delete.yaml")
    mark = lab.access_log_size("node-2")
    wait_for("the policy", lambda: get(lab, "/catalog", options=["-X", "DELETE", "-o", "/dev/null"])[-1].startswith("403"))
    claim(get(lab, "/catalog")[-1].startswith("200"), "GET is served")
    odd = get(lab, "/x/..//%61dmin/users", options=["--path-as-is"])
    claim(odd[-1].startswith("403"), "/x/..//%61dmin/users is /admin/users, and denied")
    claim("no-delete" not in "".join(odd), "the answer does not name the rule")

    def refusals():
        return [e for e in lab.access_log("node-2", mark) if e.get("kind") == "request" and e["reason"] == "denied"]

    wait_for("the refusals in the access log of node-2", lambda: len(refusals()) >= 2, 5)
    show(json.dumps(refusals()[-1]))
    claim({e["rule"] for e in refusals()} == {"no-delete", "no-admin"}, "the access log does")


@step("gRPC: routed and denied by method")
def grpc(lab):
    run(lab, CLIENT, *GREET, "Hello", "Stream")
    apply(lab, "3-grpc.yaml")
    wait_for("the policy", lambda: "PERMISSION_DENIED" in run(lab, CLIENT, *GREET, "DeleteAll"))
    told = run(lab, CLIENT, *GREET, "Hello", "Stream", "DeleteAll")
    claim("greeter-v1 (v1) answers Hello" in told, "a call goes to v1")
    claim(told.count("greeter-v2 (v2) answers Stream") == 3, "a stream goes to v2")
    claim("DeleteAll: PERMISSION_DENIED" in told and "nobody-deletes-all" not in told, "DeleteAll is denied, in gRPC's own terms")


@step("HTTP: a slow pod is avoided")
def slow(lab):
    loop = f"curl -s -m 60 -w '%{{time_total}}\\n' 'http://{ORDERS}/order?[1-300]'"
    told = run(lab, CLIENT, "sh", "-c", loop, quiet=True, timeout=90)
    counted = collections.Counter(re.findall(r"^(orders-\d)", told, re.M))
    times = sorted(float(t) for t in re.findall(r"^([\d.]+)$", told, re.M))
    show(", ".join(f"{n} × {pod}" for pod, n in sorted(counted.items())) + f"; p50 {times[150]:.3f} s, p99 {times[297]:.3f} s")
    claim(sum(counted.values()) == 300, "all 300 requests were answered")
    claim(counted["orders-3"] <= 15, f"orders-3, which takes 200 ms, got {counted['orders-3']} of them, without being told")


@step("HTTP: a pod that resets costs nobody anything; the metrics count the retries")
def retried(lab):
    def retries():
        return lab.metrics("node-1").total("weir_request_retries_total", destination_service="shop/orders")

    before = retries()
    loop = f"for i in $(seq 40); do curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' http://{ORDERS}/flaky; done"
    statuses = collections.Counter(run(lab, CLIENT, "sh", "-c", loop, quiet=True).split())
    claim(statuses == {"200": 40}, f"orders-2 answers none of these requests, and the client sees {dict(statuses)}")
    wait_for("the retries in the metrics", lambda: retries() > before, 5)
    claim(True, f"weir_request_retries_total rose by {retries() - before:.0f}")


@step("HTTP: golden metrics by route, and who calls whom")
def golden(lab):
    text = run(lab, "node:node-1", "curl", "-s", "http://127.0.0.1:15020/metrics", quiet=True)
    lines = [line for line in text.splitlines() if line.startswith("weir_requests_total{") and "shop/catalog" in line]
    show("\n".join(lines), 8)
    claim(any('route="shop/catalog/weighted"' in line for line in lines), "requests are counted by route")
    loop = f"for i in $(seq 200); do curl -s -m 5 -o /dev/null http://{CATALOG}/catalog; sleep 0.02; done"
    load = lab.popen(CLIENT, ["sh", "-c", loop])
    graph = weirctl(lab, "node-1", "graph", "--interval", "2s").stdout
    load.terminate()
    load.wait()
    claim("frontend" in graph and "catalog" in graph, "weirctl graph draws it from the same figures")
