"""The shape of the code base: layers, purity, twins, docstrings. Each gate is also run on a tree that breaks it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from py_identity_model import _lazy

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "py_identity_model"
SOURCE = ROOT / "src" / PACKAGE
ARCHITECTURE = ROOT / "docs" / "contributing" / "architecture.md"
#: What the core may not import: transports, event loops, clocks, the environment.
IMPURE = frozenset(
    {"aiohttp", "anyio", "asyncio", "http", "httpx", "httpx2", "os", "platform", "random", "requests", "select", "sys"}
    | {"io", "pathlib", "selectors", "tempfile", "signal", "socket", "ssl", "subprocess", "time", "trio", "urllib3"}
)
#: Calls that read a clock or the world without importing one of the above.
IMPURE_CALLS = frozenset({"open", "input", "now", "utcnow", "today", "getenv", "urlopen"})


# ---- reading the tree


@dataclass(frozen=True)
class Import:
    """One import of one module, with the line it stands on."""

    importer: str
    target: str
    line: int

    @property
    def outside(self) -> str | None:
        """The top-level name of a third-party package or standard module; None for the package's own modules."""
        return None if self.target.startswith(PACKAGE) else self.target.partition(".")[0]


def module_of(path: Path, source: Path) -> str:
    """Return a file's name on the table of layers: ``_core/base/flow``."""
    return path.relative_to(source).with_suffix("").as_posix()


def modules(source: Path) -> dict[str, ast.Module]:
    """Return every module of the package, parsed."""
    return {
        module_of(p, source): ast.parse(p.read_text(encoding="utf-8"), str(p)) for p in sorted(source.rglob("*.py"))
    }


def _absolute(module: str, node: ast.ImportFrom) -> str:
    parts = [PACKAGE, *module.split("/")][: -node.level] if node.level else []
    return ".".join([*parts, *([node.module] if node.module else [])])


def imports_of(module: str, tree: ast.Module, known: frozenset[str]) -> Iterator[Import]:
    """Yield the imports of one module, wherever they stand; a module imported by name from its package counts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            dotted = _absolute(module, node)
            for alias in node.names:
                inner = as_module(f"{dotted}.{alias.name}", known) if dotted.startswith(PACKAGE) else None
                yield Import(module, f"{dotted}.{alias.name}" if inner else dotted, node.lineno)


def as_module(dotted: str, known: frozenset[str]) -> str | None:
    """Return the module behind a dotted module name of this package, if there is one."""
    path = dotted.removeprefix(PACKAGE).lstrip(".").replace(".", "/")
    package = f"{path}/__init__" if path else "__init__"
    return path if path in known else package if package in known else None


def all_imports(source: Path) -> list[Import]:
    """Return every import of the package below *source*."""
    trees = modules(source)
    return [found for module, tree in trees.items() for found in imports_of(module, tree, frozenset(trees))]


# ---- the table of layers


@dataclass(frozen=True)
class Layer:
    """A row of the table: modules in order, and the packages it may import from outside."""

    name: str
    patterns: tuple[str, ...]
    outside: frozenset[str] | None


def read_layers(text: str) -> list[Layer]:
    """Read the table of layers out of the architecture page."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    head = next(i for i, row in enumerate(rows) if row[0] == "layer")
    return [
        Layer(
            name,
            tuple(re.findall(r"`([^`]+)`", listed)),
            None if outside == "any" else frozenset(re.findall(r"`([^`]+)`", outside)),
        )
        for name, listed, outside in rows[head + 1 :]
        if not name.startswith("-")
    ]


def place(module: str, layers: list[Layer]) -> tuple[int, int] | None:
    """Return (layer, position) of a module; an exact name goes before a pattern."""
    found = [(f, p, pattern) for f, layer in enumerate(layers) for p, pattern in enumerate(layer.patterns)]
    exact = [(f, p) for f, p, pattern in found if pattern == module]
    return next(iter(exact + [(f, p) for f, p, pattern in found if fnmatchcase(module, pattern)]), None)


