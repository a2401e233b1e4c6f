"""Dashboards and alerts ask only for metrics and labels that the programs serve."""

import json
import re

import yaml

from helm import CHART, REPOSITORY

SERVED = re.compile(r'(?:\b(?:set|add|counter|gauge|histogram|by_role)\(|handshake\()\s*"(weir_[a-z_]+)"')
SOURCES = sorted([*(REPOSITORY / "nodeproxy").rglob("*.cc"), *(REPOSITORY / "agent").rglob("*.cc")])
CODE = "\n".join(path.read_text() for path in SOURCES)
# Prometheus' own, and what relabelling adds.
FOREIGN = {"instance", "node", "le", "version", "job"}


def served():
    """The metrics that the programs fill, with the series of histograms."""
    names = set(SERVED.findall(CODE))
    assert len(names) > 40
    for name in set(re.findall(r'histogram\(\s*"(weir_[a-z_]+)"', CODE)):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return names


def expressions():
    """(where, PromQL) of everything that asks."""
    for path in sorted((CHART / "files" / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{path.name}: variable {variable['name']}", variable["query"]["query"]
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]
    for rule in yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"][0]["rules"]:
        yield f"alert {rule['alert']}", rule["expr"]


def test_dashboards_and_alerts_ask_for_metrics_that_exist():
    asked = [(where, name) for where, text in expressions() for name in re.findall(r"\bweir_[a-z_]+", text)]
    assert len(asked) > 80
    unknown = [f"{where}: {name}" for where, name in asked if name not in served()]
    assert not unknown, "no program fills:\n" + "\n".join(unknown)


def test_they_ask_for_labels_that_exist():
    unknown = []
    for where, text in expressions():
        labels = {label for group in re.findall(r"\{(.*?)\}", text) for label in re.findall(r"(\w+)\s*[=!]", group)}
        labels |= {label for group in re.findall(r"\b(?:by|without) \((.*?)\)", text) for label in re.findall(r"\w+", group)}
        unknown += [f"{where}: {label}" for label in labels - FOREIGN if f'{{"{label}"' not in CODE]
    assert not unknown, "no program has the label:\n" + "\n".join(unknown)


def test_alerts_say_what_is_at_stake():
    rules = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning") and rule["annotations"]["summary"].endswith("."), rule[
            "alert"
        ]


def test_dashboards_are_found_by_their_own_uid_and_let_one_choose_the_source_of_data():
    boards = [json.loads(path.read_text()) for path in sorted((CHART / "files" / "dashboards").glob("*.json"))]
    assert len({board["uid"] for board in boards}) == len(boards) == 4
    for board in boards:
        assert board["templating"]["list"][0]["name"] == "datasource"
        assert all(panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"])
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
