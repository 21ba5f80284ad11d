"""The pytest plugin: its fixtures in tests of users, and what it costs those who use none of them."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from py_identity_model import TokenExpiredException, TokenValidator, _lazy, aio
from py_identity_model.exceptions import ConfigurationException, TokenValidationException
from py_identity_model.testing import (
    FORGERIES,
    AttackToken,
    EmbeddedProvider,
    FrozenClock,
    attack_tokens,
)
from py_identity_model.testing import _clock as clocks

PLUGIN = "py_identity_model.testing.pytest_plugin"
SOURCE = Path(clocks.__file__).resolve().parent.parent
API = """
import pytest
from py_identity_model import TokenValidationException, TokenValidator

@pytest.fixture
def validator(identity_provider):
    provider = identity_provider
    return TokenValidator(provider.issuer, audience=provider.audience, http_client=provider.transport)
"""


#: Tests of users, run once by two workers.
FILES = {
    "tokens/conftest.py": API,
    "tokens/test_tokens.py": """
import pytest
from py_identity_model import NetworkException, TokenExpiredException

def test_a_token(validator, mint_token):
    claims = validator.validate(mint_token(subject="ada", scopes=["a", "b"], tenant="t1"))
    assert (claims["sub"], claims["scope"], claims["tenant"]) == ("ada", "a b", "t1")

def test_time(validator, mint_token, frozen_clock):
    token = mint_token(expires_in=60)
    validator.validate(token)
    frozen_clock.advance(61)
    with pytest.raises(TokenExpiredException):
        validator.validate(token)

def test_kinds_and_headers(identity_provider, mint_token):
    token = mint_token("id_token", headers={"kid": "other"}, alg="ES256", nonce="n")
    assert identity_provider.claims_of(token)["nonce"] == "n"

def test_an_outage(identity_provider, validator, mint_token, frozen_clock):
    with identity_provider.fault("outage"), pytest.raises(NetworkException):
        validator.validate(mint_token())
    frozen_clock.advance(1)
    assert validator.validate(mint_token())
""",
    "server/test_server.py": """
from py_identity_model import TokenValidator

def test_it(identity_provider_server, identity_provider, mint_token):
    assert identity_provider_server is identity_provider
    assert identity_provider_server.issuer.startswith("http://127.0.0.1:")
    validator = TokenValidator(identity_provider_server.issuer, audience=identity_provider.audience)
    assert validator.validate(mint_token(subject="ada"))["sub"] == "ada"
    assert validator.validate(identity_provider_server.mint())["sub"] == "alice"
""",
    "options/conftest.py": """
import pytest

@pytest.fixture
def identity_provider_options():
    return {"issuer": "https://id.test/team", "audience": "api", "algorithms": ["ES256"]}

@pytest.fixture
def attack_tokens():
    return "mine"
""",
    "options/test_options.py": """
def test_it(identity_provider, mint_token, attack_tokens):
    claims = identity_provider.claims_of(mint_token())
    assert (claims["iss"], claims["aud"], attack_tokens) == ("https://id.test/team", "api", "mine")
""",
    "attacks/conftest.py": API,
    "attacks/test_attacks.py": """
import pytest
from py_identity_model import TokenValidationException

def test_all(validator, attack_tokens):
    with pytest.raises(TokenValidationException):
        validator.validate(attack_tokens)

@pytest.mark.parametrize("attack_tokens", ["expired", "alg_none"], indirect=True)
def test_two(attack_tokens):
    assert attack_tokens.name in ("expired", "alg_none")
    assert attack_tokens.headers == {"Authorization": f"Bearer {attack_tokens}"}
""",
    "cases/test_cases.py": """
import unittest
import pytest
from py_identity_model import InboundRequest, ResourceServer, TokenValidator
from py_identity_model.testing import EmbeddedProvider, FrozenClock, attack_tokens, authenticated

