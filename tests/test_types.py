"""What type checkers see of the library: nothing that is missing, nothing without a public name."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import py_identity_model
import snippets
from open_types import Walk
from public_types import homeless, public_names
from py_identity_model import (
    AsymmetricAlgorithm,
    ConfigurationException,
    ContentEncryptionAlgorithm,
    EngineName,
    ExpectedIdToken,
    FailedResponseAccessError,
    IntrospectionOptions,
    KeyManagementAlgorithm,
    KindName,
    SignatureAlgorithm,
    SymmetricAlgorithm,
    TokenValidator,
)
from py_identity_model._core.base.response import GUARDED, BaseResponse
from py_identity_model._core.jose import jwe
from py_identity_model._core.jose.algorithms import ALGORITHMS
from py_identity_model._core.jose.jwe_keys import ALL_KEY_ALGORITHMS, KEY_ALGORITHMS, SYMMETRIC_KEY_ALGORITHMS
from py_identity_model._core.login.client import _CREDENTIALS
from py_identity_model._core.validation.id_token import IdTokenExpectation
from py_identity_model._core.validation.token_kinds import KINDS
from py_identity_model.settings import ENGINES, MULTIBUFFER, MultibufferName

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
TIMED = 300


def call(*command: str, source: Path = SOURCE, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a type checker, which finds the package below *source*."""
    told = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYTHONPATH": str(source), "MYPYPATH": str(source)}
    parts = [sys.executable, "-m", *command]
    return subprocess.run(parts, cwd=cwd, env=told, capture_output=True, text=True, timeout=TIMED, check=False)


# ---- complete


def completeness(source: Path) -> subprocess.CompletedProcess[str]:
    """Have pyright look at every public symbol; it exits with an error unless all types are known."""
    # What other packages leave open is theirs.
    return call("pyright", "--verifytypes", "py_identity_model", "--ignoreexternal", source=source)


