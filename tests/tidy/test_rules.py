"""The rules themselves: each is seen to catch a bad sample, and to leave a good one alone."""

import pytest

from tests.tidy import rules

TESTS_README = "fuzz/ netns/ unit/ test_ipv6.py\n| rule | tests |\n| --- | --- |\n"
HEAD = "// What it is.\n// Owner, thread.\n// Lifetime.\n"
# rule, path, text that must be caught
BAD = [
    (rules.include_arrows, "nodeproxy/base/a.h", '#include "nodeproxy/io/driver.h"'),
    (rules.include_arrows, "nodeproxy/io/a.h", '#include "nodeproxy/tls/session.h"'),
    (rules.include_arrows, "nodeproxy/mesh/a.h", '#include "nodeproxy/config/build.h"'),
    (rules.include_arrows, "nodeproxy/policy/a.cc", '#include "nodeproxy/balance/p2c.h"'),
    (rules.include_arrows, "nodeproxy/policy/a.cc", '#include "nodeproxy/io/driver.h"'),
    (rules.include_arrows, "nodeproxy/relay/a.cc", '#include "nodeproxy/config/build.h"'),
    (rules.include_arrows, "nodeproxy/relay/a.cc", '#include "nodeproxy/flow/plan.h"'),
    (rules.include_arrows, "nodeproxy/flow/a.cc", '#include "nodeproxy/worker.h"'),
    (rules.include_arrows, "nodeproxy/worker.cc", '#include "nodeproxy/app.h"'),
    (rules.include_arrows, "nodeproxy/main.cc", '#include "nodeproxy/flow/plan.h"'),
    (rules.include_arrows, "nodeproxy/flow/a.cc", '#include "agent/model/pod.h"'),
    (rules.include_arrows, "nodeproxy/relay/a.cc", '#include "bpf/abi.h"'),
    (rules.include_arrows, "nodeproxy/io/a.cc", '#include "nodeproxy/config/snapshot.h"'),
    (rules.include_arrows, "nodeproxy/novel/a.cc", '#include "nodeproxy/io/driver.h"'),
    (rules.include_arrows, "nodeproxy/upstream/a.cc", "#include <openssl/ssl.h>"),
    (rules.include_arrows, "nodeproxy/net/a.cc", "#include <liburing.h>"),
    (rules.include_arrows, "agent/derive/a.cc", '#include "agent/redirect/enrol.h"'),
    (rules.include_arrows, "agent/derive/a.cc", '#include "nodeproxy/config/snapshot.h"'),
    (rules.include_arrows, "agent/app.cc", '#include "nodeproxy/io/driver.h"'),
    (rules.include_arrows, "agent/app.cc", '#include "bpf/maps.h"'),
    (rules.include_arrows, "bpf/connect4.bpf.c", '#include "agent/model/pod.h"'),
    (rules.file_length, "agent/a.cc", "\n" * 401),
    (rules.line_length, "agent/a.cc", "x" * 131),
    (rules.function_length, "agent/a.cc", "void f() {\n" + "  x();\n" * 80 + "}\n"),
    (rules.function_length, "agent/a.h", "class A {\n  void f() {\n" + "    x();\n" * 80 + "  }\n};\n"),
    (rules.function_length, "tests/a.py", "def f():\n" + "    x()\n" * 80),
    (rules.bans, "agent/a.cc", "std::shared_mutex m;"),
    (rules.bans, "nodeproxy/io/a.cc", "std::mutex m;"),
    (rules.bans, "nodeproxy/relay/a.cc", "std::shared_ptr<int> p;"),
    (rules.bans, "nodeproxy/flow/a.cc", "std::shared_ptr<const config::Snapshot> p;"),
    (rules.bans, "agent/a.cc", "using namespace std;"),
    (rules.bans, "nodeproxy/io/a.cc", "throw 1;"),
    (rules.bans, "nodeproxy/io/a.cc", 'printf("x");'),
    (rules.bans, "nodeproxy/io/a.cc", "std::cerr << 1;"),
    (rules.bans, "nodeproxy/io/a.cc", "std::this_thread::sleep_for(1s);"),
    (rules.bans, "agent/a.cc", "t.detach();"),
    (rules.bans, "nodeproxy/flow/a.cc", "auto f = [this](int a) -> io::Task<void> { co_return; };"),
    (rules.bans, "agent/a.cc", "strcpy(a, b);"),
    (rules.unfinished_work, "agent/a.cc", "// TODO later"),
    (rules.unfinished_work, "bench/a.py", "# FIXME"),
    (rules.pragma_once, "agent/a.h", HEAD),
    (rules.opening_comment, "agent/a.cc", "#include <string>\n" + HEAD),
    (rules.opening_comment, "agent/a.h", "// Too short.\n#pragma once\n" + "int a;\n" * 60),
    (rules.opening_comment, "bench/a.py", "import os\n"),
    (rules.test_names, "tests/unit/io/a_test.cc", 'TEST_CASE("timers") {}'),
    (rules.test_names, "tests/netns/test_a.py", "def test_ipv6():\n    pass\n"),
]
GOOD = [
    (rules.include_arrows, "nodeproxy/io/a.cc", '#include "nodeproxy/base/fd.h"\n#include <liburing.h>'),
    (rules.include_arrows, "nodeproxy/relay/a.cc", '#include "nodeproxy/config/snapshot.h"'),
    (rules.include_arrows, "nodeproxy/flow/a.cc", '#include "nodeproxy/policy/judge.h"'),
    (rules.include_arrows, "nodeproxy/worker.cc", '#include "nodeproxy/worker.h"\n#include "nodeproxy/flow/plan.h"'),
    (rules.include_arrows, "nodeproxy/main.cc", '#include "nodeproxy/app.h"'),
    (rules.include_arrows, "nodeproxy/app_start.cc", '#include "nodeproxy/app.h"'),
    (rules.include_arrows, "agent/serve/a.cc", '#include "nodeproxy/config/mesh.pb.h"\n#include "nodeproxy/base/fd.h"'),
    (rules.include_arrows, "agent/redirect/a.cc", '#include "bpf/abi.h"\n#include <bpf/libbpf.h>'),
    (rules.file_length, "agent/a.cc", "\n" * 400),
    (rules.line_length, "agent/a.cc", "é" * 130),
    (rules.function_length, "agent/a.cc", ("void f() {\n" + "  x();\n" * 60 + "}\n") * 3),
    (rules.bans, "nodeproxy/io/a.cc", '// throw, std::mutex\nlog("printf( throw");\nsnprintf(a, 1, b);'),
    (rules.bans, "agent/a.cc", "std::mutex m; throw 1; using namespace std::chrono_literals;"),
    (rules.bans, "nodeproxy/flow/a.cc", "auto f = [](int a) -> io::Task<void> { co_return; };"),
    (rules.bans, "nodeproxy/flow/a.cc", "co_await io::sleep(driver, 10);"),
    (rules.unfinished_work, "agent/a.cc", "int todo;"),
    (rules.pragma_once, "agent/a.h", HEAD + "#pragma once\n"),
    (rules.opening_comment, "agent/a.h", "#pragma once\n" + HEAD),
    (rules.opening_comment, "bench/a.py", '"""What it is."""\n'),
    (rules.test_names, "tests/unit/io/a_test.cc", 'TEST_CASE("a timer fires once") {}'),
    (rules.test_names, "tests/netns/test_a.py", "def test_ipv6_clients_keep_their_address():\n    pass\n"),
]