def layer_violations(source: Path, layers: list[Layer]) -> list[str]:
    """Name every module without a place, every import upwards, every package that a layer may not import."""
    known = frozenset(modules(source))
    found = [f"{module}: on no layer" for module in known if place(module, layers) is None]
    for each in all_imports(source):
        here, target = place(each.importer, layers), as_module(each.target, known)
        if here is None:
            continue
        where = f"{each.importer}:{each.line}"
        if each.outside:
            allowed = layers[here[0]].outside
            if allowed is not None and each.outside not in sys.stdlib_module_names | allowed:
                found.append(f"{where}: imports {each.outside}")
        elif target is None:
            found.append(f"{where}: imports {each.target}, which is nowhere")
        elif (there := place(target, layers)) is not None and there > here:
            found.append(f"{where}: imports {target} from above")
    return found


def cycles(source: Path) -> list[str]:
    """Name one import cycle per module that takes part in one."""
    known = frozenset(modules(source))
    edges: dict[str, set[str]] = {module: set() for module in known}
    for each in all_imports(source):
        if (target := as_module(each.target, known)) and target != each.importer:
            edges[each.importer].add(target)

    def reaches(start: str) -> bool:
        seen, todo = set(), list(edges[start])
        while todo:
            module = todo.pop()
            if module == start:
                return True
            if module not in seen:
                seen.add(module)
                todo += edges[module]
        return False

    return sorted(module for module in known if reaches(module))


def impurities(source: Path) -> list[str]:
    """Name what core modules do that only drivers and doors may do."""
    found = [
        f"{each.importer}:{each.line}: imports {each.outside}"
        for each in all_imports(source)
        if each.importer.startswith("_core/") and each.outside in IMPURE
    ]
    for module, tree in modules(source).items():
        if not module.startswith("_core/"):
            continue
        local = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        imported = {
            a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level for a in n.names
        }
        for node in ast.walk(tree):
            name = called(node)
            if name == "open" and isinstance(node.func, ast.Attribute):  # type: ignore[attr-defined]
                continue  # a method of that name opens a token, or a Path, which IMPURE refuses by its module
            if name in IMPURE_CALLS and name not in local | imported:
                found.append(f"{module}:{node.lineno}: calls {name}()")  # type: ignore[attr-defined]
    return found


def called(node: ast.AST) -> str | None:
    """Return the last name of what a call calls."""
    if not isinstance(node, ast.Call):
        return None
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return None


# ---- gates on the real tree


@pytest.fixture(scope="module")
def layers() -> list[Layer]:
    """The table of layers of the architecture page."""
    return read_layers(ARCHITECTURE.read_text(encoding="utf-8"))


def test_imports_point_down(layers: list[Layer]) -> None:
    """Every module has a place in the table of layers and imports only from earlier modules and layers below."""
    assert layer_violations(SOURCE, layers) == []


def test_the_table_of_layers_names_only_modules_that_exist(layers: list[Layer]) -> None:
    """A name in the table without a module is refused: the page must not describe what is not there."""
    known = modules(SOURCE)
    listed = [pattern for layer in layers for pattern in layer.patterns]
    assert [p for p in listed if not any(fnmatchcase(module, p) for module in known)] == []
    assert len(listed) == len(set(listed))


