"""The walks of the architecture page: which modules an operation goes through, each once and downhill."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apis import ISSUER, Provider
from py_identity_model import (
    DPoPKey,
    DPoPValidator,
    InboundRequest,
    LoginClient,
    TokenValidator,
    begin_login,
    complete_login,
    create_dpop_proof,
    validate_dpop_proof,
)
from py_identity_model._core.base.flow import Request
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.settings import Settings
from py_identity_model.testing import EmbeddedProvider
from test_structure import ARCHITECTURE, PACKAGE, SOURCE, module_of, place, read_layers

KEY = SigningKey.generate("ES256", kid="k1")


def visited(function: Callable[[], Any]) -> set[str]:
    """Return the modules of the library whose code runs in *function*, test support aside."""
    found: set[str] = set()
    root = str(SOURCE)

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(root) and frame.f_code.co_name != "<module>":
            found.add(module_of(Path(frame.f_code.co_filename), SOURCE))

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return {module for module in found if not module.startswith(("testing/", "_lazy"))}


def minted(**changes: Any) -> str:
    now = int(time.time())
    return Provider(k1=KEY).token(iat=now, exp=now + 600, **changes)


def cold_token() -> Callable[[], Any]:
    validator = build()
    token = minted()
    return lambda: validator.validate(token)


def warm_token() -> Callable[[], Any]:
    validator = build()
    token = minted()
    validator.validate(token)
    return lambda: validator.validate(token)


def build() -> Any:
    return TokenValidator(ISSUER, "api", http_client=Provider(k1=KEY), engine="pure", stores=Stores("sync", Settings()))


def login() -> Callable[[], Any]:
    op = EmbeddedProvider()
    client = LoginClient(
        issuer=op.issuer,
        client_id=op.client_id,
        client_secret=op.client_secret,
        redirect_uri="https://client.example.com/callback",
    )

    def both() -> None:
        start = begin_login(client, http_client=op.transport)
        sys.setprofile(None)  # the provider's part, and the browser's
        callback = op.transport(Request("GET", start.url)).header("location")
        assert callback is not None
        assert start.transaction is not None
        done.append((callback, start.transaction))

    done: list[Any] = []

    def walk() -> None:
        note = sys.getprofile()
        both()
        sys.setprofile(note)
        assert complete_login(client, *done[0], op.transport).is_successful

    return walk


def dpop_request() -> Callable[[], Any]:
    validator, guard, key = build(), DPoPValidator(), DPoPKey()
    token = minted(cnf={"jkt": key.jwk_thumbprint})
    validator.validate(token)
    proof = create_dpop_proof(key, "GET", "https://api.example.com/orders", token)
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof}

    def walk() -> None:
        request = InboundRequest.build("GET", "https://api.example.com/orders", headers)
        claims = validator.validate(token)
        validate_dpop_proof(guard, request, access_token=token, claims=claims)

    return walk


WALKS = {
    "A cold token": cold_token,
    "A warm token": warm_token,
    "A login": login,
    "A request with a token bound by DPoP": dpop_request,
}


def told() -> dict[str, list[str]]:
    """Return the walks of the page."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    section = text.partition("\n## Walks\n")[2].partition("\n## ")[0]
    return {
        name: re.findall(r"`([^`]+)`", body)
        for name, body in re.findall(r"^\*\*([^*]+)\.\*\* (.*)$", section, re.MULTILINE)
    }


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_goes_downhill(name: str) -> None:
    """The page names the modules that an operation goes through, from the door down, each once."""
    layers = read_layers(ARCHITECTURE.read_text(encoding="utf-8"))
    # In a process of its own, which no other test has warmed.
    tests = Path(__file__).parent
    program = f"import test_walk; print(*test_walk.visited(test_walk.WALKS[{name!r}]()))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE.parent), str(tests)])}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = done.stdout.split()
    downhill = sorted(found, key=lambda module: (place(module, layers) or (0, 0), module), reverse=True)
    shown = " ".join(f"`{module}`" for module in downhill)
    assert told().get(name) == downhill, f"**{name}.** {shown}"
    assert PACKAGE not in shown
