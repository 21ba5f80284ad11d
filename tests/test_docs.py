"""The documentation tells the truth: its code runs, its tables are complete, examples come out as written."""

from __future__ import annotations

import ast
import contextlib
import doctest
import functools
import importlib
import importlib.util
import inspect
import json
import math
import os
import pickle
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import EnumType
from pathlib import Path
from typing import Any

import pytest

import py_identity_model
import py_identity_model.aio
import snippets
from py_identity_model.exceptions import DOCUMENTATION
from py_identity_model.settings import Settings

ROOT = snippets.ROOT
SOURCE = ROOT / "src" / "py_identity_model"
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
ERRORS = DOCS / "reference" / "errors.md"
CONFIGURATION = DOCS / "reference" / "configuration.md"
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[snippets.World]:
    """A provider behind the address that the pages use, and the files they speak of."""
    world = snippets.World(monkeypatch, "https://id.example.com")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys.json").write_text(json.dumps(world.provider.key_set()), encoding="utf-8")
    if importlib.util.find_spec("keyring"):
        monkeypatch.setattr("keyring.get_keyring", Keyring)
    yield world
    world.forget()


class Keyring:
    """The keyring of the desktop that the pages speak of."""

    priority = 5


# ---- code blocks


@pytest.mark.parametrize("block", snippets.python_blocks(*PAGES), ids=lambda block: block.label)
def test_code_blocks_run(block: snippets.Block, world: snippets.World) -> None:
    """Every Python block of README and documentation runs as written, with a provider behind it.

    Where the framework of a block is not installed, the block at least compiles.
    """
    compile(block.code, block.label, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if not block.needs or importlib.util.find_spec(block.needs):
        world.run(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_code_blocks_are_deliberate(page: Path) -> None:
    """A block is Python that runs, Python for another library that at least compiles, or names its language."""
    for block in snippets.blocks(page):
        assert block.info, f"{block.label} names no language"
        assert (
            block.is_python
            or block.needs
            or block.is_before
            or block.info in {"diff", "sh", "text", "json", "toml", "yaml", "js"}
        ), block.label
        if block.is_before:
            compile(block.code, block.label, "exec")


DIFFS = [each for page in sorted((DOCS / "migration").glob("*.md")) for each in snippets.blocks(page)]
DIFFS = [each for each in DIFFS if each.info == "diff"]


def side(block: snippets.Block, mark: str) -> str:
    """Return one side of a diff: what was there, or what is there afterwards."""
    return "".join(line[1:] or line for line in block.code.splitlines(keepends=True) if line[:1] in (" ", mark, "\n"))


@pytest.mark.parametrize("block", DIFFS, ids=lambda block: block.label)
def test_diffs_of_migrations_run(block: snippets.Block, world: snippets.World) -> None:
    """What a migration page changes a program to runs as written; what it was is a program, too."""
    compile(side(block, "-"), block.label, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    world.run(replace(block, code=side(block, "+")))


def test_a_broken_block_fails(world: snippets.World, tmp_path: Path) -> None:
    """A block that raises is reported under its page and line."""
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\nraise RuntimeError('no')\n```\n", encoding="utf-8")
    (block,) = snippets.python_blocks(page)
    assert block.label == "page.md:3"
    with pytest.raises(RuntimeError, match="no"):
        world.run(block)


# ---- docstrings


def module_names() -> list[str]:
    """Return every module of the package."""
    found = pkgutil.walk_packages(py_identity_model.__path__, "py_identity_model.")
    # Modules for Django want its settings, once for a process; their examples are programs that are served.
    return ["py_identity_model", *(module.name for module in found if "django" not in module.name)]


@pytest.mark.parametrize("name", module_names())
def test_docstring_examples(name: str, world: snippets.World) -> None:
    """The examples in docstrings come out as written."""
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).failed == 0


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the site is made with."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("docs_site")


def test_docstrings_become_markdown(site: Any) -> None:
    """The site shows the examples of docstrings as code, not as the quotations that Markdown takes them for."""
    shown = site.to_markdown("See :class:`~a.B`.\n\n    >>> with b:\n    ...     c\n    1\n\nEnd.")
    assert shown == "See `a.B`.\n\n    ```pycon\n    >>> with b:\n    ...     c\n    1\n    ```\n\nEnd."


def test_the_api_reference_is_complete(site: Any) -> None:
    """Every public name stands once on the pages of the reference, and the index leads to it."""
    reference = site.docs_reference
    shown = [
        (page, line.rpartition(".")[2].removeprefix("### "))
        for page in set(reference.places().values())
        for line in reference.entries(page).splitlines()
        if line.startswith(("::: ", "### "))
    ]
    doors = [importlib.import_module(door).__all__ for door in reference.DOORS]
    assert sorted(name for _, name in shown) == sorted({name for names in doors for name in names})
    assert set(re.findall(r"\(api/([\w-]+)\.md#(\w+)\)", reference.index())) == set(shown)
    assert {path.stem for path in (DOCS / "reference" / "api").glob("*.md")} == {
        *reference.places().values(),
        "integrations",
    }


def test_every_field_of_a_public_class_is_described(site: Any) -> None:
    """The reference says a sentence about each field; a field that nothing is said about is missed."""
    assert site.docs_reference.docs_fields.undescribed(site.docs_reference.values) == []

    @dataclass
    class Silent:
        """It has one field.

        Attributes:
            told: What it is.
        """

        told: int
        untold: str | None = None
        #: What a comment says.
        commented: int = 0

    assert site.docs_reference.docs_fields.undescribed(lambda: iter([("Silent", Silent)])) == ["Silent.untold"]


def test_the_reference_shows_every_field(site: Any) -> None:
    """A table of all fields, inherited ones too, takes the place of the section on some of them."""
    request = py_identity_model.TokenIntrospectionRequest
    shown = site.docs_reference.docs_fields.with_table(request.__doc__, request)
    told = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (\S+) \| (.+) \|$", shown, re.MULTILINE)
    assert [name for name, *_ in told] == [field.name for field in fields(request)]
    assert ("token", "str | Secret", "*required*", "The token.") in told
    assert "Attributes:" not in shown
    method = py_identity_model.ClientAuthMethod
    assert "`private_key_jwt`" in site.docs_reference.docs_fields.with_table(method.__doc__ or "", method).lower()


def test_links_that_need_not_be_written(site: Any) -> None:
    """RFCs lead to their section and error codes to their explanation, but not in code, headings and links."""
    left = "<h2>RFC 9449</h2><pre><code>token_expired</code></pre>"
    html = "<p>RFC 6749 4.1.3, RFC 7636; <code>token_expired</code></p>" + left
    linked = site.with_links(html, {"token_expired": "../errors/"})
    rfc = "https://www.rfc-editor.org/rfc/rfc"
    assert f'<p><a href="{rfc}6749#section-4.1.3">RFC 6749 4.1.3</a>, <a href="{rfc}7636">RFC 7636</a>; ' in linked
    assert '<a href="../errors/#token_expired"><code>token_expired</code></a></p>' in linked
    assert linked.endswith(left)


# ---- the names


def test_every_public_name_is_in_a_guide_or_marked_low_level(site: Any) -> None:
    """Each public name stands in a guide, or on the page of names, whose table says which of two spellings to write."""
    guides = [page for page in PAGES if not {"reference", "contributing"} & {*page.relative_to(ROOT).parts}]
    told = {word for page in guides for word in re.findall(r"\w+", page.read_text(encoding="utf-8"))}
    names = (DOCS / "reference" / "names.md").read_text(encoding="utf-8")
    marked = set(re.findall(r"`(\w+)`", names))
    public = {name for name, *_ in site.docs_reference.public()}
    assert public - told - marked == set(), "add them to a guide, or to docs/reference/names.md"
    listed = set(re.findall(r"`(\w+)`", names.partition("## Low-level names")[2]))
    assert listed - public - {"code"} == set(), "no public names"


def test_two_spellings_are_one_thing() -> None:
    """The other spelling of a name is the same object, and new code finds the one that the field writes."""
    for module in (py_identity_model, py_identity_model.aio):
        assert module.Fapi2LoginClient is module.FAPI2LoginClient
        assert module.Fapi2Profile is module.FAPI2Profile
    assert py_identity_model.Fapi2Profile.__name__ == "FAPI2Profile"


# ---- the README


def test_the_links_of_the_readme_work_on_a_package_index() -> None:
    """The README names full addresses only, and those of the documentation are of pages that are there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(links) > 40
    for link in links:
        assert link.startswith(DOCUMENTATION), link
        path = DOCS / link.removeprefix(DOCUMENTATION).partition("#")[0]
        assert path.is_file() or path.with_suffix(".md").is_file() or (path / "index.md").is_file(), link
        assert link.endswith("/") or path.is_file(), link


def test_the_comparison_of_the_readme_is_what_was_found_out() -> None:
    """Every cell beside others is the outcome of a check that has its name, on the version that is named."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    facts = json.loads((DOCS / "assets" / "bench" / "facts.json").read_text(encoding="utf-8"))
    checks = (ROOT / "bench" / "facts.py").read_text(encoding="utf-8")
    for name, cells in facts["facts"].items():
        assert f'"{name}": ' in checks, name
        assert list(cells) == list(facts["versions"])
        assert f"| {name} | {' | '.join(cells.values())} |\n" in text, name
    for name, version in facts["versions"].items():
        assert f"{name} {version}" in text


def test_the_comparison_can_be_found_out_again() -> None:
    """The checks say of this library what the table says, and a library that does not do a thing is told apart."""
    told = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-m", "bench.facts", "py-identity-model", "joserfc"]
    done = subprocess.run(command, env=told, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    facts = json.loads((DOCS / "assets" / "bench" / "facts.json").read_text(encoding="utf-8"))["facts"]
    wanted = [f"| {name} | {cells['py-identity-model']} | {cells['joserfc']} |" for name, cells in facts.items()]
    assert done.stdout.splitlines()[2:] == wanted


# ---- the errors reference


def _constants(node: ast.expr | None) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)) if CODE.fullmatch(text):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _constants(body)
            yield from _constants(orelse)


def _positions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield callables that take a ``code``, with the position of it: functions, and dataclasses with such a field."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            names = names[1:] if names[:1] in (["self"], ["cls"]) else names
        elif isinstance(node, ast.ClassDef):
            names = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        else:
            continue
        if "code" in names:
            yield node.name, names.index("code")


def _partials(tree: ast.Module, known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield what is made of such a callable by ``partial``: the arguments that are given come before the code.

    An object that can be called with a code counts too, whatever it is called where it is made or handed over.
    """
    callables = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and ("__call__", 0) in _positions(ast.Module(node.body, []))
    }
    for found in ast.walk(tree):
        match found:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=of))) if of in callables:
                yield name, 0
            case ast.arg(arg=name, annotation=ast.Name(id=of)) if of in callables:
                yield name, 0
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="partial"), args=[ast.Name(id=of), *given])
            ) if of in known:
                yield name, known[of] - len(given)


def codes_in(trees: list[ast.Module]) -> set[str]:
    """Return every code that the sources can raise.

    They stand in class attributes, in arguments named ``code`` and their defaults, in tables named ``..._CODES`` or
    ``FAILURES``, and are made in functions such as ``read(name)`` that raise ``f"{name}_invalid"``.
    """
    own = [dict(_positions(tree)) for tree in trees]
    shared = {name: at for names in own for name, at in names.items() if not name.startswith("_")}
    own = [names | dict(_partials(tree, shared | names)) for tree, names in zip(trees, own, strict=True)]
    made = _makers(trees, shared)
    return {code for tree, names in zip(trees, own, strict=True) for code in _codes(tree, shared | names, made)}


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _code_arguments(call: ast.Call, positions: Mapping[str, int]) -> Iterator[ast.expr]:
    name, args = _called(call), call.args
    if name == "partial" and args and isinstance(args[0], ast.Name):  # which may give the code already
        name, args = args[0].id, args[1:]
    position = positions.get(name, math.inf)
    if 0 <= position < len(args):
        yield args[int(position)]
    yield from (word.value for word in call.keywords if word.arg == "code")


def _codes(tree: ast.Module, positions: Mapping[str, int], made: set[tuple[str, int, str]]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(body=body):
                for line in body:
                    match line:
                        case ast.Assign(targets=[ast.Name(id="code")], value=value):
                            found.update(_constants(value))
                        case ast.AnnAssign(target=ast.Name(id="code"), value=value):
                            found.update(_constants(value))
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict(values=values)):
                if name == "FAILURES" or name.endswith("_CODES"):
                    found.update(text for value in values for text in _constants(value))
            case ast.Call(args=args):
                found.update(text for given in _code_arguments(node, positions) for text in _constants(given))
                for name, position, suffix in made:
                    if name == _called(node) and position < len(args):
                        found.update(text + suffix for text in _constants(args[position]))
            case ast.FunctionDef(args=arguments):
                named = [*arguments.posonlyargs, *arguments.args][-len(arguments.defaults) or len(arguments.args) :]
                pairs = [*zip(named, arguments.defaults, strict=False)]
                pairs += [*zip(arguments.kwonlyargs, arguments.kw_defaults, strict=False)]  # type: ignore[list-item]
                found.update(text for argument, value in pairs if argument.arg == "code" for text in _constants(value))
    return found


def _makers(trees: list[ast.Module], positions: Mapping[str, int]) -> set[tuple[str, int, str]]:
    """Return functions that make a code of an argument: name, position of it, and what they put behind it."""
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    calls = {function: [node for node in ast.walk(function) if isinstance(node, ast.Call)] for function in functions}
    found: set[tuple[str, int, str]] = set()
    while True:
        more = {maker for pair in calls.items() for maker in _maker(*pair, positions, found)} - found
        if not more:
            return found
        found |= more


def _maker(
    function: ast.FunctionDef, calls: list[ast.Call], positions: Mapping[str, int], known: set[tuple[str, int, str]]
) -> Iterator[tuple[str, int, str]]:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    for call in calls:
        for given in _code_arguments(call, positions):
            match given:
                case ast.JoinedStr(
                    values=[ast.FormattedValue(value=ast.Name(id=name)), ast.Constant(value=str(suffix))]
                ) if name in names:
                    yield function.name, names.index(name), suffix
                case ast.JoinedStr(
                    values=[ast.FormattedValue(value=ast.Attribute(attr="stem")), ast.Constant(value=str(suffix))]
                ):
                    yield from ((name, position, suffix) for name, position in _stems(tuple(sources())))
        for maker, position, suffix in known:
            if maker == _called(call) and position < len(call.args):
                given = call.args[position]
                if isinstance(given, ast.Name) and given.id in names:
                    yield function.name, names.index(given.id), suffix


@functools.cache
def _stems(trees: tuple[ast.Module, ...]) -> list[tuple[str, int]]:
    """Return the classes that have a ``stem`` of codes among their fields, with the position of it."""
    found = []
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        names = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        if "stem" in names:
            found.append((node.name, names.index("stem")))
    return found


@functools.cache
def sources() -> list[ast.Module]:
    """Return every module of the package, parsed."""
    return [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))]


def rows(page: Path) -> list[list[str]]:
    """Return the cells of every table row of a page that starts with a code span."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| `")]


def test_the_errors_reference_is_complete() -> None:
    """Every code that the library can raise is explained, and nothing else is."""
    codes = codes_in(sources())
    listed = [cells[0].strip("`") for cells in rows(ERRORS)]
    assert sorted(codes - set(listed)) == [], "codes that the page lacks"
    assert sorted(set(listed) - codes) == [], "codes that nothing raises"
    assert len(listed) == len(set(listed))


def test_an_error_leads_to_its_explanation() -> None:
    """An error names the address of what explains it, which is below the project's own."""
    error = py_identity_model.TokenExpiredException("Token expired 5 s ago")
    assert error.help == f"{DOCUMENTATION}reference/errors/#token_expired"
    assert pickle.loads(pickle.dumps(error)).help == error.help
    assert "help" not in str(error), "a message is for people; programs compare it"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Documentation"] == DOCUMENTATION
    assert f"site_url: {DOCUMENTATION}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_every_error_says_what_it_means_and_what_to_do() -> None:
    """No row of the errors reference has an empty cell."""
    assert [cells[0] for cells in rows(ERRORS) if len(cells) != 3 or not all(cells)] == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("class E(X):\n    code = 'a_b'", {"a_b"}),
        ("raise E('x', code='a_b' if y else 'c')", {"a_b", "c"}),
        ("def fail(code, text): ...\nfail('a_b', 'other')", {"a_b"}),
        ("class Row:\n    name: str\n    code: str\nRow('n', 'a_b')", {"a_b"}),
        ("def f(*, code='a_b'): ...", {"a_b"}),
        ("def f(x, code: str = 'a_b'): ...", {"a_b"}),
        ("f(code=other)", set()),
        ("_refused('not_a_code')", set()),
        ("FAILURES = {'TimeoutError': 'a_b'}", {"a_b"}),
        ("def read(x, name):\n    fail(code=f'{name}_c')\ndef need(name):\n    read(x, name)\nneed('a_b')", {"a_b_c"}),
    ],
)
def test_the_codes_are_found(code: str, found: set[str]) -> None:
    """Codes are found wherever the sources write them down."""
    private = "def _refused(code): ...\n_refused('of_another_module')"
    assert codes_in([ast.parse(private), ast.parse(code)]) == {"of_another_module", *found}


# ---- the configuration reference


def test_the_configuration_reference_is_complete() -> None:
    """Every environment variable stands on the page with its default and range."""
    told = {tuple(re.findall(r"`([A-Z_]+)`", cells[0])): cells[1:3] for cells in rows(CONFIGURATION)}
    for knob in fields(Settings):
        assert told[knob.metadata["names"]] == [_shown(knob.default), _span(knob.metadata)], knob.name


def _shown(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, int | float) else f"`{value}`"


def _span(metadata: Mapping[str, Any]) -> str:
    if "choices" in metadata:
        return ", ".join(f"`{choice}`" for choice in metadata["choices"])
    low, high = metadata["low"], metadata["high"]
    return f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:.0f}"