class WithFixtures(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def provider(self, identity_provider, mint_token):
        self.provider, self.mint = identity_provider, mint_token

    def test_it(self):
        self.assertEqual(self.provider.claims_of(self.mint(subject="ada"))["sub"], "ada")

class Plain(unittest.TestCase):
    def setUp(self):
        self.clock = self.enterContext(FrozenClock())
        self.provider = EmbeddedProvider(clock=self.clock)
        validator = TokenValidator(self.provider.issuer, audience="a", http_client=self.provider.transport)
        self.api = ResourceServer(validator)
        self.enterContext(authenticated(self.api, subject="ada"))

    def test_it(self):
        request = InboundRequest("GET", "https://api.test/")
        self.assertEqual(self.api.decide(request).subject, "ada")
        for token in attack_tokens(self.provider, severity="low"):
            with self.subTest(token.name):
                request = InboundRequest.build("GET", "https://api.test/", token.headers)
                self.assertIn(self.api.decide(request).status, (400, 401))
""",
    "loops/test_loops.py": """
import httpx
import pytest
from py_identity_model.aio import ResourceServer, TokenValidator
from py_identity_model.integrations.asgi import ResourceServerMiddleware
from py_identity_model.testing import authenticated

async def orders(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["state"]["principal"].subject.encode()})

api = ResourceServer(TokenValidator("https://id.example.com", audience="api"))
app = ResourceServerMiddleware(orders, api, scopes=["orders.read"])

@pytest.fixture
def as_ada():
    with authenticated(app, subject="ada", scopes=["orders.read"]):
        yield

@pytest.fixture
async def as_bob():
    with authenticated(app, subject="bob", scopes=["orders.read"]):
        yield

async def get():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return (await client.get("/")).text

@pytest.mark.anyio
async def test_of_a_fixture(as_ada):
    assert await get() == "ada"
    with authenticated(app, subject="eve", scopes=["orders.read"]):
        assert await get() == "eve"

@pytest.mark.anyio
async def test_of_an_async_fixture(as_bob, frozen_clock):
    assert await get() == "bob"

@pytest.mark.anyio
async def test_none():
    assert await get() == ""
""",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the package is installed, as far as entry points go."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "py_identity_model_of_a_test-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: py_identity_model_of_a_test\nVersion: 0\n")
    text = (SOURCE.parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.endswith(f'= "{PLUGIN}"'))
    (info / "entry_points.txt").write_text("[pytest11]\n" + line.replace('"', "") + "\n")
    path = os.pathsep.join([str(folder), str(SOURCE.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""}


def started(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    """Run pytest as a user does, and return what it says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *arguments]
    made = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    return made.stdout + made.stderr


@pytest.fixture(scope="module")
def ran(installed: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ElementTree.Element]]:
    """The tests of users by folder, as two workers of pytest-xdist ran them, with warnings as errors."""
    folder = tmp_path_factory.mktemp("users")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    said = started(installed, folder, "-n", "2", "-W", "error", "--junitxml", "report.xml")
    found: dict[str, list[ElementTree.Element]] = {}
    for each in ElementTree.parse(folder / "report.xml").iter("testcase"):
        found.setdefault(each.get("classname", "").partition(".")[0], []).append(each)
    assert " passed" in said, said
    return found


def passed(cases: list[ElementTree.Element]) -> list[str]:
    """Return the names of tests, all of which passed."""
    assert not [ElementTree.tostring(each).decode() for each in cases if len(each)]
    return [each.get("name", "") for each in cases]


def test_a_provider_its_tokens_and_a_clock(ran: dict[str, list[ElementTree.Element]]) -> None:
    """identity_provider, mint_token and frozen_clock belong together; faults are played for a block."""
    assert len(passed(ran["tokens"])) == 4


def test_a_server_that_mints(ran: dict[str, list[ElementTree.Element]]) -> None:
    """identity_provider_server is the same provider at an address of its own, which tokens name."""
    assert len(passed(ran["server"])) == 1


