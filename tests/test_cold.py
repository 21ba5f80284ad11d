"""The first token of a process: what it must not load, from several threads at once, and in odd interpreters."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from apis import Provider
from py_identity_model import TokenValidator, _lazy
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.exceptions import ConfigurationException, TokenValidationException

ROOT = Path(__file__).resolve().parent.parent
OURS = "py_identity_model."
#: What the first token under given keys has no use for: it takes a quarter of the time and more to load.
FOREIGN = (
    *("asyncio", "anyio", "concurrent.futures", "email", "http", "httpx2", "joserfc", "logging", "pathlib", "secrets"),
    *("socket", "ssl", "cryptography.x509"),
)
OWN = (
    *("_core.base.addresses", "_core.base.header_fields", "_core.base.response", "_core.base.store"),
    *("_core.cache.cache", "_core.cache.entry", "_core.discovery.fetch", "_core.discovery.key_sources"),
    *("_core.discovery.metadata", "_core.jose.jwe", "_core.jose.jwks", "_core.jose.signing_keys"),
    *("_core.validation.application_rules", "_core.validation.batch", "_core.validation.revocations"),
    *("_core.validation.several_key_sets", "_core.validation.status_list", "_core.validation.token_cache"),
    *("_core.validation.signed_response", "_key_file", "_peers", "aio", "stores", "sync._clients"),
)
FIRST_TOKEN = """
    import json, sys
    given = json.loads(sys.stdin.read())
    before = set(sys.modules)
    from py_identity_model import TokenValidator
    validator = TokenValidator(given["issuer"], "api", keys=given["keys"], engine=given["engine"])
    assert validator.validate(given["token"])["sub"] == "ada"
    print(json.dumps(sorted(set(sys.modules) - before)))
"""


def fresh(provider: Provider, **changes: Any) -> str:
    """Mint a token by the clock of this machine, which is that of the interpreters that are started here."""
    now = int(time.time())
    return provider.token(iat=now - 5, exp=now + 3600, **changes)


def run(program: str, given: object = None, **environment: str) -> Any:
    """Run a program in an interpreter of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("form", ["jwk", "pem"])
def test_the_first_token_loads_nothing_in_vain(engine: str, form: str) -> None:
    """Import and first validation under a given key load nothing that fetches, caches, logs or knows certificates."""
    key = SigningKey.generate("ES256", kid="k1")
    keys = {**(key.public_jwk or {}), "kid": "k1"} if form == "jwk" else key.public_pem
    provider = Provider(k1=key)
    loaded = run(FIRST_TOKEN, {"issuer": provider.issuer, "keys": keys, "engine": engine, "token": fresh(provider)})
    assert {*FOREIGN, *(OURS + name for name in OWN)}.isdisjoint(loaded)
    own = [name for name in loaded if name.startswith(OURS)]
    assert "py_identity_model._core.validation.validator" in own
    if (engine, form) == ("pure", "jwk"):
        assert "cryptography.hazmat.primitives.serialization" not in loaded


def test_the_names_of_that_list_are_there() -> None:
    """What must not be loaded exists: a module that was renamed would be watched in vain."""
    assert [name for name in (*FOREIGN, *(OURS + name for name in OWN)) if importlib.util.find_spec(name) is None] == []


def test_threads_may_begin_at_once(engine: str) -> None:
    """Eight threads import, build, fetch and validate at the same moment: what is loaded late is loaded whole."""
    program = """
        import json, sys, threading
        given = json.loads(sys.stdin.read())
        sys.setswitchinterval(1e-6)
        start, found = threading.Barrier(8), []

        def answer(request):
            from py_identity_model import Reply
            body = json.dumps(given["jwks"] if request.url.endswith("/jwks") else given["metadata"]).encode()
            return Reply(200, (("content-type", "application/json"),), body, request.url)

        def work(at):
            start.wait()
            try:
                from py_identity_model import TokenValidator
                options = {"keys": given["jwks"]} if at % 2 else {"http_client": answer}
                validator = TokenValidator(given["issuer"], "api", engine=given["engine"], **options)
                found.append(validator.validate(given["token"])["sub"])
                found.append(len(validator.validate_many([given["token"]] * 3)))
            except BaseException as error:
                found.append(repr(error))

        threads = [threading.Thread(target=work, args=(at,)) for at in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps(found))
    """
    provider = Provider()
    given = {"issuer": provider.issuer, "engine": engine, "token": fresh(provider), "jwks": provider.jwks()}
    found = run(program, {**given, "metadata": provider.metadata})
    assert sorted(map(str, found)) == ["3"] * 8 + ["ada"] * 8


def test_what_only_type_checkers_load_explains_arguments() -> None:
    """An argument of a type that is not loaded yet is told of by the name of that type."""
    with pytest.raises(ConfigurationException) as caught:
        TokenValidator("https://id.example.com", "api", discovery_policy="strict")  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.claim) == ("argument_invalid", "discovery_policy")
    assert caught.value.expected == "DiscoveryPolicy or None"


def test_names_for_type_checkers_are_found() -> None:
    """Each name that a module imports for type checkers is found where it is defined; others are not."""
    names = _lazy.TypesOnly("py_identity_model._token_validator")
    assert {"DiscoveryPolicy", "StoreHealth", "Batch"} <= set(names)
    assert names["Batch"].__module__ == "py_identity_model._core.validation.batch"
    assert len(names) == len(list(names))
    assert "TokenValidator" not in names
    assert _lazy.TypesOnly("py_identity_model.observability")["logging"].INFO == 20
    assert list(_lazy.TypesOnly("")) == list(_lazy.TypesOnly("sys")) == []


