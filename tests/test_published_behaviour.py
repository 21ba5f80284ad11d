"""What programs of earlier versions rely on beyond names: options, refusals, values; each fact as a row here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import (
    ClientCredentialsTokenRequest,
    LoginClient,
    Reply,
    Secret,
    TokenIntrospectionRequest,
    TokenIntrospectionResponse,
    TokenValidationConfig,
    build_authorization_url,
    build_refusal,
    combine_claims_validators,
    generate_pkce_pair,
    parse_authorize_callback_response,
    sync,
)
from py_identity_model.exceptions import (
    AuthorizeCallbackException,
    ClaimsValidationError,
    ConfigurationException,
    InsufficientScopeException,
    InvalidAudienceException,
    NetworkException,
    PyIdentityModelException,
    TokenExpiredException,
    TokenValidationException,
)


@pytest.fixture
def provider() -> Provider:
    """A provider with one key."""
    return Provider()


@pytest.fixture
def by_config(api: Api, provider: Provider, clock: Any) -> Any:
    """Call ``validate_token`` cold and warm and demand the same verdict."""
    api.discovery.clear_discovery_cache()
    api.discovery.clear_jwks_cache()
    clock.wall = NOW

    def run(token: Any, **options: Any) -> Any:
        config = TokenValidationConfig(**{"perform_disco": True, "audience": "api", **options})
        verdicts = []
        for _ in range(2):
            try:
                verdicts.append(api.call(api.module.validate_token, token, config, ISSUER, provider))
            except PyIdentityModelException as error:
                verdicts.append(error)
        assert type(verdicts[0]) is type(verdicts[1])
        if isinstance(verdicts[1], Exception):
            raise verdicts[1]
        return verdicts[1]

    return run


# ---- options: what the published package handed on to its JWT library, and other libraries' names for the same

HARMLESS: list[dict[str, Any]] = [
    {"verify_at_hash": True},
    {"verify_at_hash": False},
    {"enforce_minimum_key_length": True},
    {"enforce_minimum_key_length": False},
    {"require_aud": True, "require_iat": True, "require_exp": True, "require_iss": True, "require_sub": True},
    {"require_jti": False, "require_nbf": False, "require_at_hash": False},
    {"require": ("exp", "iat")},
    {"require": {"sub"}},
    {"require": []},
    {"require": None},
    {"strict_aud": False},
    {"strict_aud": True},
    {"leeway": 0},
    {"leeway": 2.5},
    {"leeway": None},
    {"verify_sub": True, "verify_jti": True, "verify_iat": True, "verify_nbf": True, "verify_exp": True},
    {},
]


@pytest.mark.parametrize("options", HARMLESS, ids=repr)
def test_harmless_options_are_taken(by_config: Any, provider: Provider, options: dict[str, Any]) -> None:
    """An option that changes nothing for a good token, or asks for what is done anyway, does no harm."""
    assert by_config(provider.token(), options=options)["sub"] == "ada"


@pytest.mark.parametrize("claim", ["jti", "nbf", "tenant", "at_hash"])
def test_required_claims_have_two_spellings(by_config: Any, provider: Provider, claim: str) -> None:
    """``require_<claim>`` demands a claim as ``require`` does; False demands nothing."""
    for options in ({f"require_{claim}": True}, {"require": [claim]}, {"require_sub": True, f"require_{claim}": True}):
        with pytest.raises(TokenValidationException) as caught:
            by_config(provider.token(), options=options)
        assert (caught.value.code, caught.value.claim) == ("claim_missing", claim)
    assert by_config(provider.token(), options={f"require_{claim}": False})


def test_a_strict_audience_is_one_string(by_config: Any, provider: Provider) -> None:
    """``strict_aud`` refuses a list, also one that holds the right audience only."""
    assert by_config(provider.token(aud="api"), options={"strict_aud": True})
    for listed in (["api"], ["api", "other"]):
        assert by_config(provider.token(aud=listed))
        with pytest.raises(InvalidAudienceException) as caught:
            by_config(provider.token(aud=listed), options={"strict_aud": True})
        assert (caught.value.code, caught.value.claim) == ("claim_type_invalid", "aud")


def test_leeway_among_the_options(by_config: Any, provider: Provider) -> None:
    """``leeway`` among the options means the configuration's own, which goes first where both are given."""
    late = provider.token(exp=NOW - 5)
    assert by_config(late, options={"leeway": 10})
    assert by_config(late, options={"leeway": 1}, leeway=10)
    for options, leeway in (({"leeway": 10}, 0), ({"leeway": 5}, None), ({}, None)):
        with pytest.raises(TokenExpiredException):
            by_config(late, options=options, leeway=leeway)