def test_every_public_type_is_known() -> None:
    """All symbols of the public modules have a type that every checker sees alike."""
    done = completeness(SOURCE)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Type completeness score: 100%" in done.stdout


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("exceptions", 'part: str | None = "signature"', 'part = "signature"'),
        ("sync/_revocation", "-> TokenRevocationResponse", ""),
    ],
)
def test_the_gate_of_completeness_trips(module: str, old: str, new: str, tmp_path: Path) -> None:
    """One attribute or one result without a type is noticed."""
    shutil.copytree(SOURCE, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "py_identity_model" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    done = completeness(tmp_path)
    assert done.returncode == 1
    assert "Type completeness score: 100%" not in done.stdout


# ---- by public names


def test_every_type_of_a_public_signature_has_a_public_name() -> None:
    """Whatever a caller passes, gets or reads can be annotated with a name that a public module exports."""
    assert homeless(public_names()) == {}


def test_the_gate_of_public_names_trips() -> None:
    """A type that is taken off the list is named, with a place where it stands."""
    public = public_names()
    del public["Kind"], public["Request"]
    found = homeless(public)
    assert {name.rpartition(".")[2] for name in found} == {"Kind", "Request"}
    assert "TokenValidator.__init__(kind)" in found.values()


# ---- without Any

KINDS_OF_CLIENTS, OF_A_CLIENT = ("Awaitable", "Blocking"), ("request", "auth", "follow_redirects")
#: Where Any stays in a public signature, and why.
OPEN = {
    "JSON values: what a member holds is known to whoever reads it": (
        "_core.registration.registration.ClientRegistrationResponse(changes)",
        "_core.registration.registration.registration_changes(return)",
    ),
    "what the application's own on_login returned, as JSON": ("_core.web_login.session.SessionBase.user(return)",),
    "httpx and httpx2 have types of their own for these, and either may not be installed": (
        *(f"_http_client.{kind}HTTPClient.send({name})" for kind in KINDS_OF_CLIENTS for name in OF_A_CLIENT),
        "_http_client._HTTPClient.build_request(url)",
    ),
    "of either API: the parameter of the generic is its transport": (
        "_resource_server.AnyResourceServer",
        "integrations._web_login.AnyLogin",
    ),
    "gRPC brings no types": (
        "integrations.grpc.AsyncResourceServerInterceptor.intercept_service(return)",
        "integrations.grpc.ResourceServerInterceptor.intercept_service(return)",
    ),
    "Starlette's own annotation, word by word: a dict is only what it is exactly": ("integrations.starlette.Handlers",),
}


def test_no_public_signature_has_any_without_a_reason() -> None:
    """Whatever a caller passes or gets has a type; where it has none, the table says why, and nothing else is in it."""
    walk = Walk()
    found = {str(place).removeprefix("py_identity_model.") for place in walk.find()}
    assert found == {place for places in OPEN.values() for place in places}
    assert walk.places > 3500


@pytest.mark.parametrize(
    ("module", "old", "new", "found"),
    [
        ("bulk", "def verdict(outcome: object)", "def verdict(outcome: Any)", "bulk.verdict(outcome)"),
        (
            "_core/base/store",
            "AnyStore = Store | AsyncStore",
            "AnyStore = Store | AsyncStore | Any",
            "_core.base.store.AnyStore",
        ),
        (
            "integrations/django_login_users",
            "(site: AdminSite)",
            "(site: 'list[Any]')",
            "integrations.django_login_users.have_staff_log_in(site)",
        ),
        ("_token_auth", "request: Asked) -> Asked", "request: Asked) -> Any", "_token_auth.TokenAuth.__call__(return)"),
        (
            "stores/_memory",
            "def get(self, topic: str",
            "def get(self, topic: Any",
            "stores._memory.MemoryStore.get(topic)",
        ),
    ],
)
def test_the_gate_of_any_trips(module: str, old: str, new: str, found: str, tmp_path: Path) -> None:
    """One parameter, alias, result or overload that takes anything is named, in a framework's door as well."""
    shutil.copytree(SOURCE, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "py_identity_model" / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    known = {place for places in OPEN.values() for place in places}
    places = {str(place).removeprefix("py_identity_model.") for place in Walk(tmp_path).find()}
    assert places - known == {found}


# ---- by the names that exist


def literals(alias: Any) -> set[str]:
    """Return the names of a ``Literal``, or of a union of such."""
    return {name for part in get_args(alias) for name in (literals(part) if get_args(part) else {part})}


@pytest.mark.parametrize(
    ("alias", "names"),
    [
        (AsymmetricAlgorithm, {row.name for row in ALGORITHMS.values() if not row.symmetric}),
        (SymmetricAlgorithm, {row.name for row in ALGORITHMS.values() if row.symmetric}),
        (SignatureAlgorithm, ALGORITHMS.keys()),
        (KeyManagementAlgorithm, ALL_KEY_ALGORITHMS.keys()),
        (ContentEncryptionAlgorithm, jwe._CONTENT.keys()),
        (KindName, KINDS.keys()),
        (EngineName, ENGINES),
        (MultibufferName, MULTIBUFFER),
    ],
)
def test_the_types_of_names_hold_the_names_that_exist(alias: Any, names: Iterable[str]) -> None:
    """What a type checker takes for the name of a kind, an engine or an algorithm is what the tables have."""
    assert literals(alias) == set(names)


def test_pairs_and_secrets_of_jwe_are_told_apart_by_their_types() -> None:
    """The two sorts of key management are those that key pairs and those that shared secrets have."""
    pairs = {row.name for row in ALL_KEY_ALGORITHMS.values() if row.ktys != ("oct",)}
    assert (set(KEY_ALGORITHMS), set(SYMMETRIC_KEY_ALGORITHMS)) == (pairs, ALL_KEY_ALGORITHMS.keys() - pairs)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"kind": "acess_token"}, "kind_unknown"),
        ({"engine": "fast"}, "engine_unknown"),
        ({"algorithms": ["RS265"]}, "algorithm_unsupported"),
    ],
)
def test_a_name_that_is_none_is_refused_when_it_is_given(options: dict[str, Any], code: str) -> None:
    """A program that nobody type-checked gets a typed refusal of each such name, and a plain text is good enough."""
    with pytest.raises(ConfigurationException) as caught:
        TokenValidator("https://id.example.com", audience="api", **options)
    assert caught.value.code == code
    given: Any = {"kind": "access_token", "engine": "pure", "algorithms": ["RS256"]}
    assert TokenValidator("https://id.example.com", audience="api", **given)


