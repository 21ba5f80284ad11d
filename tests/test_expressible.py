"""What users have asked for: credentials of platforms, scopes as lists, token types of a provider's own, and more."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from apis import NOW, Api, Provider
from py_identity_model import aio, sync
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._secret_file import MAX_SECRET_FILE
from py_identity_model.exceptions import ClaimsValidationError, ConfigurationException, IdTokenValidationException

PUBLIC = "https://id.example.com"
TOKEN = f"{PUBLIC}/token"
ASSERTION = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


def door(api: Api) -> Any:
    """Return the public module of an API."""
    return sync if api.name == "sync" else aio


class Endpoint:
    """Answers every request with a token, and keeps the forms."""

    def __init__(self, **answer: Any) -> None:
        self.answer = {"access_token": "t", "token_type": "Bearer", **answer}
        self.forms: list[dict[str, list[str]]] = []
        self.headers: list[dict[str, str]] = []

    def __call__(self, request: Request) -> Reply:
        self.forms.append(parse_qs(request.body.decode()))
        self.headers.append({name.lower(): value for name, value in request.headers})
        return Reply(200, (("content-type", "application/json"),), json.dumps(self.answer).encode(), request.url)


# ---- credentials of a platform


def test_a_ready_made_assertion(api: Api) -> None:
    """A JWT that a platform made authenticates the client as it stands (RFC 7523 2.2)."""
    module, endpoint = door(api), Endpoint()
    request = module.ClientCredentialsTokenRequest(TOKEN, "app", client_assertion=ASSERTION)
    assert api.call(module.request_client_credentials_token, request, endpoint).is_successful
    assert endpoint.forms[0]["client_assertion"] == [ASSERTION]
    assert endpoint.forms[0]["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    assert ASSERTION not in repr(request)


def test_an_assertion_is_asked_for_each_time(api: Api) -> None:
    """A function is called for every request, so that a renewed assertion is used at once."""
    module, endpoint = door(api), Endpoint()
    made = iter([f"{ASSERTION}a", f"{ASSERTION}b"])
    request = module.ClientCredentialsTokenRequest(TOKEN, "app", client_assertion=lambda: next(made))
    for _ in range(2):
        api.call(module.request_client_credentials_token, request, endpoint)
    assert [form["client_assertion"] for form in endpoint.forms] == [[f"{ASSERTION}a"], [f"{ASSERTION}b"]]


def test_an_assertion_in_a_file(api: Api, tmp_path: Path) -> None:
    """A file that the platform renews is read for every request; so is a client secret."""
    module, endpoint, path = door(api), Endpoint(), tmp_path / "token"
    request = module.ClientCredentialsTokenRequest(TOKEN, "app", client_assertion=module.SecretFile(path))
    for end in ("a", "b"):
        path.write_text(f"{ASSERTION}{end}\n")
        api.call(module.request_client_credentials_token, request, endpoint)
    assert [form["client_assertion"][0][-1] for form in endpoint.forms] == ["a", "b"]
    secret = module.ClientCredentialsTokenRequest(
        TOKEN, "app", client_secret=module.SecretFile(path), auth_method="client_secret_post"
    )
    api.call(module.request_client_credentials_token, secret, endpoint)
    assert endpoint.forms[2]["client_secret"] == [f"{ASSERTION}b"]


@pytest.mark.parametrize(
    "given",
    ["", "no jwt", "a.b", "a.b.c.d", "a.b.c\n", "ä.b.c", f"{ASSERTION} ", "a." + "b" * 20000 + ".c", b"a.b.c", None, 5],
)
def test_what_is_no_assertion_is_not_sent(api: Api, given: Any) -> None:
    """Whatever a file or function brings, only a JWT in compact form is sent, and nothing of it is repeated."""
    module, endpoint = door(api), Endpoint()
    request = module.ClientCredentialsTokenRequest(TOKEN, "app", client_assertion=lambda: given)
    response = api.call(module.request_client_credentials_token, request, endpoint)
    assert (response.is_successful, endpoint.forms) == (False, [])
    assert isinstance(response.exception, ConfigurationException)
    assert "no jwt" not in str(response.error)


@pytest.mark.parametrize("name", ["client_secret", "client_assertion"])
def test_a_function_that_fails_tells_nothing(api: Api, name: str) -> None:
    """What a foreign function raises is our own exception, without its words."""
    module, endpoint = door(api), Endpoint()

    def fail() -> str:
        raise RuntimeError("canary")

    request = module.ClientCredentialsTokenRequest(TOKEN, "app", **{name: fail})
    response = api.call(module.request_client_credentials_token, request, endpoint)
    assert (response.error_code, response.exception.claim, endpoint.forms) == ("credential_unavailable", name, [])
    assert "canary" not in "".join(traceback.format_exception(response.exception))


def test_a_secret_that_is_called_for(api: Api) -> None:
    """A client secret may be a function; what it returned is blacked out like any other."""
    module = door(api)

    def provider(request: Request) -> Reply:
        body = {"error": "invalid_client", "error_description": "wrong secret rotated-secret-1 !"}
        return Reply(401, (("content-type", "application/json"),), json.dumps(body).encode(), request.url)

    request = module.ClientCredentialsTokenRequest(TOKEN, "app", client_secret=lambda: "rotated-secret-1")
    response = api.call(module.request_client_credentials_token, request, provider)
    assert response.error_code == "invalid_client"
    assert "rotated-secret-1" not in f"{response.error} {response.error_description} {request!r}"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"x" * (MAX_SECRET_FILE + 1), None])
def test_files_that_hold_no_secret(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, empty, no text or too large is refused without a word of it."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationException) as refused:
        sync.SecretFile(path)()
    assert refused.value.code == "secret_file_unreadable"
    assert refused.value.__context__ is None
    assert os.fspath(path) in repr(sync.SecretFile(path))


# ---- grants


def test_an_exchange_without_a_client(api: Api) -> None:
    """A token is exchanged without saying which client asks, where the provider wants that (RFC 8693 2.1)."""
    module, endpoint = door(api), Endpoint(issued_token_type="urn:ietf:params:oauth:token-type:access_token")
    request = module.TokenExchangeRequest(TOKEN, None, "subject", "urn:ietf:params:oauth:token-type:jwt")
    assert api.call(module.exchange_token, request, endpoint).access_token == "t"
    assert "client_id" not in endpoint.forms[0]
    assert "authorization" not in endpoint.headers[0]
    fields = {"subject_token": "s", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
    secret = module.TokenExchangeRequest(TOKEN, "", **fields, client_secret="x" * 20)
    assert api.call(module.exchange_token, secret, endpoint).error_code == "client_id_missing"


GRANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "request_client_credentials_token": ("ClientCredentialsTokenRequest", {}),
    "refresh_token": ("RefreshTokenRequest", {"refresh_token": "r"}),
    "request_authorization_code_token": (
        "AuthorizationCodeTokenRequest",
        {"code": "c", "redirect_uri": "https://client.example.com/callback"},
    ),
    "request_jwt_bearer_token": ("JwtBearerTokenRequest", {"assertion": "a.b.c"}),
    "request_extension_grant_token": (
        "ExtensionGrantTokenRequest",
        {"grant_type": "urn:x:y", "parameters": {"a": "b"}},
    ),
    "exchange_token": (
        "TokenExchangeRequest",
        {"subject_token": "t", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"},
    ),
    "poll_device_token": ("DeviceTokenRequest", {"device_code": "d"}),
    "poll_ciba_token": ("CibaTokenRequest", {"auth_req_id": "a"}),
}


@pytest.mark.parametrize("grant", GRANTS)
def test_token_types_of_a_providers_own(api: Api, grant: str) -> None:
    """Every grant takes the token types that the caller understands, in any case, and no other."""
    module = door(api)
    kind, fields = GRANTS[grant]
    endpoint = Endpoint(token_type="Custom", issued_token_type="urn:x:y", id_token="a.b.c")

    def ask(**more: Any) -> Any:
        request = getattr(module, kind)(TOKEN, client_id="app", **fields, **more)
        return api.call(getattr(module, grant), request, endpoint)

    assert ask().error_code == "token_type_unsupported"
    assert ask(token_types=["custom", "Bearer"]).token_type == "Custom"
    assert ask(token_types=["N_A"]).error_code == "token_type_unsupported"
    assert ask(token_types=[]).error_code == "parameter_invalid"
    bound = ask(token_types=["Bearer"], dpop_key=module.generate_dpop_key())
    assert not bound.is_successful
    endpoint.answer["token_type"] = "Bearer"
    downgraded = ask(token_types=["Bearer", "custom"], dpop_key=module.generate_dpop_key())
    assert downgraded.error_code == "dpop_token_expected"


@pytest.mark.parametrize("grant", [name for name in GRANTS if "device" not in name and "ciba" not in name])
def test_scopes_as_a_list(api: Api, grant: str) -> None:
    """A scope may be a list of scopes; what is no scope is refused before it is sent."""
    module, endpoint = door(api), Endpoint(issued_token_type="urn:x:y")
    kind, fields = GRANTS[grant]
    for scope, sent in ((["a", "b"], ["a b"]), (("a",), ["a"]), ("a b", ["a b"])):
        request = getattr(module, kind)(TOKEN, client_id="app", **fields, scope=scope)
        assert api.call(getattr(module, grant), request, endpoint).scope == sent[0]
        assert endpoint.forms[-1]["scope"] == sent
    for hostile in ([], ["a b"], [""], ["a", 5], [None], ["a\n"], ['"'], {"a": 1}, 5):
        request = getattr(module, kind)(TOKEN, client_id="app", **fields, scope=hostile)
        response = api.call(getattr(module, grant), request, endpoint)
        assert (response.error_code, response.exception.claim) == ("parameter_invalid", "scope")


def test_scopes_as_a_list_at_a_login(api: Api) -> None:
    """Logins, device and backchannel requests, pushed ones and request objects take lists as well."""
    module, provider = door(api), Provider(PUBLIC)
    provider.metadata["code_challenge_methods_supported"] = ["S256"]
    client = module.LoginClient(
        issuer=PUBLIC,
        client_id="app",
        redirect_uri="https://client.example.com/callback",
        scope=["openid", "email"],
        id_token_signed_response_alg="ES256",
    )
    start = api.call(module.begin_login, client, None, provider)
    assert parse_qs(start.url.partition("?")[2])["scope"] == ["openid email"]
    start = api.call(module.begin_login, client, module.LoginRequest(scope=["openid", "phone"]), provider)
    assert start.transaction.scope == "openid phone"
    url, _ = (
        module.build_authorization_url(
            f"{PUBLIC}/authorize", "app", "https://client.example.com/callback", scope=["openid", "x"]
        ),
        None,
    )
    assert "scope=openid" in str(url)
    for kind, name, more in (
        ("DeviceAuthorizationRequest", "request_device_authorization", {}),
        ("BackchannelAuthenticationRequest", "request_backchannel_authentication", {"login_hint": "a"}),
    ):
        endpoint = Endpoint()
        request = getattr(module, kind)(f"{PUBLIC}/x", "app", scope=["openid", "x"], client_secret="s" * 32, **more)
        api.call(getattr(module, name), request, endpoint)
        assert endpoint.forms[0]["scope"] == ["openid x"]


# ---- tokens


def test_authorized_parties(api: Api, clock: Any) -> None:
    """An ID token that a mobile app asked for is for the server if the app is named; no other party is accepted."""
    clock.wall = NOW
    provider = Provider(PUBLIC)
    strict = api.validator(PUBLIC, "server", kind="id_token", http_client=provider)
    lax = api.validator(PUBLIC, "server", kind="id_token", http_client=provider, authorized_parties=["android"])

    def token(party: Any) -> str:
        return provider.token(typ="JWT", aud="server", nonce="n", azp=party)

    assert api.call(lax.validate, token("android"), nonce="n")["azp"] == "android"
    assert api.call(lax.validate, token("server"), nonce="n")["azp"] == "server"
    for validator, party in ((strict, "android"), (lax, "other"), (lax, ["android"]), (lax, 5)):
        with pytest.raises(IdTokenValidationException) as refused:
            api.call(validator.validate, token(party), nonce="n")
        assert refused.value.code == "authorized_party_mismatch"
    for hostile in ([""], [5], "", ["a", None]):
        with pytest.raises(ConfigurationException):
            api.validator(PUBLIC, "server", kind="id_token", authorized_parties=hostile or [""])


def test_one_of_several_values() -> None:
    """A claim may have one of several values; each is compared by type."""
    check = sync.require_claim_value("level", "gold", "silver", 3)
    for good in ("gold", "silver", 3, ["bronze", "silver"]):
        check({"level": good})
    for bad in ("bronze", "3", True, ["bronze"], None, [], {"gold": 1}):
        with pytest.raises(ClaimsValidationError):
            check({"level": bad})
    with pytest.raises(ClaimsValidationError):
        check({})


@pytest.mark.parametrize(
    ("media_type", "accepted"),
    [
        *((kind, True) for kind in ("application/json", "application/jwk-set+json", "application/vnd.x+json")),
        *((kind, True) for kind in ("text/json", "APPLICATION/JSON; charset=utf-8", "application/jwks+json", "")),
        *((kind, False) for kind in ("text/html", "text/plain", "application/jsonp", "application/xml", "json")),
    ],
)
def test_key_sets_of_any_json_type(api: Api, media_type: str, accepted: bool) -> None:
    """Keys are taken from whatever says that it is JSON, and from nothing that says it is something else."""
    provider = Provider(PUBLIC)

    def transport(request: Request) -> Reply:
        return Reply(200, (("content-type", media_type),), json.dumps(provider.jwks()).encode(), request.url)

    response = api.call(door(api).get_jwks, sync.JwksRequest(f"{PUBLIC}/jwks"), transport)
    assert response.is_successful is accepted