def test_every_variable_that_is_read_is_listed() -> None:
    """No module reads an environment variable that the page does not name."""
    page = CONFIGURATION.read_text(encoding="utf-8")
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"\b(os\.environ|getenv|getproxies)\b", text):
            continue
        tree = ast.parse(text)
        names = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        upper = {name for name in names if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", name)}
        upper = {name for name in upper if not name.startswith("O_")}  # flags of os.open
        own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        told = {name for name in upper if f"`{name}`" in page or f"`OIDC_{name}`" in page}
        assert upper - told - own == set(), path.name


# ---- the table of events


def test_every_event_is_told() -> None:
    """The page on operations lists every event that the library makes, and no other."""
    made = {
        node.args[0].value
        for node in (node for tree in sources() for node in ast.walk(tree))
        if isinstance(node, ast.Call) and _called(node) in ("emit", "_emit") and node.args
        if isinstance(node.args[0], ast.Constant)
    }
    told = {name for cells in rows(DOCS / "operations.md") for name in re.findall(r"`([a-z_]+)`", cells[0])}
    assert sorted(told) == sorted(made)


# ---- the security page

#: How the names begin that give a check up.
LOOSENING = re.compile(r"(allow|accept|trust|skip|ignore|disable|without)_")


def loosenings() -> set[str]:
    """Return every parameter of a public name that gives a check up."""
    found: set[str] = set()
    for door in (py_identity_model, py_identity_model.aio):
        for value in (getattr(door, name) for name in door.__all__):
            if callable(value) and not isinstance(value, EnumType):
                with contextlib.suppress(ValueError):  # some classes tell no signature
                    found.update(name for name in inspect.signature(value).parameters if LOOSENING.match(name))
    return found


def test_every_loosening_is_told() -> None:
    """The security page names each parameter that gives a check up, and what is given up by it."""
    page = (DOCS / "security.md").read_text(encoding="utf-8")
    assert {"accept_any_audience", "trust_every_value_of_the_template"} <= loosenings()
    assert {name for name in loosenings() if f"`{name}" not in page and f"{name}=" not in page} == set()


# ---- workloads


@pytest.mark.parametrize("page", ["in-kubernetes.md", "from-github-actions.md"])
def test_a_workload_gets_where_its_page_leads_it(world: snippets.World, page: str) -> None:
    """The first program of the page sends a request, with a token that the platform's word was taken for."""
    world.run(snippets.python_blocks(DOCS / page)[0])
    assert world.platform.accepted == 1