def test_expectations_are_the_same_as_keywords_and_as_a_value() -> None:
    """The keyword arguments of ``validate`` are the fields of what the rules of ID tokens work with."""
    assert ExpectedIdToken.__annotations__.keys() == {field.name for field in dataclasses.fields(IdTokenExpectation)}


# ---- and with what is there


def responses(kind: type[BaseResponse]) -> Iterator[type[BaseResponse]]:
    """Yield every kind of response of the library."""
    for each in kind.__subclasses__():
        if each.__module__.startswith("py_identity_model"):
            yield each
        yield from responses(each)


def unguarded(kind: type[BaseResponse]) -> set[str]:
    """Return the fields whose type promises a value that a failed response lacks, and that can be read there."""
    promised = {f.name for f in dataclasses.fields(kind) if f.default is None and "None" not in str(f.type)}
    return promised - kind._guarded


def test_a_field_whose_type_promises_a_value_is_guarded() -> None:
    """No type says that something is there where None can be read: a failed response raises instead."""
    importlib.import_module("py_identity_model.testing.demo")
    for name in public_names():
        getattr(py_identity_model, name, None)
    kinds = set(responses(BaseResponse))
    assert len(kinds) > 20
    assert {kind.__name__: missing for kind in kinds if (missing := unguarded(kind))} == {}

    @dataclasses.dataclass(repr=False)
    class Open(BaseResponse):
        answer: str = GUARDED

    assert unguarded(Open) == {"answer"}


@pytest.mark.parametrize(
    ("response", "always"),
    [
        (py_identity_model.TokenResponse, {"token", "access_token", "token_type"}),
        (py_identity_model.JwksResponse, {"keys"}),
        (py_identity_model.UserInfoResponse, {"claims", "raw"}),
        (py_identity_model.LoginStart, {"url", "expires_at"}),
        (py_identity_model.LoginResponse, set()),
        (py_identity_model.DiscoveryDocumentResponse, {"issuer"}),
    ],
)
def test_what_a_success_always_brings_is_not_optional(response: type[BaseResponse], always: set[str]) -> None:
    """Nobody has to rule out a None that a successful response never holds, and None stays the published default."""
    fields = {field.name: field for field in dataclasses.fields(response)}
    assert {name for name, field in fields.items() if field.default is None and "None" not in str(field.type)} == always
    failed = response(False, "it did not work")
    for name in always:
        with pytest.raises(FailedResponseAccessError):
            getattr(failed, name)
        assert object.__getattribute__(failed, name) is None


# ---- in the programs of users

PROGRAMS = ROOT / "tests" / "typing"


def errors_of_mypy(folder: Path) -> set[tuple[str, int]]:
    """Return file and line of each error that mypy finds in strict mode."""
    done = call("mypy", "--strict", "--no-error-summary", "--cache-dir", str(folder / ".cache"), ".", cwd=folder)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {(name, int(line)) for name, line in re.findall(r"^(\w+\.py):(\d+): error:", done.stdout, re.MULTILINE)}


