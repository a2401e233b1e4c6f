"""The rules of style that no compiler checks.

A file rule takes (path, text) of one file, path relative to the root with forward slashes, and returns complaints; a
tree rule takes the root. Both are pure: test_sources.py runs them over the project, test_rules.py over samples that
each must be caught. To add a rule: a function, a line in FILE_RULES or TREE_RULES, and a bad sample.
"""

import ast
import functools
import json
import pathlib
import re

CPP = (".h", ".cc", ".c")
LINES_MAX = 400
FUNCTION_LINES_MAX = 80
COLUMNS_MAX = 130  # clang-format keeps C++ at 110; comments, tables and Python get a little more
# What may stand at the top of the repository (charts/ comes with Kubernetes).
TOP = {"CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md", "dev", "bpf", "nodeproxy", "agent", "charts",
       "tests", "bench", "build", "image"}

# Include arrows: which directories of nodeproxy/ may be included from which. Every room may also include base/ and
# config/snapshot.h.
ROOMS = {"detect", "policy", "route", "balance", "upstream", "relay", "telemetry"}
CORRIDOR = {"base", "io", "net", "tls", "mesh", "http", "config"} | ROOMS
PROXY_ARROWS = {
    "base": set(),
    "io": {"base"},
    "net": {"base", "io"},
    "tls": {"base", "io"},
    "mesh": {"base", "io", "tls"},
    "http": {"base", "io"},
    "config": {"base"},
    "detect": {"base", "io", "http"},
    "policy": {"base", "config", "http"},
    "route": {"base", "config", "http"},
    "balance": {"base", "config"},
    "upstream": {"base", "io", "net", "tls", "mesh", "http"},
    "relay": {"base", "io", "mesh", "http"},
    "telemetry": {"base"},
    "flow": CORRIDOR,
    "admin": CORRIDOR | {"flow"},
}
# The files beside the directories: what they may include besides every directory.
PROXY_TOP_ARROWS = {"worker": {"worker"}, "app": {"app", "worker"}, "main": {"app"}}
# The directories of agent/; the files of agent/ itself join them.
AGENT_ARROWS = {
    "model": set(),
    "loop": set(),
    "files": {"model", "loop"},
    "kube": {"model", "loop", "files"},
    "derive": {"model"},
    "identity": {"loop"},
    "serve": {"loop", "derive"},
    "redirect": set(),
    "cni": set(),
    "enrol": {"model", "loop", "derive", "redirect", "serve", "cni", "kube"},
    "controller": {"model", "loop", "files", "kube", "derive", "identity"},
    "cli": set(),
}
# Outside headers that only some directories may see.
EXTERNAL = {
    "openssl/": ("nodeproxy/tls/", "nodeproxy/http/websocket.cc", "agent/identity/", "tests/", "bench/"),
    "llhttp": ("nodeproxy/http/", "tests/"),
    "nghttp2/": ("nodeproxy/http/", "tests/"),
    "re2/": ("nodeproxy/config/", "nodeproxy/route/", "agent/files/", "tests/"),
    "liburing": ("nodeproxy/io/", "tests/", "bench/"),
    "bpf/libbpf.h": ("agent/redirect/", "tests/bpf/"),
    "bpf/bpf.h": ("agent/redirect/", "tests/bpf/"),
    "yaml-cpp/": ("agent/files/", "tests/"),
    "curl/": ("agent/kube/",),
    "grpc": ("agent/controller/", "agent/identity/", "tests/"),
    "catch2/": ("tests/",),
}
# Where bytes flow: one thread each, no locks, errors are values.
PATH_DIRECTORIES = tuple(f"nodeproxy/{d}/" for d in sorted(CORRIDOR - {"base", "config", "telemetry"} | {"flow"}))
PER_BYTE_DIRECTORIES = tuple(f"nodeproxy/{d}/" for d in ("io", "relay", "detect", "policy", "balance", "route"))
BANS = [
    # pattern, where (prefixes), why
    (r"\b(std::shared_mutex|std::shared_lock|pthread_rwlock_\w+)", ("",), "no reader-writer locks"),
    (r"\bstd::(mutex|recursive_mutex|condition_variable|lock_guard|scoped_lock|unique_lock)\b", PATH_DIRECTORIES,
     "no locks on the path"),
    (r"\bstd::(shared_ptr|make_shared|weak_ptr)\b", PER_BYTE_DIRECTORIES, "no shared reference counts per packet"),
    (r"\bshared_ptr<(const )?([\w:]*::)?Snapshot\b", PATH_DIRECTORIES, "a snapshot has one owner, the config thread"),
    (r"\busing namespace std\s*;", ("",), "no `using namespace std`"),
    (r"\bthrow\b", ("nodeproxy/",), "errors are values: no exceptions in the proxy"),
    (r"\b(std::cout|std::cerr|(?<!n)printf\s*\(|fprintf\s*\(|puts\s*\()", ("nodeproxy/",), "the proxy logs through base/log"),
    (r"\b(usleep|nanosleep|sleep_for|sleep_until)\s*\(|(?<![\w:])::sleep\s*\(", ("nodeproxy/",),
     "the proxy's threads never sleep: await io::sleep"),
    (r"\.detach\(\)", ("nodeproxy/", "agent/"), "no detached threads: stop, join, close"),
    (r"\[[^\]\n]+\]\s*\([^()]*\)\s*(mutable\s*)?(noexcept\s*)?->\s*([\w:]+::)?Task<", ("nodeproxy/", "tests/"),
     "no capturing lambda coroutines: the captures die before the frame"),
    (r"\bstrcpy\s*\(|\bsprintf\s*\(|\bgets\s*\(|\bstrcat\s*\(|\balloca\s*\(", ("",), "no unbounded C strings"),
]
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def code_of(text):
    """The text with comments and string contents blanked, line numbers kept."""
    def blank(match):
        s = match.group(0)
        if s.startswith("/"):
            return re.sub(r"[^\n]", " ", s)
        return '""' + "\n" * s.count("\n")
    return re.sub(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def includes(text):
    """(line, header) of each #include."""
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]+["<]([^">]+)[">]', text, re.M):
        yield line_of(text, match.start()), match.group(1)


def directory_in(path, top):
    """`io` for nodeproxy/io/x.cc, `` for nodeproxy/x.cc."""
    parts = path[len(top):].split("/")
    return parts[0] if len(parts) > 1 else ""


def proxy_may_include(path, header):
    mine, theirs = directory_in(path, "nodeproxy/"), directory_in(header, "nodeproxy/")
    if header == "bpf/abi.h":
        return mine == "net"  # the marks that the kernel's side reads from our sockets
    if not header.startswith("nodeproxy/"):
        return not header.startswith(("agent/", "bpf/", "tests/", "bench/"))
    if header == "nodeproxy/config/snapshot.h":
        return mine in ROOMS | {"config", "upstream", "flow", "admin", ""}
    if mine:
        # An unknown directory has no arrows: name it above.
        return theirs == mine or (theirs != "" and theirs in PROXY_ARROWS.get(mine, set()))
    if theirs:
        return path != "nodeproxy/main.cc" or theirs == "base"
    def part(name):  # app_start.cc is a part of app
        return pathlib.PurePosixPath(name).stem.split("_")[0]
    return part(header) in PROXY_TOP_ARROWS.get(part(path), {part(path)})


def agent_may_include(path, header):
    if header.startswith("nodeproxy/"):
        return header.startswith("nodeproxy/base/") or header == "nodeproxy/config/mesh.pb.h"
    mine = directory_in(path, "agent/")
    if header.startswith("bpf/"):  # libbpf's own headers are named bpf/ too; generated skeletons are redirect's.
        return header == "bpf/abi.h" or mine == "redirect"
    if header.startswith("agent/") and mine:
        if header.startswith("agent/controller/ca.") or header == "agent/metrics.h":
            return True  # what the agent asks the controller, generated; the metrics of every program of agent/
        theirs = directory_in(header, "agent/")
        return theirs == mine or theirs in AGENT_ARROWS.get(mine, set())
    return not header.startswith(("tests/", "bench/"))


def include_arrows(path, text):
    if not path.endswith(CPP):
        return []
    complaints = []
    for line, header in includes(text):
        allowed = True
        if path.startswith("nodeproxy/"):
            allowed = proxy_may_include(path, header)
        elif path.startswith("agent/"):
            allowed = agent_may_include(path, header)
        elif path.startswith("bpf/"):
            allowed = not header.startswith(("nodeproxy/", "agent/", "tests/"))
        if not allowed:
            complaints.append(f"{path}:{line}: must not include {header}")
        for prefix, places in EXTERNAL.items():
            if header.startswith(prefix) and not path.startswith(places):
                complaints.append(f"{path}:{line}: {header} belongs to {', '.join(places)} alone")
    return complaints


def file_length(path, text):
    lines = text.count("\n")
    if path.endswith(CPP + (".py",)) and lines > LINES_MAX:
        return [f"{path}: {lines} lines; a file has {LINES_MAX} at most: split it by its nouns"]
    return []


def line_length(path, text):
    if not path.endswith(CPP + (".py", ".txt", ".proto", "dev")):
        return []
    return [f"{path}:{number}: {len(line)} columns; {COLUMNS_MAX} at most"
            for number, line in enumerate(text.splitlines(), 1) if len(line) > COLUMNS_MAX]


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1


def cpp_functions(text):
    """(line, lines) of each brace block that closes at indent 0 or 2; clang-format makes the indents dependable."""
    start = {0: 1, 2: 1}
    for number, line in enumerate(code_of(text).splitlines(), 1):
        indent = len(line) - len(line.lstrip())
        body = line.strip()
        if indent not in start or not body or body[0] == "#" or body.startswith("template"):
            continue
        if body == "}":
            yield start[indent], number - start[indent] + 1
        elif body[0] not in "})" and not body.startswith("namespace"):
            start[indent] = number


def function_length(path, text):
    if path.endswith(".py"):
        functions = python_functions(text)
    elif path.endswith(CPP):
        functions = cpp_functions(re.sub(r"^\}  // namespace.*$", "", text, flags=re.M))
    else:
        return []
    return [f"{path}:{line}: a function of {lines} lines; {FUNCTION_LINES_MAX} at most fit a screen"
            for line, lines in functions if lines > FUNCTION_LINES_MAX]


def bans(path, text):
    if not path.endswith(CPP):
        return []
    code = code_of(text)
    return [f"{path}:{line_of(code, match.start())}: {why}: {match.group(0).strip()}"
            for pattern, places, why in BANS if path.startswith(places)
            for match in re.finditer(pattern, code)]


def unfinished_work(path, text):
    if path.startswith("tests/tidy/") or not path.endswith(CPP + (".py", ".txt", ".proto", "dev")):
        return []
    return [f"{path}:{line_of(text, m.start())}: {m.group(0)}: finish it, or write an issue"
            for m in UNFINISHED.finditer(text)]


def pragma_once(path, text):
    if path.endswith(".h") and not re.search(r"^#pragma once$", text, re.M):
        return [f"{path}: a header needs #pragma once"]
    return []


def opening_comment(path, text):
    """Every file says first what it is: a Python docstring, or a comment before any code. One line does for a small file
    and for a .cc file, whose header says the rest."""
    if path.endswith(".py"):
        ok = pathlib.PurePosixPath(path).name == "__init__.py" or bool(ast.get_docstring(ast.parse(text)))
    elif path.endswith(CPP + (".proto",)):
        before = []
        for line in text.splitlines():
            bare = line.strip()
            if bare.startswith(("//", "/*", "*")):
                before.append(bare)
            elif bare and not bare.startswith(("#pragma once", "syntax")):
                break
        ok = len(before) >= (1 if path.endswith(".cc") or text.count("\n") <= 60 else 2)
    else:
        return []
    return [] if ok else [f"{path}: opens without saying its concept, owner, thread and lifetime"]


def test_names(path, text):
    """Names are sentences: three words at least."""
    if path.startswith("tests/tidy/"):
        return []
    complaints = []
    if path.startswith("tests/") and path.endswith(".cc"):
        for match in re.finditer(r'\b(?:TEST_CASE|SCENARIO)\(\s*"((?:\\.|[^"\\])*)"', text):
            if len(match.group(1).split()) < 3:
                complaints.append(f"{path}:{line_of(text, match.start())}: not a sentence: {match.group(1)!r}")
    if path.startswith("tests/") and re.search(r"/test_\w+\.py$", path):
        for match in re.finditer(r"^\s*(?:async )?def (test_\w+)", text, re.M):
            if len(match.group(1).split("_")) < 4:
                complaints.append(f"{path}:{line_of(text, match.start())}: not a sentence: {match.group(1)}")
    return complaints


def documents(root):
    """Each directory, hook and scenario is named in the README that must name it, and links lead somewhere."""
    complaints = []

    def must_name(readme, names):
        text = (root / readme).read_text() if (root / readme).exists() else ""
        if names and not text:
            complaints.append(f"{readme}: missing")
        for name in names:
            if text and name not in text:
                complaints.append(f"{readme}: does not name {name}")

    def directories(top):
        return sorted(f"{d.name}/" for d in (root / top).glob("*") if d.is_dir() and any(d.iterdir())
                      and d.name != "__pycache__")

    must_name("README.md", ["./dev demo", "./dev test"])
    must_name("tests/README.md", directories("tests"))
    must_name("tests/README.md", sorted(f.name for f in (root / "tests/netns").glob("test_*.py")))
    must_name("nodeproxy/README.md", directories("nodeproxy"))
    must_name("bpf/README.md", sorted(f.name for f in (root / "bpf").glob("*.bpf.c")))
    for readme in sorted(files(root, (".md",))):
        for match in re.finditer(r"\]\(([^)#\s]+)(#[^)]*)?\)", (root / readme).read_text()):
            if "://" not in match.group(1) and not (root / readme).parent.joinpath(match.group(1)).exists():
                complaints.append(f"{readme}: a link to {match.group(1)}, which does not exist")
    return complaints


def dev_commands(root):
    """Every `./dev WORD` that a document promises is a command of ./dev."""
    if not (root / "dev").exists():
        return ["dev: missing"]
    known = set(re.findall(r"^cmd_(\w+)\(\)", (root / "dev").read_text(), re.M)) | {"help"}
    return [f"{readme}: ./dev {word} does not exist" for readme in sorted(files(root, (".md",)))
            for word in re.findall(r"\./dev[ ]+([a-z]+)", (root / readme).read_text()) if word not in known]


def tiers_built(root):
    """Every tier that ./dev runs from a build is one that the build's preset makes: else it has no tests there."""
    dev = (root / "dev").read_text()
    runs = re.findall(r"\bsubdirectory (\w+) ([\w/]+)", dev)
    for tier, builds in re.findall(r"^ +(\w+)\) echo ([a-z ]+) ;;$", dev, re.M):
        runs += [(build, tier) for build in builds.split() if tier != "long"]  # which is spelt out
    presets = json.loads((root / "CMakePresets.json").read_text())["configurePresets"]
    made = {preset["name"]: preset.get("cacheVariables", {}).get("WEIR_TIERS") for preset in presets}
    return [f"dev: runs {tier} from the build {build}, whose preset does not make it" for build, tier in runs
            if build not in made or made[build] and tier not in made[build].split(";")]


def top_level(root):
    return [f"{entry.name}: not one of the entries of the top level" for entry in sorted(root.iterdir())
            if not entry.name.startswith(".") and entry.name not in TOP]


def fuzz_corpora(root):
    """A fuzz target without a corpus replays nothing."""
    return [f"{source.relative_to(root)}: no corpus in tests/fuzz/corpus/{source.stem}/"
            for source in sorted((root / "tests/fuzz").glob("*.cc"))
            if not any((root / "tests/fuzz/corpus" / source.stem).glob("*"))]


TESTED = re.compile(r"`([\w/]+): ([^`]+)`")  # `http/h1_head: a path passes untouched`, `netns/test_h2: test_…`


def rules_tested(root):
    """Every rule in the tables of tests/README.md names a test that is there: a Catch2 sentence or a Python function."""
    complaints, table = [], False
    for number, line in enumerate((root / "tests/README.md").read_text().splitlines(), 1):
        table = line.startswith("| rule ") or (table and line.startswith("| "))
        found = TESTED.findall(line)
        if table and not found and not line.startswith(("| rule ", "| ---")):
            complaints.append(f"tests/README.md:{number}: a rule without a test")
        complaints += [f"tests/README.md:{number}: {place} has no test {name!r}" for place, name in found
                       if name not in tests_of(root, place)]
    return complaints


@functools.lru_cache(maxsize=None)
def tests_of(root, place):
    """Names of the tests of a file: DIR/STEM is unit/DIR/STEM_test.cc, sim/STEM_test.cc or a tier's STEM.py."""
    names = set()
    for path in (root / f"tests/unit/{place}_test.cc", root / f"tests/{place}_test.cc", root / f"tests/{place}.py"):
        if path.exists():
            text = re.sub(r'"\s*\n\s*"', "", path.read_text())
            names |= set(re.findall(r'\b(?:TEST_CASE|FOR_EVERY_KERNEL_DRIVER|FOR_EVERY_DRIVER)\(\s*"((?:\\.|[^"\\])*)"', text))
            names |= set(re.findall(r"^def (test_\w+)", text, re.M))
    return names


def files(root, suffixes):
    """Paths of the project's own files with one of these suffixes, relative to root."""
    for top in sorted(root.iterdir()):
        if top.name in ("build", ".git"):
            continue
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.name.endswith(tuple(suffixes)):
                yield path.relative_to(root).as_posix()


FILE_RULES = [include_arrows, file_length, line_length, function_length, bans, unfinished_work, pragma_once,
              opening_comment, test_names]
TREE_RULES = [documents, dev_commands, tiers_built, top_level, fuzz_corpora, rules_tested]