def misguided(package: Path) -> list[str]:
    """Say what is wrong with the docstring of a package: it names the module to open first, and modules that exist."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    named = re.findall(r"``(\w+)``", ast.get_docstring(tree) or "")
    found = [f"{package.name}: no module {name}" for name in named if not (package / f"{name}.py").exists()]
    if f"Open ``{next(iter(named), '')}`` first" not in (ast.get_docstring(tree) or ""):
        found.append(f"{package.name}: which module to open first")
    return found + [f"{package.name}: more than a docstring"] * (len(tree.body) != 1)


def test_packages_say_where_to_begin() -> None:
    """A package of the core is its docstring and nothing else: what lives there, and which module to open first."""
    packages = [path.parent for path in (SOURCE / "_core").glob("*/__init__.py")]
    assert len(packages) >= 11
    assert [fault for package in sorted(packages) for fault in misguided(package)] == []


def test_no_import_cycles() -> None:
    """No module reaches itself through imports, lazy ones included."""
    assert cycles(SOURCE) == []


def test_the_core_is_pure() -> None:
    """The core imports no transport, event loop, clock or environment, and opens nothing."""
    assert impurities(SOURCE) == []


def test_a_module_is_a_topic() -> None:
    """No module is named after a kind of thing instead of a topic."""
    kinds = {"utils", "util", "helpers", "models", "validators", "common", "misc"}
    assert {name for name in modules(SOURCE) if name.rpartition("/")[2] in kinds} == set()


def test_the_doors_export_what_they_list() -> None:
    """Every import under TYPE_CHECKING is a public name, read from source and from compiled code alike."""
    for door in (PACKAGE, f"{PACKAGE}.sync", f"{PACKAGE}.aio"):
        spec = importlib.util.find_spec(door)
        assert spec is not None
        source = Path(spec.origin or "").read_text(encoding="utf-8")
        homes = dict(_lazy.homes_of(door))
        listed = [
            (alias.name, "." * node.level + (node.module or ""))
            for branch in ast.parse(source).body
            if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
            for node in branch.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        stars = [importlib.util.resolve_name(relative, spec.parent) for name, relative in listed if name == "*"]
        names = {name for name, _ in listed if name != "*"}
        assert homes.keys() == names.union(*(dict(_lazy.homes_of(star)) for star in stars))
        assert homes.keys() == set(importlib.import_module(door).__all__)
        compiled = _lazy._listed_in_code(compile(source, door, "exec"))
        assert sorted(compiled) == sorted((relative, "" if name == "*" else name) for name, relative in listed)


def names_with_two_homes(source: Path) -> list[str]:
    """Name each public name whose listed module does not define it."""
    trees = modules(source)
    found = []
    for name, home in _lazy.homes_of(PACKAGE):
        body = trees[home.removeprefix(f"{PACKAGE}.").replace(".", "/")].body
        if name not in {defined for node in body for defined in definitions(node)}:
            found.append(f"{name}: {home} does not define it")
    return found


def definitions(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module defines; an import defines none."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def names_listed_elsewhere(source: Path) -> list[str]:
    """Name what a module lists in ``__all__`` and does not define: it is imported from where it is defined."""
    found = []
    for module, tree in modules(source).items():
        defined = {name for node in ast.walk(tree) if isinstance(node, ast.stmt) for name in definitions(node)}
        found += [
            f"{module}: {constant.value}"
            for node in tree.body
            if isinstance(node, ast.Assign) and definitions(node) == ["__all__"]
            for constant in ast.walk(node.value)
            if isinstance(constant, ast.Constant) and constant.value not in defined
        ]
    return found


def imports_through(source: Path) -> list[str]:
    """Name each import of the core's names from a module that only imports them itself."""
    trees = modules(source)
    known = frozenset(trees)
    defined = {
        module: {name for node in ast.walk(tree) if isinstance(node, ast.stmt) for name in definitions(node)}
        for module, tree in trees.items()
    }
    found = []
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not (home := as_module(_absolute(module, node), known)):
                continue
            if home.startswith("_core/") and not home.endswith("__init__"):
                found += [
                    f"{module}:{node.lineno}: {alias.name} through {home}"
                    for alias in node.names
                    if alias.name not in defined[home]
                ]
    return found


def test_each_public_name_has_one_home() -> None:
    """A public name is exported from the module that defines it."""
    assert names_with_two_homes(SOURCE) == []


def test_a_module_lists_only_what_it_defines() -> None:
    """``__all__`` names definitions of the module itself, and names of the core are imported from where they are."""
    assert names_listed_elsewhere(SOURCE) == []
    assert imports_through(SOURCE) == []