def errors_of_pyright(folder: Path) -> set[tuple[str, int]]:
    """Return file and line of each error that pyright finds in strict mode."""
    config = {"typeCheckingMode": "strict", "extraPaths": [str(SOURCE)], "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    done = call("pyright", "--outputjson", cwd=folder)
    found = json.loads(done.stdout)["generalDiagnostics"]
    told = [one for one in found if one["severity"] == "error"]
    return {(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in told}


def marked(folder: Path) -> set[tuple[str, int]]:
    """Return file and line of each line that says of itself that it is wrong."""
    return {
        (path.name, number)
        for path in folder.glob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if line.endswith("# wrong")
    }


@pytest.mark.parametrize("errors_of", [errors_of_mypy, errors_of_pyright])
def test_programs_of_users_are_typed(errors_of: Callable[[Path], set[tuple[str, int]]], tmp_path: Path) -> None:
    """A strict type checker has no complaint about right programs, and finds each mistake of the wrong ones."""
    for path in PROGRAMS.glob("*.py"):
        shutil.copy(path, tmp_path)
    wanted = marked(tmp_path)
    assert len(wanted) > 40
    assert errors_of(tmp_path) ^ wanted == set()


def test_the_fields_of_an_introspector_are_those_of_its_requests() -> None:
    """What a ``TokenIntrospector`` takes by keyword is what each of its requests has, but for the token itself."""
    fields = {field.name for field in dataclasses.fields(py_identity_model.TokenIntrospectionRequest)}
    assert IntrospectionOptions.__annotations__.keys() == fields - {"address", "token", "client_id"}


@pytest.mark.parametrize(
    ("options", "request_of", "own"),
    [
        (
            py_identity_model.TokenExchangeOptions,
            py_identity_model.TokenExchangeRequest,
            {*_CREDENTIALS, "auth_methods_supported", "headers", "address", "subject_token", "dpop_key"},
        ),
        (
            py_identity_model.ClientRegistrationOptions,
            py_identity_model.ClientRegistrationRequest,
            {"address", "redirect_uris"},
        ),
    ],
)
def test_the_options_of_a_client_are_fields_of_its_requests(options: Any, request_of: Any, own: set[str]) -> None:
    """What an ``OAuthClient`` takes by keyword is what its request has, but for what the client knows itself."""
    fields = {field.name: str(field.type) for field in dataclasses.fields(request_of) if field.name not in own}
    wanted = {name: hint.__forward_arg__ for name, hint in options.__annotations__.items()}
    assert wanted == fields


# ---- on the pages

#: What the pages take for granted. A person is signed in by the code flow, which brings both.
GRANTED = """
from typing import Any
from py_identity_model import BackchannelAuthenticationResponse, LoginResponse

class SignedIn(LoginResponse):
    access_token: str
    refresh_token: str
    claims: dict[str, Any]
"""
GRANTED_NAMES = {
    "begun": "dict[str, BackchannelAuthenticationResponse]",
    "body": "bytes",
    "bound_token": "str",
    "certificate": "str",
    "content_type": "str",
    "headers": "dict[str, str]",
    "id_token": "str",
    "keystore": "Any",
    "mcp_server": "Any",
    "nonce": "str",
    "pending": "dict[str, str]",
    "public_jwks": "dict[str, Any]",
    "signed_in": "SignedIn",
    "stored_refresh_token": "str",
    "token": "str",
    "tokens": "list[str]",
}


def as_program(block: snippets.Block) -> str:
    """Return a block, and what it continues, as a function of what its page takes for granted."""
    code, before = textwrap.dedent(block.code), block.before
    while before is not None:
        code, before = textwrap.dedent(before.code) + code, before.before
    tree: Any = compile(code, block.label, "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    granted = ", ".join(f"{name}: {kind}" for name, kind in GRANTED_NAMES.items() if name in used)
    return f"{GRANTED}\n\nasync def page({granted}) -> None:\n{textwrap.indent(code, '    ')}"


def test_the_examples_of_the_pages_are_typed(tmp_path: Path) -> None:
    """mypy in strict mode has no complaint about what the pages show, readers' own functions included."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for number, block in enumerate(snippets.python_blocks(*pages)):
        name = f"{block.path.stem}_{block.line}_{number}.py".replace("-", "_").replace("README", "readme")
        (tmp_path / name).write_text(as_program(block), encoding="utf-8")
    (tmp_path / "mistaken.py").write_text(as_program(mistaken()), encoding="utf-8")
    flags = (
        "--strict",
        "--untyped-calls-exclude=prometheus_client",
        "--disable-error-code=import-not-found",
        "--disable-error-code=import-untyped",
        "--allow-subclassing-any",
        "--no-error-summary",
    )
    done = call("mypy", *flags, "--cache-dir", str(tmp_path / ".cache"), ".", cwd=tmp_path)
    complaints = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert "\n".join(line for line in complaints if not line.startswith("mistaken.py:")) == ""
    assert len(complaints) == 2, done.stdout + done.stderr


def mistaken() -> snippets.Block:
    """Return an example with two mistakes: a token is no number, and a function does not say what it takes."""
    code = "def own(value):\n    return value\n\n\nprint(token + 1)\n"
    return snippets.Block(Path("mistaken.md"), 1, "python", code)