def test_options_of_the_provider(ran: dict[str, list[ElementTree.Element]]) -> None:
    """A conftest.py says what the provider is made with, and may replace any fixture."""
    assert len(passed(ran["options"])) == 1


def test_attacks_run_under_their_names(ran: dict[str, list[ElementTree.Element]]) -> None:
    """A test that wants attack_tokens runs once for each; one that says which gets those only; workers agree."""
    names = passed(ran["attacks"])
    assert {f"test_all[{name}]" for name in FORGERIES} | {"test_two[expired]", "test_two[alg_none]"} == set(names)
    assert len(names) == len(FORGERIES) + 2


def test_classes_of_unittest(ran: dict[str, list[ElementTree.Element]]) -> None:
    """A TestCase takes the fixtures by a fixture of its own, as pytest says, and does without them by plain objects."""
    assert len(passed(ran["cases"])) == 2


def test_async_tests(ran: dict[str, list[ElementTree.Element]]) -> None:
    """In async tests of the anyio plugin the principal of a fixture reaches the application, on both loops."""
    assert len(passed(ran["loops"])) == 6


# ---------------------------------------------------------------------------------------------------------------------
# As it is installed


def test_nothing_is_loaded_before_a_fixture_is_used(installed: dict[str, str], tmp_path: Path) -> None:
    """Collecting tests that use none loads four small modules of this library, and no package that it needs."""
    (tmp_path / "conftest.py").write_text(
        "import json, sys\ndef pytest_sessionfinish(session):\n    print('LOADED', json.dumps(sorted(sys.modules)))\n"
    )
    (tmp_path / "test_it.py").write_text(
        "def test_it(): pass\n\ndef test_with(identity_provider_server, mint_token, frozen_clock): pass\n"
    )
    said = started(installed, tmp_path, "--collect-only")
    loaded = json.loads(next(line for line in said.splitlines() if line.startswith("LOADED"))[7:])
    ours = [name for name in loaded if name.startswith("py_identity_model")]
    assert ours == ["py_identity_model", "py_identity_model._lazy", "py_identity_model.testing", PLUGIN], said
    assert not {"cryptography", "httpx2", "httpx", "msgspec", "joserfc", "http.server"} & set(loaded)


def test_an_older_conftest_goes_on_working(installed: dict[str, str], tmp_path: Path) -> None:
    """A conftest.py that switches the plugin on, as was needed before, neither fails nor loads it twice; and -p no:."""
    (tmp_path / "conftest.py").write_text(f"pytest_plugins = [{PLUGIN!r}]\n")
    (tmp_path / "test_it.py").write_text(
        "def test_it(embedded_provider, identity_provider):\n"
        "    assert embedded_provider.issuer == identity_provider.issuer\n"
    )
    assert "1 passed" in started(installed, tmp_path)
    (tmp_path / "conftest.py").write_text("")
    assert "fixture 'embedded_provider' not found" in started(installed, tmp_path, "-p", f"no:{PLUGIN}")