def test_type_checkers_see_every_export_and_no_other(tmp_path: Path) -> None:
    """A user's program is typed through each door, and a name that is not there is an error, not Any."""
    program = tmp_path / "program.py"
    doors = "py_identity_model", "py_identity_model.sync", "py_identity_model.aio"
    names = importlib.import_module(PACKAGE).__all__
    lines = [f"from {door} import {name} as n{number}" for door in doors for number, name in enumerate(names)]
    program.write_text("\n".join([*lines, f"from {PACKAGE} import TokenValidatr", "reveal_type(n0)"]))
    check = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path), str(program)]
    done = subprocess.run(check, capture_output=True, text=True, check=False, cwd=ROOT)
    errors = [line for line in done.stdout.splitlines() if "error:" in line and "Incompatible import" not in line]
    assert len(errors) == 1, done.stdout[-2000:] + done.stderr
    assert "TokenValidatr" in errors[0]


def test_importing_the_package_is_cheap_and_quiet() -> None:
    """``import py_identity_model`` loads no HTTP client, opens nothing and changes no environment variable."""
    probe = (
        "import os, sys\n"
        "before = dict(os.environ)\n"
        "files = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0\n"
        "import py_identity_model, py_identity_model.aio\n"
        "loaded = {'httpx', 'httpx2', 'anyio', 'ssl', 'joserfc', 'rich', 'typer'} & set(sys.modules)\n"
        "after = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0\n"
        "sys.exit(repr((loaded, files, after)) if loaded or dict(os.environ) != before or files != after else 0)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- twins: both APIs


def door_twins(source: Path) -> list[str]:
    """Return the topics that stand in ``sync/`` or ``aio/``, transports aside."""
    names = {p.stem for side in ("sync", "aio") for p in (source / side).glob("*.py")}
    return sorted(
        names - {"__init__", "_clients", "_loop", "_loop_client", "http_client", "token_validation", "token_client"}
    )


def _signature(value: object) -> list[tuple[str, str, str]]:
    clean = re.compile(r"\b(Async|Sync)(?=[A-Z])|\bAwaitable\[|\b(aio|sync)\.| \| AsyncIterable\[\w+\]")
    return [
        (parameter.name, str(parameter.kind), clean.sub("", f"{parameter.annotation}={parameter.default!r}"))
        for parameter in inspect.signature(value).parameters.values()  # type: ignore[arg-type]
    ]


def _public(module: object) -> dict[str, object]:
    return {name: getattr(module, name) for name in getattr(module, "__all__", ())}


def _methods(cls: type) -> dict[str, object]:
    own = {name: value for name, value in inspect.getmembers(cls, callable) if not name.startswith("_")}
    return {**own, "__init__": cls.__init__}  # type: ignore[misc]


def twin_differences(sync: object, aio: object) -> list[str]:
    """Name every public function or method whose parameters, defaults or annotations differ between both APIs."""
    ours, theirs = _public(sync), _public(aio)
    found = [f"{name}: only on one side" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in sorted(ours.keys() & theirs.keys()):
        pair = ours[name], theirs[name]
        if pair[0] is pair[1]:
            continue
        if all(inspect.isclass(value) for value in pair):
            left, right = (_methods(value) for value in pair)  # type: ignore[arg-type]
            found += [f"{name}.{m}: only on one side" for m in sorted(left.keys() ^ right.keys())]
            pairs = [(f"{name}.{m}", left[m], right[m]) for m in sorted(left.keys() & right.keys())]
        else:
            pairs = [(name, *pair)]
        found += [
            f"{label}{inspect.signature(one)} is not {inspect.signature(two)}"  # type: ignore[arg-type]
            for label, one, two in pairs
            if callable(one) and callable(two) and _signature(one) != _signature(two)
        ]
    return found


@pytest.mark.parametrize("topic", door_twins(SOURCE))
def test_both_doors_have_the_same_signatures(topic: str) -> None:
    """A topic has the same names, parameters, defaults and annotations in ``sync`` and in ``aio``."""
    sync, aio = (importlib.import_module(f"{PACKAGE}.{side}.{topic}") for side in ("sync", "aio"))
    assert twin_differences(sync, aio) == []


def test_aio_exports_every_name() -> None:
    """One import line serves an async program: whatever ``py_identity_model`` exports, ``aio`` exports too."""
    package, aio = importlib.import_module(PACKAGE), importlib.import_module(f"{PACKAGE}.aio")
    assert set(package.__all__) - set(aio.__all__) == set()


# ---- docstrings


def public_definitions(source: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield every function and class that its module exports in ``__all__``, and their public methods."""
    for module, tree in modules(source).items():
        exported = {
            constant.value
            for node in tree.body
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
            for constant in ast.walk(node.value)
            if isinstance(constant, ast.Constant)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in exported:
                yield f"{module}:{node.lineno} {node.name}", node
                if isinstance(node, ast.ClassDef):
                    yield from (
                        (f"{module}:{inner.lineno} {node.name}.{inner.name}", inner)
                        for inner in node.body
                        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_")
                    )


def docstring_faults(source: Path) -> list[str]:
    """Name public definitions without a docstring, and functions whose first sentence does not tell what to do."""
    found = []
    definitions = list(public_definitions(source))
    told = {node.name for _, node in definitions if ast.get_docstring(node)}
    for label, node in definitions:
        text = ast.get_docstring(node)
        if text is None:
            if node.name not in told:  # an override is documented where the method is first defined
                found.append(f"{label}: no docstring")
            continue
        first = text.split("\n\n")[0]
        if not first.rstrip().endswith((".", ":", "?", "``")):
            found.append(f"{label}: the first sentence does not end")
        if not isinstance(node, ast.ClassDef) and re.match(
            r"(Returns|Gets|Checks|Creates|Builds|Parses|This|Function)\b", first
        ):
            found.append(f"{label}: not in the imperative")
    return found


def test_public_names_have_docstrings() -> None:
    """Every exported function, class and public method says in one imperative sentence what it does."""
    assert docstring_faults(SOURCE) == []


# ---- the project speaks only of itself


def foreign_words(text: str) -> list[str]:
    """Return words that belong to the place where it was written, not to the project."""
    joined = [
        r"/" + r"work/",
        r"\.\./" + "shared",
        "house" + r"\.md",
        "guide" + r"\.md\b",
        "before" + "-stop",
        r"\bissue #?\d+",
    ]
    return re.findall("|".join(joined), text)


def test_the_project_speaks_only_of_itself() -> None:
    """No file of the project mentions the place it was written at; two constants of the tests name files there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = [
        path
        for path in listed.split("\0")
        if path.endswith((".py", ".md", ".toml", ".yml", ".rs", ".mjs", ".sh", "run"))
    ]
    assert texts
    allowed = {"tests/parts.py"}  # the constants that find vectors and guide, beside the checkout
    found = {
        path: words
        for path in texts
        if path not in allowed
        and (ROOT / path).exists()
        and (words := foreign_words((ROOT / path).read_text(encoding="utf-8")))
    }
    assert found == {}


# ---- every gate trips


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tiny package with a module on each of two layers."""
    for name in ("__init__", "_core/__init__", "_core/low", "_core/high", "sync/__init__", "aio/__init__"):
        path = tmp_path / PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('"""Module."""\n', encoding="utf-8")
    return tmp_path / PACKAGE


PLAN = """
| layer | modules | outside |
|---|---|---|
| ground | `_core/__init__` `_core/low` | `msgspec` |
| up | `_core/high` `*` | any |
"""


@pytest.mark.parametrize(
    ("module", "code", "said"),
    [
        ("_core/low", "from .high import x", "_core/low:1: imports _core/high from above"),
        ("_core/low", "from . import high", "_core/low:1: imports _core/high from above"),
        (
            "_core/low",
            "def f():\n  import py_identity_model._core.high",
            "_core/low:2: imports _core/high from above",
        ),
        ("_core/low", "import requests", "_core/low:1: imports requests"),
        ("_core/low", "from .gone import x", "_core/low:1: imports py_identity_model._core"),
        ("_core/low", "import msgspec", None),
        ("_core/high", "from .low import x", None),
        ("_core/high", "import requests", None),
    ],
)
def test_the_layer_gate_trips(tree: Path, module: str, code: str, said: str | None) -> None:
    """An import upwards, sideways out of the package, or to nowhere is named; one downwards is not."""
    (tree / f"{module}.py").write_text(code, encoding="utf-8")
    found = layer_violations(tree, read_layers(PLAN))
    assert len(found) == (said is not None)
    assert said is None or found[0].startswith(said)


def test_a_module_on_no_layer_trips(tree: Path) -> None:
    """A module that the plan does not mention is named."""
    plan = PLAN.replace(" `*`", "")
    assert "sync/__init__: on no layer" in layer_violations(tree, read_layers(plan))


def test_the_gate_for_packages_trips(tree: Path) -> None:
    """A package that names no module to begin with, or one that is gone, or that does something, is named."""
    for text, faults in (
        ('"""Open ``low`` first."""', []),
        ('"""Open ``gone`` first."""', ["_core: no module gone"]),
        ('"""Things."""', ["_core: which module to open first"]),
        ('"""Open ``low`` first."""\nfrom .low import f\n', ["_core: more than a docstring"]),
    ):
        (tree / "_core/__init__.py").write_text(text, encoding="utf-8")
        assert misguided(tree / "_core") == faults


def test_the_cycle_gate_trips(tree: Path) -> None:
    """Two modules that import each other are named, also if one does so inside a function."""
    (tree / "_core/low.py").write_text("def f():\n    from .high import x\n", encoding="utf-8")
    (tree / "_core/high.py").write_text("from .low import f\n", encoding="utf-8")
    assert cycles(tree) == ["_core/high", "_core/low"]


def test_the_gate_for_one_home_trips(tree: Path) -> None:
    """A name listed by a module that imports it, and an import through that module, are named."""
    (tree / "_core/low.py").write_text("class Low: ...\n__all__ = ['Low']\n", encoding="utf-8")
    (tree / "_core/high.py").write_text("from .low import Low\n__all__ = ['Low']\n", encoding="utf-8")
    (tree / "sync/__init__.py").write_text("from .._core.high import Low\n", encoding="utf-8")
    assert names_listed_elsewhere(tree) == ["_core/high: Low"]
    assert imports_through(tree) == ["sync/__init__:1: Low through _core/high"]


@pytest.mark.parametrize(
    "code", ["import time", "from os import environ", "import httpx2", "open('x')", "datetime.now()", "import asyncio"]
)
def test_the_purity_gate_trips(tree: Path, code: str) -> None:
    """Clocks, files, environment, transports and event loops are named in the core, and only there."""
    (tree / "sync/__init__.py").write_text(code, encoding="utf-8")
    assert impurities(tree) == []
    (tree / "_core/low.py").write_text(code, encoding="utf-8")
    assert len(impurities(tree)) == 1


def test_the_twin_gate_trips() -> None:
    """A default, a name or a parameter that differs between both APIs is named."""

    class Sync:
        __all__ = ("ask", "extra")

        @staticmethod
        def ask(address: str, limit: int = 1) -> str: ...

        extra = staticmethod(len)

    class Aio:
        __all__ = ("ask",)

        @staticmethod
        async def ask(address: str, limit: int = 2) -> str: ...

    found = twin_differences(Sync, Aio)
    assert [line.partition(":")[0].partition("(")[0] for line in found] == ["extra", "ask"]


def test_the_docstring_gate_trips(tree: Path) -> None:
    """A missing docstring, an unfinished sentence and a description instead of an order are named."""
    bodies = {"a": "...", "b": '"""Do"""', "c": '"""Returns x."""', "d": '"""Do it."""'}
    code = f"__all__ = {list(bodies)}\n" + "".join(f"def {name}(): {body}\n" for name, body in bodies.items())
    (tree / "_core/low.py").write_text(code, encoding="utf-8")
    assert [line.partition(" ")[2][0] for line in docstring_faults(tree)] == ["a", "b", "c"]


def test_the_foreign_words_gate_trips() -> None:
    """A path of a workplace is found; ordinary words are not."""
    assert foreign_words("see /" + "work/main") == ["/" + "work/"]
    assert foreign_words("work/shared interests; the guide; an issuer 2") == []