WEAKENING: list[Any] = [
    *({f"verify_{what}": False} for what in ("signature", "exp", "nbf", "iat", "sub", "jti")),
    *({"leeway": value} for value in (-1, float("nan"), float("inf"), 3601, True, "5")),
    *({"require": value} for value in ("exp", 5, [""], [5], {"exp": True})),
    *({"verify_aud": value} for value in (0, None, "no")),
    *({"require_aud": value} for value in (1, None, "yes")),
    *({name: True} for name in ("verify_everything", "require_", "requires_exp", "Verify_exp", "", "verify")),
    *({5: True}, {None: False}, "verify_exp", ["verify_exp"], 7),
]


@pytest.mark.parametrize("options", WEAKENING, ids=repr)
def test_options_that_weaken_or_say_nothing_are_refused(by_config: Any, provider: Provider, options: Any) -> None:
    """A check that is never given up, and a word that names no check, are configuration errors that name the option."""
    with pytest.raises(ConfigurationException) as caught:
        by_config(provider.token(), options=options)
    assert caught.value.code in ("policy_invalid", "check_mandatory")


# ---- claims validators

RAISED: list[tuple[PyIdentityModelException, int]] = [
    (PyIdentityModelException("no"), 500),
    (ConfigurationException("no"), 500),
    (AuthorizeCallbackException("no"), 401),
    (InsufficientScopeException("no", ("admin",)), 403),
    (NetworkException("the register is down", retry_after=7), 503),
]


