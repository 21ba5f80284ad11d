"""Hints: what usually was meant, and the option that says so, in the refusal and on the command line [B11]."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.hints import audience_hint, issuer_hint, missing_audience_hint
from py_identity_model.exceptions import TokenValidationException

KEY = SigningKey.generate("ES256", kid="k1")
V1, V2 = "https://sts.windows.net/t/", "https://login.microsoftonline.com/t/v2.0"


def refused(api: Api, token: str, issuer: str = ISSUER, **options: Any) -> TokenValidationException:
    keys = {**(KEY.public_jwk or {}), "kid": "k1"}
    built = api.validator(issuer, options.pop("audience", "api"), keys=keys, **options)
    with pytest.raises(TokenValidationException) as caught:
        api.call(built.validate, token)
    return caught.value


def minted(**changes: Any) -> str:
    good = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 60}
    return sign_compact({name: value for name, value in {**good, **changes}.items() if value is not None}, KEY)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ("Bearer {}", "without the word"),
        ("bearer {}", "without the word"),
        ("DPoP {}", "without the word"),
        (" Bearer {}", "without the word"),
        ('"{}"', "without the quotes"),
        ("'{}'", "without the quotes"),
        ('{}"', "without the quotes"),
        ("\u201c{}\u201d", "without the quotes"),
        (" {}", "white space around"),
        ("{}\n", "white space around"),
        ("\t{}", "white space around"),
    ],
)
def test_what_stands_around_the_token(api: Api, shape: str, hint: str) -> None:
    """A token with a word, quotes or white space around it is refused, and told what to leave out."""
    error = refused(api, shape.format(minted()))
    assert error.code == "token_malformed"
    assert hint in str(error.hint)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("changes", "options", "hint"),
    [
        ({"aud": "account"}, {}, "audience mapper"),
        ({"aud": None, "typ": "Bearer"}, {}, "audience mapper"),
        ({"aud": None, "client_id": "c", "token_use": "access"}, {}, "require_claim_value"),
        ({"aud": None}, {}, "accept_any_audience=True"),
        ({"aud": []}, {}, "Hydra"),
        ({"aud": "api://1b2c"}, {"audience": "1b2c"}, "audience=[..., 'api://1b2c']"),
        ({"aud": "1b2c"}, {"audience": "api://1b2c"}, "audience=[..., '1b2c']"),
        ({"aud": "api/"}, {}, "trailing slash"),
        ({"aud": "other", "azp": "api"}, {}, "the client's name"),
        ({"iss": V1}, {"issuer": V2}, "accessTokenAcceptedVersion"),
        ({"iss": V2}, {"issuer": V1}, "version 2"),
        ({}, {"issuer": ISSUER + "/.well-known/openid-configuration"}, "metadata: give 'https://id"),
        ({"iss": "http://id.example.com"}, {}, "http and https"),
        ({}, {"algorithms": ["RS256"]}, "algorithms=['ES256']"),
        (
            {},
            {"algorithms": ["RS256"], "kind": "id_token", "audience": "client"},
            "id_token_signed_response_alg='ES256'",
        ),
        ({"nonce": "n", "typ": "Bearer"}, {}, 'kind="access_or_id_token"'),
    ],
)
def test_the_habits_of_providers(api: Api, changes: dict[str, Any], options: dict[str, Any], hint: str) -> None:
    """Where a provider is known for what came, the refusal names the option."""
    assert hint in str(refused(api, minted(**changes), **options).hint)


def test_nothing_is_said_where_nothing_is_known() -> None:
    """A token of somebody else altogether gets no hint."""
    assert audience_hint({"api"}, ["other"], {}) is None
    assert issuer_hint([ISSUER], "https://evil.example.com") is None
    assert issuer_hint([ISSUER], 7) is None
    assert "accept_any_audience" in missing_audience_hint({"client_id": "c"})


def test_the_command_line_carries_the_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """--json has the hint beside code and message."""
    testing = pytest.importorskip("typer.testing", reason="the extra cli is not installed")
    from py_identity_model.cli.app import app

    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [{**(KEY.public_jwk or {}), "kid": "k1"}]}))
    arguments = ["validate", "Bearer " + minted(), "--issuer", ISSUER, "--audience", "api", "--json"]
    result = testing.CliRunner().invoke(app, [*arguments, "--keys", str(keys)])
    told = json.loads(result.stdout)
    assert told["code"] == "token_malformed"
    assert "without the word" in told["hint"]


@pytest.mark.usefixtures("clock")
def test_a_provider_is_not_asked_for_a_hint(api: Api) -> None:
    """Hints are made of what is at hand: nothing is fetched for one."""
    provider = Provider(k1=KEY)
    built = api.validator(ISSUER, "api", http_client=provider)
    with pytest.raises(TokenValidationException):
        api.call(built.validate, provider.token(aud="account"))
    assert provider.requests == []
