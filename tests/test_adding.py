"""The contributors' page on adding things: its changes apply to the code as it is, and what they add works at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from py_identity_model._core.validation.token_kinds import KINDS, KindName

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "contributing" / "adding.md"


def changes() -> dict[str, str]:
    """Return the changes of the page by their headings."""
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    return {section.partition("\n")[0]: section.partition("```diff\n")[2].partition("```")[0] for section in sections}


def hunks(change: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the file that a change is for, and what is replaced by what. An empty context line separates places."""
    head, _, body = change.partition("\n")
    found = []
    for place in re.split(r"(?:^ \n){2,}", body, flags=re.MULTILINE):
        lines = place.splitlines()
        old = "\n".join(line[1:] for line in lines if line[0] in " -")
        new = "\n".join(line[1:] for line in lines if line[0] in " +")
        found.append((old, new))
    return head.removeprefix("--- "), found


def apply(change: str, tree: Path) -> None:
    """Apply a change to a copy of the library; each of its places must be there once."""
    name, places = hunks(change)
    path = tree / name
    text = path.read_text(encoding="utf-8")
    for old, new in places:
        assert text.count(old) == 1, f"{name} holds {text.count(old)} times: {old}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


PRELUDE = """
from dataclasses import replace
from py_identity_model import *
from py_identity_model.testing import EmbeddedProvider
provider = EmbeddedProvider()
def code(function, *args, **options):
    try:
        return function(*args, **options)
    except PyIdentityModelException as error:
        return error.code
"""

PROGRAMS = {
    "A kind of token": """
import time
from apis import ISSUER, Provider
signing = Provider()
now = int(time.time())
token = signing.token(typ="secevent+jwt", events={}, jti="1", sub=None, iat=now, exp=None)
with TokenValidator(ISSUER, audience="api", kind="security_event", http_client=signing) as events:
    assert events.validate(token)["jti"] == "1"
    assert code(events.validate, signing.token(iat=now, exp=now + 60)) == "typ_mismatch"
with TokenValidator(ISSUER, audience="api", http_client=signing) as access:
    assert code(access.validate, token) == "typ_mismatch"
""",
    "A client authentication method": """
from py_identity_model._core.client.form_post import build_client_request
request = ClientCredentialsTokenRequest("https://id.example.com/token", "app", client_secret="s" * 20)
request.auth_method = "example_header"
sent = build_client_request(request, [("grant_type", "client_credentials")], 0.0)
assert dict(sent.headers)["X-Client-Secret"] == "s" * 20
request.client_secret = None
assert code(build_client_request, request, [], 0.0) == "client_auth_credential_missing"
""",
    "A member of metadata": """
import json
from py_identity_model._core.base.flow import Reply
def transport(member):
    def answer(request):
        reply = provider.transport(request)
        document = {**json.loads(reply.body), "global_token_revocation_endpoint": member}
        return replace(reply, body=json.dumps(document).encode())
    return answer
def asked(member):
    response = get_discovery_document(DiscoveryDocumentRequest(provider.issuer), transport(member))
    clear_discovery_cache()
    return response.global_token_revocation_endpoint
assert asked("https://id.example.com/revoke-all") == "https://id.example.com/revoke-all"
assert code(asked, 7) == "discovery_member_invalid"
assert code(asked, "http://id.example.com/revoke-all") == "discovery_endpoint_insecure"
""",
    "A claim check": """
good, evil = (provider.mint(audience="api", client_id="app", azp=azp) for azp in ("app", "other"))
for cached in (None, 10):
    with TokenValidator(provider.issuer, audience="api", cache_tokens=cached, http_client=provider.transport) as api:
        for _ in range(3):
            assert api.validate(good)["azp"] == "app"
            assert code(api.validate, evil) == "client_mismatch"
        assert [getattr(one, "code", None) for one in api.validate_many([good, evil])] == [None, "client_mismatch"]
""",
}


@pytest.mark.parametrize("heading", PROGRAMS)
def test_what_the_page_adds_works(heading: str, tmp_path: Path) -> None:
    """Each change of the page touches one file, and what it adds is in use everywhere."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    apply(changes()[heading], tmp_path)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", PRELUDE + PROGRAMS[heading]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_has_no_other_change() -> None:
    """Every change of the page is tried."""
    assert changes().keys() == PROGRAMS.keys()


def test_the_names_of_kinds_are_those_that_type_checkers_know() -> None:
    """A kind that is added to the table is added to the type beside it."""
    assert set(get_args(KindName)) == set(KINDS)