@pytest.mark.parametrize(("raised", "status"), RAISED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("awaited", [False, True])
def test_what_a_claims_validator_raises_refuses_the_token(
    by_config: Any, api: Api, provider: Provider, raised: PyIdentityModelException, status: int, awaited: bool
) -> None:
    """``except TokenValidationException`` catches any exception of the library, and its answer stays the right one."""

    def refuse(claims: dict[str, Any]) -> None:
        raise raised

    async def refuse_later(claims: dict[str, Any]) -> None:
        raise raised

    if awaited and api.name == "sync":
        with pytest.raises(ConfigurationException) as mistake:
            by_config(provider.token(), claims_validator=refuse_later)
        assert mistake.value.code == "awaitable_refused"
        return
    with pytest.raises(TokenValidationException) as caught:
        by_config(provider.token(), claims_validator=refuse_later if awaited else refuse)
    error = caught.value
    assert isinstance(error, ClaimsValidationError)
    assert error.raised is raised is error.__cause__
    assert (error.code, error.message, error.token_part) == (raised.code, raised.message, "payload")
    answer = build_refusal(error)
    assert (answer.status, error.client_error) == (status, raised.client_error)
    assert answer == build_refusal(raised)


def test_a_refusal_of_a_token_stays_what_it_is(by_config: Any, provider: Provider) -> None:
    """What already is a refusal of a token comes out as it went in."""
    for raised in (TokenValidationException("no"), TokenExpiredException("late"), ClaimsValidationError("no")):

        def refuse(claims: dict[str, Any], raised: Exception = raised) -> None:
            raise raised

        with pytest.raises(TokenValidationException) as caught:
            by_config(provider.token(), claims_validator=refuse)
        assert caught.value is raised


# ---- clients without a secret


@pytest.mark.parametrize("secret", ["", None])
def test_an_empty_secret_is_no_hmac_key(secret: str | None) -> None:
    """A public client verifies nothing with HMAC: neither an empty secret nor a missing one is a key."""
    client = LoginClient(
        issuer=ISSUER, client_id="app", redirect_uri="https://app.example.com/cb", client_secret=secret
    )
    with pytest.raises(ConfigurationException) as caught:
        client.validation_config("HS256")
    assert caught.value.claim == "client_secret"


# ---- what differs on purpose: each with its code, and with a heading on the page that says what to change

PAGE = (Path(__file__).parent.parent / "docs" / "migration" / "version-4.md").read_text(encoding="utf-8")
CALLBACK = "https://app.example.com/cb"
HTTP = "http://id.example.com"
Differs = tuple[str, Callable[[Provider], Any], str]


def _config(**options: Any) -> TokenValidationConfig:
    return TokenValidationConfig(**{"perform_disco": True, "audience": "api", **options})


def _judged(provider: Provider, **options: Any) -> Any:
    return sync.validate_token(provider.token(), _config(**options), ISSUER, provider)


def _down(provider: Provider) -> Any:
    provider.fail = lambda request: Reply(503)
    return _judged(provider)


def _raised(response: Any) -> Any:
    response.raise_for_error()


def _introspected(provider: Provider) -> Any:
    body = json.dumps({"active": True, "exp": NOW - 5}).encode()
    request = TokenIntrospectionRequest(f"{ISSUER}/introspect", "token", "app", client_secret="secret-of-the-app")
    answer = Reply(200, (("content-type", "application/json"),), body)
    return _raised(sync.introspect_token(request, lambda request: answer))


def _posted(provider: Provider) -> Any:
    request = ClientCredentialsTokenRequest(f"{HTTP}/token", "app", "secret-of-the-app")
    return _raised(sync.request_client_credentials_token(request, provider))


def _jarm(provider: Provider) -> Any:
    token = Provider().token(typ=None, aud="app", code="c")  # signed by another key
    url = f"{CALLBACK}?response={token}"
    return sync.process_jarm_response(url, client_id="app", disco_doc_address=ISSUER, http_client=provider)


def _logout(provider: Provider) -> Any:
    events = {"http://schemas.openid.net/event/backchannel-logout": {}}
    token = provider.token(typ="logout+jwt", exp=None, jti="1", events=events)
    return sync.validate_logout_token(token, _config(), ISSUER, provider)


DIFFERENCES: list[Differs] = [
    ("An audience is needed.", lambda p: _judged(p, audience=None), "policy_invalid"),
    ("A provider that is down", _down, "discovery_status_unexpected"),
    ("Plain http to another host", _posted, "https_required"),
    ("Plain http to another host", lambda p: sync.validate_token(p.token(), _config(), HTTP, p), "https_required"),
    ("An `issuer` beside discovery counts.", lambda p: _judged(p, issuer="https://x.example"), "issuer_mismatch"),
    ("Options that weaken", lambda p: _judged(p, options={"verify_sub": False}), "check_mandatory"),
    ("Rules of your own", lambda p: combine_claims_validators([]), "policy_invalid"),
    ("`HTTPClient(verify=False)`", lambda p: sync.HTTPClient(verify=False), "tls_verification_required"),
    ("a JARM response with a bad signature", _jarm, "signature_invalid"),
    ("PKCE with `plain`", lambda p: generate_pkce_pair("plain"), "code_challenge_method_refused"),
    (
        "The implicit grant",
        lambda p: build_authorization_url(ISSUER, "a", CALLBACK, response_type="token"),
        "response_type_refused",
    ),
    (
        "Callbacks",
        lambda p: parse_authorize_callback_response(f"{CALLBACK}?code=a&code=b"),
        "authorization_response_duplicate",
    ),
    ("Logout tokens need `exp`", _logout, "claim_missing"),
    ("Introspection that says `active`", _introspected, "token_expired"),
    ("An empty `Secret` is refused", lambda p: Secret(""), "secret_invalid"),
]


@pytest.mark.parametrize(("heading", "act", "code"), DIFFERENCES, ids=[heading for heading, _, _ in DIFFERENCES])
def test_what_differs_on_purpose_is_told(clock: Any, provider: Provider, heading: str, act: Any, code: str) -> None:
    """What earlier versions accepted and this one refuses has its place on the page, and a code that explains it."""
    sync.clear_discovery_cache()
    sync.clear_jwks_cache()
    clock.wall = NOW
    assert heading in " ".join(PAGE.split())
    with pytest.raises(PyIdentityModelException) as caught:
        act(provider)
    assert caught.value.code == code
    assert not (heading == "A provider that is down" and isinstance(caught.value, TokenValidationException))


def test_success_has_no_error() -> None:
    """``.error`` of a response that succeeded is None, where it used to raise."""
    assert TokenIntrospectionResponse(True, claims={"active": False}).error is None
    assert "`.error` of a response that succeeded" in PAGE