@pytest.mark.parametrize("rule,path,text", BAD, ids=lambda value: getattr(value, "__name__", None))
def test_a_bad_sample_is_caught(rule, path, text):
    assert rule(path, text)


@pytest.mark.parametrize("rule,path,text", GOOD, ids=lambda value: getattr(value, "__name__", None))
def test_a_good_sample_is_left_alone(rule, path, text):
    assert rule(path, text) == []


def test_every_rule_has_a_sample_of_each_kind():
    for samples in (BAD, GOOD):
        assert {rule for rule, _, _ in samples} == set(rules.FILE_RULES)


PRESETS = '{"configurePresets": [{"name": "asan", "cacheVariables": {"WEIR_TIERS": "%s"}}]}'


def good_tree(root):
    """A tree that every tree rule accepts."""
    for path, text in {
        "README.md": "./dev demo, ./dev test; see [tests](tests/README.md)",
        "dev": "cmd_demo() {\n}\ncmd_test() {\n}\n    sim) echo asan ;;\nsubdirectory asan netns\n",
        "CMakePresets.json": PRESETS % "netns;sim",
        "bpf/connect4.bpf.c": HEAD, "bpf/README.md": "connect4.bpf.c",
        "nodeproxy/io/a.h": HEAD, "nodeproxy/README.md": "io/",
        "tests/README.md": TESTS_README + "| A | `http/h1: a b c` `netns/test_ipv6: test_a_b_c` |\n",
        "tests/netns/test_ipv6.py": "def test_a_b_c(): pass", "tests/fuzz/frame.cc": HEAD,
        "tests/fuzz/corpus/frame/one": "x",
        "tests/unit/http/h1_test.cc": HEAD + 'TEST_CASE(\n    "a b "\n    "c") {}\n',
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.mark.parametrize("rule,path,text", [
    (rules.documents, "bpf/bind4.bpf.c", HEAD),
    (rules.documents, "nodeproxy/relay/a.h", HEAD),
    (rules.documents, "tests/sim/a.cc", HEAD),
    (rules.documents, "tests/netns/test_ipv4.py", ""),
    (rules.documents, "README.md", "./dev demo alone"),
    (rules.documents, "bench/README.md", "[gone](nowhere.md)"),
    (rules.dev_commands, "bench/README.md", "run ./dev fly"),
    (rules.tiers_built, "CMakePresets.json", PRESETS % "sim"),
    (rules.tiers_built, "CMakePresets.json", PRESETS % "netns"),
    (rules.top_level, "notes.txt", ""),
    (rules.fuzz_corpora, "tests/fuzz/hello.cc", HEAD),
    (rules.rules_tested, "tests/README.md", TESTS_README + "| A | `http/h1: a b d` |\n"),
    (rules.rules_tested, "tests/README.md", TESTS_README + "| A | `netns/test_ipv4: test_a_b_c` |\n"),
    (rules.rules_tested, "tests/README.md", TESTS_README + "| A | nobody has tried |\n"),
], ids=lambda value: getattr(value, "__name__", None))
def test_a_bad_tree_is_caught(tmp_path, rule, path, text):
    good_tree(tmp_path)
    assert rule(tmp_path) == []
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    assert rule(tmp_path)