# ---- interpreters without a lock, and several in one process


def test_nothing_switches_the_lock_on(engine: str) -> None:
    """On a free-threaded build the interpreter lock stays off after both engines and ``cryptography`` are loaded."""
    program = FIRST_TOKEN.replace(
        "sorted(set(sys.modules) - before)", "getattr(sys, '_is_gil_enabled', lambda: True)()"
    )
    provider = Provider()
    given = {"issuer": provider.issuer, "keys": provider.jwks(), "engine": engine, "token": fresh(provider)}
    assert run(program, given) is not bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def test_another_interpreter_of_the_process_says_why(tmp_path: Path) -> None:
    """A sub-interpreter, which ``cryptography`` and ``msgspec`` refuse, is told so, and what to do instead."""
    program = """
        import json, sys
        from py_identity_model import TokenValidator
        place = json.loads(sys.stdin.read())
        steps = f'''if 1:
            try:
                from py_identity_model import TokenValidator
            except ImportError as error:
                said = str(error)
            else:
                said = "it works"
            with open({place!r}, "w") as file:
                file.write(said)
        '''
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
            other = interpreters.create(isolated=False)
        else:
            other = interpreters.create("isolated")
        interpreters.run_string(other, steps)
        interpreters.destroy(other)
        print(json.dumps("done"))
    """
    place = tmp_path / "said.txt"
    assert run(program, str(place)) == "done"
    said = place.read_text(encoding="utf-8")
    assert said.startswith("py_identity_model works in the main interpreter only")
    assert "WSGIApplicationGroup %{GLOBAL}" in said


def test_other_missing_modules_are_told_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the refusal of a sub-interpreter is translated; a package that is missing is named by Python."""
    door: dict[str, Any] = {"__name__": "py_identity_model"}
    load = _lazy.lazy(door)[1]
    for said, expected in (("No module named 'msgspec'", "No module"), ("no subinterpreters", "main interpreter only")):

        def missing(name: str, said: str = said) -> Any:
            raise ImportError(said)

        monkeypatch.setattr(importlib, "import_module", missing)
        with pytest.raises(ImportError, match=expected):
            load("TokenValidator")


# ---- threads


def test_threads_share_a_validator_through_rotations(engine: str) -> None:
    """Eight threads get the claims of their own tokens and no forged ones, while keys rotate and caches are emptied."""
    rounds = int(os.environ.get("THREAD_ROUNDS", "40"))
    provider = Provider(k1=SigningKey.generate("ES256", kid="k1"), k2=SigningKey.generate("ES256", kid="k2"))
    options = {"engine": engine, "cache_tokens": 16, "http_client": provider}
    validator = TokenValidator(provider.issuer, "api", **options)  # type: ignore[arg-type]
    forger = Provider(k1=SigningKey.generate("ES256", kid="k1"))
    tokens = {f"user-{at}": fresh(provider, sub=f"user-{at}") for at in range(24)}
    forged = fresh(forger, sub="mallory")
    wrong: list[object] = []
    over = threading.Event()

    def validate(at: int) -> None:
        for turn in range(rounds):
            name = f"user-{(at * 7 + turn) % 24}"
            claims = validator.validate(tokens[name])
            if claims["sub"] != name:
                wrong.append((name, claims["sub"]))
            claims["sub"] = "changed by the caller"
            outcomes = validator.validate_many([tokens[name], forged])
            if not isinstance(outcomes[0], dict) or outcomes[0]["sub"] != name or isinstance(outcomes[1], dict):
                wrong.append((name, outcomes))
            try:
                wrong.append(validator.validate(forged))
            except TokenValidationException:
                pass

    def rotate() -> None:
        at = 0
        while not over.is_set():
            at += 1
            others = {f"other-{at}": provider.keys["k1"]} if at % 2 else {}
            provider.keys = {"k1": provider.keys["k1"], "k2": provider.keys["k2"], **others}
            validator._stores.keys.clear()
            validator.cache_clear() if at % 3 else validator.invalidate(sub="user-1")
            validator.health()
            over.wait(0.002)

    _together(validate, rotate, over)
    assert wrong == []


def _together(validate: Any, rotate: Any, over: threading.Event) -> None:
    failed: list[BaseException] = []

    def watched(function: Any, *args: Any) -> None:
        try:
            function(*args)
        except BaseException as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        rotator = threading.Thread(target=watched, args=(rotate,))
        workers = [threading.Thread(target=watched, args=(validate, at)) for at in range(8)]
        for thread in (rotator, *workers):
            thread.start()
        for thread in workers:
            thread.join()
    finally:
        over.set()
        rotator.join()
        sys.setswitchinterval(interval)
    assert failed == []


def test_the_benchmark_of_the_first_token_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each candidate of the cold benchmark accepts the token in an interpreter of its own."""
    monkeypatch.syspath_prepend(str(ROOT))
    cold, cases = importlib.import_module("bench.cold"), importlib.import_module("bench.cases")
    case = cases.make_case("ES256", "https://issuer.example")
    rows = list(cold._compare(case, "a JWK", cold.programs()["a JWK"], 1))
    assert rows[0]["candidate"] == cold.READY
    assert all(row["min_ms"] > 0 and row["modules"] > 50 for row in rows)