def test_it_adds_no_option_and_no_autouse() -> None:
    """The plugin has fixtures and one hook: nothing that changes a run by being there."""
    tree = ast.parse((SOURCE / "testing" / "pytest_plugin.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert {each.name for each in functions if each.name.startswith("pytest_")} == {"pytest_generate_tests"}
    decorators = {ast.unparse(one) for each in functions for one in each.decorator_list}
    assert decorators == {"pytest.fixture"}
    outside = {ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
    assert not [line for line in outside if "from ." in line], "what it imports is imported by everybody's tests"


# ---------------------------------------------------------------------------------------------------------------------
# The clock


def test_the_clock_is_put_back() -> None:
    """After the block everything reads the real time, also after an exception; nested clocks end one by one."""
    provider = EmbeddedProvider(algorithms=["ES256"])
    validator = TokenValidator(provider.issuer, audience=provider.audience, http_client=provider.transport)
    with FrozenClock(1_000_000_000) as outer:
        with suppress(ZeroDivisionError), FrozenClock(2_000_000_000.5) as inner:
            assert (inner.now, outer()) == (2_000_000_000.5, 1_000_000_000)
            with pytest.raises(TokenExpiredException):
                validator.validate(provider.mint())
            raise ZeroDivisionError
        with pytest.raises(TokenValidationException):
            validator.validate(provider.mint(iat=int(time.time()), nbf=int(time.time())))
        outer.set(time.time())
        validator.validate(provider.mint())
    assert validator.validate(provider.mint())["sub"] == "alice"


def test_a_clock_is_used_once_at_a_time() -> None:
    """One object is one block."""
    clock = FrozenClock()
    with clock, pytest.raises(ConfigurationException) as caught:
        clock.__enter__()
    assert caught.value.code == "clock_in_use"


def test_durations_go_by_the_clock() -> None:
    """What ages, ages with the clock: keys are as old as it says, and turning it back makes nothing younger."""
    with FrozenClock() as clock:
        provider = EmbeddedProvider(clock=clock, algorithms=["ES256"])
        validator = TokenValidator(provider.issuer, audience=provider.audience, http_client=provider.transport)
        validator.validate(provider.mint())
        clock.advance(100)
        clock.advance(-10)
        assert validator.health().issuers[0].age == 100


def test_the_awaiting_api_reads_the_same_clock() -> None:
    """A token that the clock has outlived is refused by both APIs."""
    import asyncio

    with FrozenClock() as clock:
        provider = EmbeddedProvider(clock=clock, algorithms=["ES256"])
        validator = aio.TokenValidator(
            provider.issuer, audience=provider.audience, http_client=provider.async_transport
        )
        token = provider.mint(expires_in=5)
        assert asyncio.run(validator.validate(token))["sub"] == "alice"
        clock.advance(6)
        with pytest.raises(TokenExpiredException):
            asyncio.run(validator.validate(token))


def test_every_clock_of_the_apis_is_frozen() -> None:
    """Modules of both APIs that read a clock are those that FrozenClock knows, but for waits that really wait."""
    really = {"_deadline", "_loopback", "sync/_driver", "aio/_driver"}
    known = {name.replace(".", "/") for name in (*clocks._DRIVERS, *clocks._VALIDATORS, *clocks._MAKERS)}
    found = set()
    for file in [*SOURCE.glob("*.py"), *SOURCE.glob("sync/*.py"), *SOURCE.glob("aio/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if "time" in names or (isinstance(node, ast.ImportFrom) and node.module == "time"):
                found.add(file.relative_to(SOURCE).with_suffix("").as_posix())
    assert {name for name in found if "bulk" not in name} - really <= known


def test_attack_tokens_say_what_they_are() -> None:
    """Each is the text of its token, with name, summary and severity, and shows none of itself."""
    provider = EmbeddedProvider(algorithms=["ES256"])
    made = attack_tokens(provider)
    assert [each.name for each in made] == list(FORGERIES)
    assert {each.severity for each in made} == {"high", "low"}
    assert {each.severity for each in attack_tokens(provider, severity="low")} == {"low"}
    one = AttackToken.of(provider, "expired")
    assert (repr(one), one.isascii(), FORGERIES["expired"].summary) == ("AttackToken('expired')", True, one.summary)
    assert all(each.isprintable() and each.isascii() for each in made), "a header can carry it"


def test_names_are_found_where_pytest_loads_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook that rewrites a plugin's assertions loads what it comes with, and tells no sources."""

    class Hook:
        """As much of a loader as that hook is."""

    def found(name: str) -> ModuleSpec:
        return ModuleSpec(name, Hook(), origin=find_spec(name).origin, is_package=True)

    expected = dict(_lazy.homes_of("py_identity_model.testing"))
    monkeypatch.setattr(_lazy, "find_spec", found)
    assert dict(_lazy.homes_of("py_identity_model.testing")) == expected
    assert expected["EmbeddedProvider"] == "py_identity_model.testing._provider"
