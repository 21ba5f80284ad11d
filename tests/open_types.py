"""Where ``Any`` stands in the signatures of public names, read from the source: no framework is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parent.parent / "src"
PACKAGE = "py_identity_model"
#: JSON objects: what a member holds is known to whoever reads it. The first two of a coroutine are its driver's.
JSON = ("dict", "Mapping", "MutableMapping")
DRIVEN = ("Coroutine", "Generator")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Open(NamedTuple):
    """An ``Any``: the module that has it, the class or function, and the parameter, attribute, ``return`` or alias."""

    module: str
    owner: str
    name: str
    annotation: str

    def __str__(self) -> str:
        """Write it as the table of reasons does."""
        return f"{self.module}.{self.owner}({self.name})" if self.name else f"{self.module}.{self.owner}"


class Found(NamedTuple):
    """A definition and the module it stands in."""

    module: str
    node: ast.AST


def file_of(module: str, source: Path) -> Path | None:
    """Return the file of a module of the package, None for every other."""
    path = source.joinpath(*module.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


@cache
def tree_of(module: str, source: Path) -> ast.Module | None:
    """Return a module as it is written."""
    path = file_of(module, source)
    return ast.parse(path.read_text(encoding="utf-8")) if path else None


def public_modules(source: Path) -> list[str]:
    """Return the modules without an underscore in their path; commands are programs and have no callers."""
    paths = sorted((source / PACKAGE).rglob("*.py"))
    names = [".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if "._" not in name and not name.startswith((f"{PACKAGE}.cli", f"{PACKAGE}.__"))]


def _inside(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a module or class, those under a condition or in a ``try`` too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.If, ast.Try, ast.ExceptHandler)):
            yield from _inside(child)
        elif isinstance(child, ast.stmt):
            yield child


def _seen_by_callers(node: ast.ClassDef) -> list[ast.stmt]:
    """Return the members of a class without the implementations behind overloads, which no type checker shows."""
    members = list(_inside(node))
    overloads = {one.name for one in members if isinstance(one, FUNCTIONS) and _is_overload(one)}
    return [
        one for one in members if not (isinstance(one, FUNCTIONS) and one.name in overloads and not _is_overload(one))
    ]


def _is_public(name: str) -> bool:
    return not name.startswith("_") or name in ("__init__", "__call__")


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(one).endswith("overload") for one in node.decorator_list)


def _home(module: str, node: ast.ImportFrom, source: Path) -> str:
    """Return the module that an import takes names from."""
    if not node.level:
        return node.module or ""
    path = file_of(module, source)
    package = module.split(".") if path and path.name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


@cache
def names_of(module: str, source: Path) -> dict[str, tuple[str, ast.stmt, str]]:
    """Return what a module defines or imports from the package, by name: home, statement, name there."""
    found: dict[str, tuple[str, ast.stmt, str]] = {}
    for node in _inside(tree_of(module, source) or ast.Module([], [])):
        if isinstance(node, ast.ImportFrom):
            home = _home(module, node, source)
            if not home.startswith(PACKAGE):
                continue
            for alias in node.names:
                if alias.name == "*":
                    found |= names_of(home, source)
                else:
                    found.setdefault(alias.asname or alias.name, (home, node, alias.name))
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            found[node.name] = (module, node, node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id: (module, node, one.id) for one in targets if isinstance(one, ast.Name)}
    return found


def resolve(module: str, name: str, source: Path) -> Found | None:
    """Return where a name of a module is defined, None for what is not the library's."""
    for _ in range(10):
        home, node, name = names_of(module, source).get(name, ("", ast.Pass(), ""))
        if not isinstance(node, ast.ImportFrom):
            return Found(home, node) if home else None
        module = home
    return None


def exported(module: str, source: Path) -> list[str]:
    """Return the public names of a module: those of ``__all__``, or of a list that is loaded lazily."""
    tree = tree_of(module, source)
    for node in _inside(tree or ast.Module([], [])):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return [name for name in names_of(module, source) if not name.startswith("_") and name != "lazy"]


class Walk:
    """One walk over the public names, each definition and each alias once."""

    def __init__(self, source: Path = SOURCE) -> None:
        """Start with nothing seen."""
        self._source = source
        self._seen: set[tuple[str, str]] = set()
        self.places = 0

    def find(self) -> Iterator[Open]:
        """Yield every ``Any`` that a caller meets."""
        for module in public_modules(self._source):
            for name in exported(module, self._source):
                if found := resolve(module, name, self._source):
                    yield from self._defined(found, name)

    def _defined(self, found: Found, name: str) -> Iterator[Open]:
        if (found.module, name) in self._seen:
            return
        self._seen.add((found.module, name))
        if isinstance(found.node, ast.ClassDef):
            yield from self._of_class(found.module, found.node)
        elif isinstance(found.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from self._of_function(found.module, found.node.name, found.node)
        elif isinstance(found.node, ast.AnnAssign) and "TypeAlias" not in ast.unparse(found.node.annotation):
            yield from self._annotated(found.module, name, "", found.node.annotation)
        elif isinstance(found.node, (ast.Assign, ast.AnnAssign)) and found.node.value is not None:
            yield from self._aliased(found.module, name, found.node.value)

    def _aliased(self, module: str, name: str, value: ast.expr) -> Iterator[Open]:
        """Read the value of a name as a type if it can be one; calls and constants cannot."""
        if isinstance(value, (ast.Subscript, ast.BinOp, ast.Name)):
            yield from self._annotated(module, name, "", value)

    def _of_class(self, module: str, node: ast.ClassDef) -> Iterator[Open]:
        for base in node.bases:
            for part in ast.walk(base):
                if isinstance(part, ast.Name) and (found := resolve(module, part.id, self._source)):
                    yield from self._defined(found, part.id)
        for member in _seen_by_callers(node):
            if isinstance(member, ast.AnnAssign) and not ast.unparse(member.target).startswith("_"):
                yield from self._annotated(module, node.name, ast.unparse(member.target), member.annotation)
            elif isinstance(member, FUNCTIONS) and _is_public(member.name):
                yield from self._of_function(module, f"{node.name}.{member.name}", member)

    def _of_function(self, module: str, owner: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Open]:
        given = node.args
        for one in [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]:
            if one is not None and one.annotation is not None:
                yield from self._annotated(module, owner, one.arg, one.annotation)
        if node.returns is not None:
            yield from self._annotated(module, owner, "return", node.returns)

    def _annotated(self, module: str, owner: str, name: str, annotation: ast.expr) -> Iterator[Open]:
        self.places += 1
        if any(self._is_open(annotation)):
            yield Open(module, owner, name, ast.unparse(annotation))
        for part in ast.walk(annotation):
            found = resolve(module, part.id, self._source) if isinstance(part, ast.Name) else None
            if found is not None and isinstance(part, ast.Name) and not isinstance(found.node, ast.ClassDef):
                yield from self._defined(found, part.id)

    def _is_open(self, node: ast.expr) -> Iterator[bool]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.parse(node.value, mode="eval").body
        if isinstance(node, ast.Subscript):
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            outer = ast.unparse(node.value).rpartition(".")[2]
            if outer in JSON and ast.unparse(parts[-1]) == "Any":
                parts = parts[:-1]
            elif outer in DRIVEN:
                parts = parts[2:]
            elif outer == "Literal":
                parts = []
            for part in parts:
                yield from self._is_open(part)
        elif isinstance(node, (ast.BinOp, ast.List)):
            for part in node.elts if isinstance(node, ast.List) else (node.left, node.right):
                yield from self._is_open(part)
        else:
            yield ast.unparse(node).rpartition(".")[2] == "Any"
