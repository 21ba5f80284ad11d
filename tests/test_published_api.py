"""Every name that published code imports is here, in both APIs, with the parameters, fields and defaults it had."""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import py_identity_model

DOORS = {name: importlib.import_module(f"py_identity_model{name}") for name in ("", ".sync", ".aio")}
TABLE = Path(__file__).parent / "published_api.md"
REQUIRED = inspect.Parameter.empty


class Row(NamedTuple):
    """A row of the table."""

    name: str
    kind: str
    aio: str
    detail: str


def rows(text: str) -> list[Row]:
    """Read the tables of operations and models."""
    found = re.findall(r"^\| `(\w+)` \| (\w+) \| (\S+) \| (.*) \|$", text, re.MULTILINE)
    return [Row(*cells) for cells in found]


def exceptions(text: str) -> list[tuple[str, str]]:
    """Read the table of exceptions: (name, parent)."""
    found = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (\w+) \| [(i].* \|$", text, re.MULTILINE)
    return [(name, parent) for names, parent in found for name in re.findall(r"\w+", names)]


ROWS = rows(TABLE.read_text(encoding="utf-8"))
EXCEPTIONS = exceptions(TABLE.read_text(encoding="utf-8"))


PATHS = {
    path: names.split(", ")
    for path, names in re.findall(r"^\| \*([\w.]+)\* \| ([\w, ]+) \|$", TABLE.read_text(encoding="utf-8"), re.MULTILINE)
}


class Wanted(NamedTuple):
    """A parameter of the published package."""

    name: str
    default: Any
    keyword_only: bool


def signature_of(detail: str) -> list[Wanted]:
    """Read ``(a: str, b: int?=None, *, c: str='x') → T``; ``*names`` counts as no parameter."""
    inner = detail[detail.index("(") + 1 : detail.rindex(")") if "→" not in detail else detail.rindex(") →")]
    wanted, keyword_only = [], False
    for part in split(inner, ", "):
        if part.startswith("*"):
            keyword_only = True
            continue
        name, _, default = part.partition("=")
        value = ast.literal_eval(default) if default else REQUIRED
        wanted.append(Wanted(name.partition(":")[0].strip(), value, keyword_only))
    return wanted


def split(text: str, separator: str) -> list[str]:
    """Split at a separator outside brackets and quotes."""
    parts, depth, quoted, current = [], 0, False, ""
    for position, character in enumerate(text):
        quoted ^= character == "'"
        depth += 0 if quoted else (character in "[(") - (character in ")]")
        if depth == 0 and not quoted and text[position : position + len(separator)] == separator:
            parts.append(current)
            current = ""
        elif current or character != " ":
            current += character
    return [part for part in [*parts, current] if part]


def fields_of(detail: str) -> list[Wanted]:
    """Read ``a!: str; b: str?; c=3: int``."""
    plain = detail.partition(" **")[0].rstrip(".")
    wanted = []
    for part in split(plain, "; "):
        name, _, kind = part.partition(": ")
        name, _, default = name.partition("=")
        required = name.endswith("!")
        value = REQUIRED if required else ast.literal_eval(default) if default else None
        if "(init=False)" not in kind:
            wanted.append(Wanted(name.rstrip("!"), value, False))
    return wanted


def differences(callable_: Any, wanted: list[Wanted]) -> list[str]:
    """Say where a signature differs from what published code relies on; more optional parameters are welcome."""
    ours = dict(inspect.signature(callable_).parameters)
    variable = {p.kind for p in ours.values()}
    found = []
    positional = [n for n, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD or p.kind is p.POSITIONAL_ONLY]
    asked = [w.name for w in wanted if not w.keyword_only]
    if positional[: len(asked)] != asked:
        found.append(f"positions {positional[: len(asked)]} are not {asked}")
    for want in wanted:
        parameter = ours.get(want.name)
        if parameter is None:
            if inspect.Parameter.VAR_KEYWORD not in variable:
                found.append(f"{want.name} is missing")
        elif not same(callable_, parameter, want.default):
            found.append(f"{want.name} defaults to {parameter.default!r}, not {want.default!r}")
    added = [n for n, p in ours.items() if p.default is REQUIRED and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    return found + [f"{name} is required here only" for name in added if name not in {w.name for w in wanted}]


def same(owner: Any, parameter: inspect.Parameter, default: Any) -> bool:
    """Compare defaults; the factory of a dataclass's list counts as what it makes."""
    if dataclasses.is_dataclass(owner):
        field = next((f for f in dataclasses.fields(owner) if f.name == parameter.name), None)
        if field is not None and field.default_factory is not dataclasses.MISSING:
            return bool(field.default_factory() == default) or default is None
    return bool(parameter.default == default) and (parameter.default is REQUIRED) == (default is REQUIRED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("door", list(DOORS))
def test_the_published_name_is_here(door: str, row: Row) -> None:
    """Each row of the table holds at each door: the name, its kind, its parameters or fields, and what is awaited."""
    ours = getattr(DOORS[door], row.name)
    assert row.name in DOORS[door].__all__
    match row.kind:
        case "func":
            assert differences(ours, signature_of(row.detail.strip("`"))) == []
            awaited = row.aio == "async" and door == ".aio"
            assert inspect.iscoroutinefunction(ours) == awaited or row.name.startswith("clear_")
        case "dataclass":
            assert dataclasses.is_dataclass(ours)
            assert differences(ours, fields_of(row.detail)) == []
            for mark, attribute in (("Guarded", "_guarded"), ("Redacted in repr", "_redacted")):
                listed = re.search(rf"\*\*{mark}:\*\* ([\w, ]+)", row.detail)
                assert set(listed[1].split(", ") if listed else ()) <= set(getattr(ours, attribute, ()))
        case "enum":
            assert issubclass(ours, enum.Enum)
            wanted = dict(pair.split("=") for pair in row.detail.split(", "))
            assert {name: ours[name].value for name in wanted} == wanted
        case "exc" | "class":
            head, _, members = row.detail.partition("; members: ")
            assert differences(ours, signature_of(head.strip("`"))) == []
            instance = set(dir(ours)) | set(inspect.signature(ours).parameters)
            assert {m for m in re.split(r",? ", members.strip()) if m} <= instance
        case "protocol":
            assert row.detail in dir(ours)
            assert isinstance(DOORS[door].EnvSource(), ours)
        case "const":
            value = ast.literal_eval(row.detail.strip("`"))
            assert (sorted(ours) if isinstance(value, list) else ours) == value
        case _:
            pytest.fail(f"no check for the kind {row.kind}")


#: What programs call and read on objects, beyond fields and parameters.
MEMBERS = {
    "JsonWebKey": "from_json to_json as_dict has_private_key key_size",
    "DiscoveryPolicy": "cache_key",
    "CacheCounters": "snapshot reset",
    "ClientAuthMethod": "requires_secret",
    "Config": "from_env build",
    "HTTPClient": "client __enter__ __exit__ close",
    "Secret": "expose",
    "Claim": "properties",
    "ClaimsPrincipal": "identity claims add_identity has_claim is_in_role find_first find_all",
}


@pytest.mark.parametrize("name", list(MEMBERS))
def test_the_published_members_are_here(name: str) -> None:
    """Methods and properties have their names, for a class as for its instances."""
    ours = getattr(DOORS[""], name)
    told = {name for cls in ours.__mro__ for name in (*vars(cls), *getattr(cls, "__annotations__", ()))}
    assert set(MEMBERS[name].split()) - told == set()


def test_the_async_client_has_its_published_name() -> None:
    """``aio`` calls it ``AsyncHTTPClient``; it is a context manager, and closing it may be said in one word."""
    ours = DOORS[".aio"].AsyncHTTPClient
    wanted = signature_of("(client: httpx.AsyncClient?=None, timeout: float?=None, verify: bool / str?=None)")
    assert differences(ours, wanted) == []
    assert {"client", "close", "__aenter__", "__aexit__"} <= set(dir(ours))


#: What a program may write between the brackets of an exception, and what it reads afterwards.
RAISED: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "PyIdentityModelException": (("m", {"a": 1}), {"message": "m", "details": {"a": 1}}),
    "ValidationException": (("m",), {"message": "m", "details": {}}),
    "TokenValidationException": (("m", "header", {"a": 1}), {"token_part": "header", "details": {"a": 1}}),
    "SignatureVerificationException": (("m", {"a": 1}), {"token_part": "signature", "details": {"a": 1}}),
    "TokenExpiredException": (("m",), {"token_part": "payload"}),
    "InvalidAudienceException": (("m",), {"token_part": "payload"}),
    "InvalidIssuerException": (("m",), {"token_part": "payload"}),
    "CertificateBindingError": (("m",), {"token_part": "payload"}),
    "IdTokenValidationException": (("m", "payload"), {"token_part": "payload"}),
    "LogoutTokenValidationException": (("m",), {"token_part": None}),
    "NetworkException": (("m", "https://u", 503, {"a": 1}), {"url": "https://u", "status_code": 503}),
    "DiscoveryException": (("m", "https://u"), {"url": "https://u", "status_code": None}),
    "JwksException": (("m",), {"url": None}),
    "DiscoveryMissingFieldsError": (("m", ("issuer",)), {"fields": ("issuer",)}),
    "ClaimsValidationError": (("m",), {"reason": "m", "claim": None, "token_part": "payload"}),
    "FailedResponseAccessError": (("issuer", "gone"), {"field_name": "issuer"}),
    "SuccessfulResponseAccessError": ((), {"field_name": "error"}),
}


@pytest.mark.parametrize("name", list(RAISED))
def test_published_exceptions_can_be_raised(name: str) -> None:
    """A program raises them itself, in tests for one: with the published arguments, by position."""
    args, told = RAISED[name]
    error = getattr(DOORS[""], name)(*args)
    assert {attribute: getattr(error, attribute) for attribute in told} == told
    assert (str(args[0]) if args else "error") in str(error)


@pytest.mark.parametrize(("name", "parent"), EXCEPTIONS)
def test_the_published_exception_is_here(name: str, parent: str) -> None:
    """Each exception has its name at each door, is the same class there, and has its published ancestor."""
    ours = {getattr(door, name) for door in DOORS.values()}
    assert len(ours) == 1
    ancestor = Exception if parent == "Exception" else getattr(DOORS[""], parent)
    assert issubclass(ours.pop(), ancestor)


@pytest.mark.parametrize("path", list(PATHS))
def test_the_published_path_is_here(path: str) -> None:
    """A deep path that published examples import has its names, and they are the very objects of the doors."""
    module = importlib.import_module(f"py_identity_model.{path}")
    door = DOORS[".aio"] if path.startswith("aio.") else DOORS[""]
    for name in PATHS[path]:
        ours = getattr(module, name)
        assert ours is getattr(door, name, ours)


def test_modules_are_found_below_the_package() -> None:
    """A program that imports the package alone names its modules below it; private ones and others are not there."""
    program = (
        "import py_identity_model as p\n"
        "print(p.ssl_config.get_ssl_verify(), p.exceptions.ValidationException, p.identity.Claim, p.sync.get_jwks)\n"
        "print(p.aio.http_client.AsyncHTTPClient, p.sync.token_validation.validate_token)\n"
        "print([hasattr(p, name) for name in ('nothing', '_lazy_', 'core.parsers', '')])\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "[False, False, False, False]"


def test_the_published_paths_are_those_of_the_architecture() -> None:
    """Every module of the layer of published paths is held against the table, and has no name beyond it."""
    page = (Path(__file__).parent.parent / "docs" / "contributing" / "architecture.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^\| published paths \| (.*) \| none \|$", page, re.MULTILINE)
    core = Path(py_identity_model.__file__).parent / "core"
    expected = {name.replace("/", ".") for name in re.findall(r"`([\w/]+)`", listed)}
    expected |= {f"core.{module.stem}" for module in core.glob("[a-z]*.py")}
    assert set(PATHS) == expected


def test_the_table_is_read_whole() -> None:
    """Every line of the table is understood: none is skipped because of how it is written."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = {name for line in lines for name in re.findall(r"`(\w+)`", line.split(" | ")[0])}
    assert listed == {row.name for row in ROWS} | {name for name, _ in EXCEPTIONS}
    assert len(ROWS) > 95


def test_the_gate_sees_differences() -> None:
    """A parameter that moved, vanished, changed its default or became required is told."""

    def ours(b: str, a: str, c: int = 2, *, d: str) -> None: ...

    wanted = signature_of("(a: str, b: str, c: int=1, e: str?=None) → None")
    assert differences(ours, wanted) == [
        "positions ['b', 'a', 'c'] are not ['a', 'b', 'c', 'e']",
        "c defaults to 2, not 1",
        "e is missing",
        "d is required here only",
    ]
