"""Programs of the shape that the published README, guide and examples have, run as they stand against a provider."""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import py_identity_model
import snippets
from py_identity_model import aio

ISSUER = "https://id.example.com"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
CALLBACK = "https://app.example.com/callback"
SERVICE = {"client_id": "orders-service", "client_secret": snippets.SECRET}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[snippets.World]:
    """A provider behind its address: every client's transport leads to it."""
    world = snippets.World(monkeypatch, ISSUER)
    yield world
    world.forget()


Call = Callable[..., Any]


@pytest.fixture(params=["py_identity_model", "py_identity_model.aio"])
def call(request: pytest.FixtureRequest) -> Iterator[Call]:
    """Call a published name through one of the doors, and wait for what is awaited."""
    door = py_identity_model if request.param == "py_identity_model" else aio
    with asyncio.Runner() as runner:

        def through(name: str, *args: Any, **kwargs: Any) -> Any:
            async def main() -> Any:
                answer = getattr(aio, name)(*args, **kwargs)
                return await answer if inspect.isawaitable(answer) else answer

            return getattr(door, name)(*args, **kwargs) if door is py_identity_model else runner.run(main())

        yield through
        if door is aio:
            runner.run(aio.close_async_http_client())


# ---- the README


def test_discovery(world: snippets.World, call: Call) -> None:
    """Metadata is found by the issuer and by its full address, and read field by field."""
    from py_identity_model import DiscoveryDocumentRequest

    for address in (ISSUER, DISCOVERY):
        response = call("get_discovery_document", DiscoveryDocumentRequest(address=address))
        assert response.is_successful
        assert response.token_endpoint == world.provider.url("token")


def test_token_validation(world: snippets.World, call: Call) -> None:
    """All arguments of ``validate_token`` are given by name."""
    from py_identity_model import TokenValidationConfig

    config = TokenValidationConfig(perform_disco=True, audience="my-api")
    token = world.provider.mint(audience="my-api", subject="ada")
    for address in (ISSUER, DISCOVERY):
        claims = call("validate_token", jwt=token, token_validation_config=config, disco_doc_address=address)
        assert claims["sub"] == "ada"


def test_both_doors_in_one_program(world: snippets.World) -> None:
    """Operations come from the async door, their requests from the other."""
    from py_identity_model import DiscoveryDocumentRequest
    from py_identity_model.aio import close_async_http_client, get_discovery_document, validate_token

    async def main() -> str:
        response = await get_discovery_document(DiscoveryDocumentRequest(address=ISSUER))
        config = py_identity_model.TokenValidationConfig(perform_disco=True, audience="my-api")
        claims = await validate_token(world.provider.mint(audience="my-api"), config, ISSUER)
        await close_async_http_client()
        return claims["iss"] if response.is_successful else ""

    assert asyncio.run(main()) == ISSUER


def test_client_credentials(world: snippets.World, call: Call) -> None:
    """A service asks for a token; the fields of the request come in any order, or by position."""
    from py_identity_model import ClientCredentialsTokenRequest

    endpoint = world.provider.url("token")
    by_name = ClientCredentialsTokenRequest(
        client_id="orders-service", client_secret=snippets.SECRET, address=endpoint, scope="api"
    )
    by_position = ClientCredentialsTokenRequest(endpoint, "orders-service", snippets.SECRET, "api")
    for request in (by_name, by_position):
        response = call("request_client_credentials_token", request)
        assert response.is_successful, response.error
        assert (response.token or {})["token_type"] == "Bearer"


def test_a_middleware(world: snippets.World) -> None:
    """A framework's middleware builds the configuration for each request and answers 401 to whatever is raised."""
    from py_identity_model import PyIdentityModelException, TokenValidationConfig, to_principal
    from py_identity_model.aio import validate_token

    async def answer(authorization: str | None) -> tuple[int, Any]:
        parts = (authorization or "").split()
        if len(parts) != 2 or parts[0].lower() != "bearer":
            return 401, None
        try:
            config = TokenValidationConfig(perform_disco=True, audience="my-api", claims_validator=None)
            claims = await validate_token(jwt=parts[1], token_validation_config=config, disco_doc_address=DISCOVERY)
            return 200, to_principal(claims)
        except PyIdentityModelException:
            return 401, None

    async def main() -> list[tuple[int, Any]]:
        mint = world.provider.mint
        tokens = [mint(audience="my-api", scope="a b"), mint(audience="other"), "junk"]
        answers = [await answer(f"Bearer {token}") for token in tokens]
        await aio.close_async_http_client()
        return [*answers, await answer(None), await answer("Basic x")]

    answers = asyncio.run(main())
    assert [status for status, _ in answers] == [200, 401, 401, 401, 401]
    principal = answers[0][1]
    assert principal.identity.is_authenticated()
    assert principal.has_claim("scope", "a b")


# ---- clients


def test_a_managed_client(world: snippets.World, call: Call) -> None:
    """A client is shared by calls and closed at the end; it may be made of one of one's own."""
    from py_identity_model import DiscoveryDocumentRequest, HTTPClient, JwksRequest

    with HTTPClient(timeout=60.0) as client:
        found = py_identity_model.get_discovery_document(
            DiscoveryDocumentRequest(address=DISCOVERY), http_client=client
        )
        keys = py_identity_model.get_jwks(JwksRequest(address=found.jwks_uri or ""), http_client=client)
    assert keys.keys
    with httpx.Client() as own:
        assert HTTPClient(client=own).client is own


def test_a_client_for_the_life_of_an_application(world: snippets.World) -> None:
    """The async client has its published name, is made at the start and closed at the end."""
    from py_identity_model import DiscoveryDocumentRequest
    from py_identity_model.aio import AsyncHTTPClient, get_discovery_document

    async def main() -> str | None:
        state = SimpleNamespace(http_client=AsyncHTTPClient())
        document = await get_discovery_document(DiscoveryDocumentRequest(address=DISCOVERY), state.http_client)
        await state.http_client.close()
        async with AsyncHTTPClient(timeout=5) as client:
            await get_discovery_document(DiscoveryDocumentRequest(address=ISSUER), http_client=client)
        return document.issuer

    assert asyncio.run(main()) == ISSUER


def test_the_shared_async_client(world: snippets.World) -> None:
    """The guide awaits the shared client, the modules of earlier versions did not; both have one client."""
    from py_identity_model.aio.http_client import close_async_http_client, get_async_http_client

    async def main() -> int:
        plain, awaited = get_async_http_client(), await get_async_http_client()
        assert plain is awaited
        response = await plain.get(DISCOVERY)
        await close_async_http_client()
        return response.status_code

    assert asyncio.run(main()) == 200


def test_caches(world: snippets.World) -> None:
    """A warm-up fills the caches, the counters show it, and both caches are cleared with and without await."""
    from py_identity_model import get_cache_counters
    from py_identity_model.aio.token_validation import clear_discovery_cache, clear_jwks_cache
    from py_identity_model.sync.token_validation import _get_disco_response, _get_jwks_response

    counters = get_cache_counters()
    counters.reset()
    document = _get_disco_response(DISCOVERY)
    assert _get_jwks_response(document.jwks_uri or "").is_successful
    assert _get_disco_response(DISCOVERY) is not None
    assert counters.snapshot()["disco_hits"] == 1
    assert _get_disco_response.cache_info().currsize == 1
    _get_disco_response.cache_clear()

    async def clear() -> None:
        await clear_discovery_cache()
        await clear_jwks_cache()
        clear_jwks_cache()

    asyncio.run(clear())


# ---- keys by hand


def test_keys_by_hand(world: snippets.World, call: Call) -> None:
    """Keys are fetched, chosen by the header, and handed on as objects or as dicts."""
    from py_identity_model import JwksRequest, TokenValidationConfig, jwks_from_dict
    from py_identity_model.core.parsers import extract_kid_from_jwt, find_key_by_kid

    token = world.provider.mint(audience="my-api")
    response = call("get_jwks", JwksRequest(address=world.provider.url("jwks")))
    key, algorithm = find_key_by_kid(extract_kid_from_jwt(token), response.keys)
    for form in (key, jwks_from_dict(key)):
        config = TokenValidationConfig(
            perform_disco=False, key=form, audience="my-api", algorithms=[algorithm], issuer=ISSUER
        )
        assert call("validate_token", token, config)["iss"] == ISSUER


# ---- a login


def test_authorization_code_with_pkce(world: snippets.World, call: Call) -> None:
    """A login step by step: redirect, callback, state, tokens, ID token, user, refresh, revocation."""
    import py_identity_model as oidc

    provider = world.provider
    web_app = {"client_id": "web-app", "client_secret": snippets.SECRET}
    verifier, challenge = oidc.generate_pkce_pair()
    state, nonce = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
    url = oidc.build_authorization_url(
        authorization_endpoint=provider.url("authorize"),
        client_id="web-app",
        redirect_uri=CALLBACK,
        scope="openid offline_access",
        state=state,
        nonce=nonce,
        code_challenge=challenge,
        code_challenge_method="S256",
    )
    with httpx.Client() as browser:
        returned = browser.get(url).headers["location"]
    callback = oidc.parse_authorize_callback_response(returned)
    assert oidc.validate_authorize_callback_state(callback, state).is_valid
    assert oidc.validate_authorize_callback_issuer(callback, ISSUER).is_valid
    response = call(
        "request_authorization_code_token",
        oidc.AuthorizationCodeTokenRequest(
            address=provider.url("token"),
            code=callback.code or "",
            redirect_uri=CALLBACK,
            code_verifier=verifier,
            **web_app,
        ),
    )
    assert response.is_successful, response.error
    token = response.token or {}
    config = oidc.TokenValidationConfig(perform_disco=True, audience="web-app")
    claims = call(
        "validate_id_token", token["id_token"], config, ISSUER, nonce=nonce, access_token=token["access_token"]
    )
    user = call("get_userinfo", oidc.UserInfoRequest(provider.url("userinfo"), token["access_token"], claims["sub"]))
    assert (user.claims or {})["sub"] == claims["sub"]
    refreshed = call(
        "refresh_token",
        oidc.RefreshTokenRequest(address=provider.url("token"), refresh_token=token["refresh_token"], **web_app),
    )
    assert refreshed.is_successful, refreshed.error
    revoked = call(
        "revoke_token",
        oidc.TokenRevocationRequest(
            address=provider.url("revoke"), token=(refreshed.token or {})["refresh_token"], **web_app
        ),
    )
    assert revoked.is_successful


def test_a_public_client_without_a_secret(world: snippets.World, call: Call) -> None:
    """An empty secret in the settings means that there is none."""
    from py_identity_model import DeviceAuthorizationRequest, DeviceTokenRequest

    provider = world.provider
    started = call(
        "request_device_authorization",
        DeviceAuthorizationRequest(provider.url("device_authorization"), "my-tool", client_secret=""),
    )
    assert started.is_successful, started.error
    polled = call(
        "poll_device_token",
        DeviceTokenRequest(provider.url("token"), "my-tool", started.device_code or "", client_secret=""),
    )
    assert polled.is_successful or polled.error_code == "authorization_pending"


def test_introspection(world: snippets.World, call: Call) -> None:
    """A token is asked about; what it says stands in ``claims``."""
    from py_identity_model import ClientCredentialsTokenRequest, TokenIntrospectionRequest

    provider = world.provider
    issued = call(
        "request_client_credentials_token",
        ClientCredentialsTokenRequest(address=provider.url("token"), scope="api", **SERVICE),
    )
    token = (issued.token or {})["access_token"]
    request = TokenIntrospectionRequest(address=provider.url("introspect"), token=token, **SERVICE)
    response = call("introspect_token", request)
    assert response.is_successful, response.error
    assert (response.claims or {})["active"] is True


def test_token_exchange(world: snippets.World, call: Call) -> None:
    """The types of tokens come from their published module."""
    from py_identity_model import TokenExchangeRequest
    from py_identity_model.core.token_type import ACCESS_TOKEN

    request = TokenExchangeRequest(
        address=f"{ISSUER}/token",
        subject_token=world.provider.mint(),
        subject_token_type=ACCESS_TOKEN,
        requested_token_type=ACCESS_TOKEN,
        audience="backend",
        **SERVICE,
    )
    response = call("exchange_token", request)
    assert response.is_successful, response.error
    assert response.issued_token_type == ACCESS_TOKEN


# ---- proofs, rules, refusals, settings


def test_a_dpop_proof_by_hand(world: snippets.World) -> None:
    """A key is made and kept as bytes, its proof goes into headers, and a demanded nonce is answered once."""
    from py_identity_model import build_dpop_headers, create_dpop_proof, extract_dpop_nonce, generate_dpop_key

    key = generate_dpop_key("ES256")
    assert load_pem_private_key(key.private_key_pem or b"", password=None)
    proof = create_dpop_proof(key=key, method="POST", uri=f"{ISSUER}/token")
    assert build_dpop_headers(proof=proof) == {"DPoP": proof}
    demand = httpx.Response(400, headers={"DPoP-Nonce": "n-1"}, json={"error": "use_dpop_nonce"})
    assert create_dpop_proof(key, "POST", f"{ISSUER}/token", nonce=extract_dpop_nonce(demand)) != proof
    assert extract_dpop_nonce(httpx.Response(200, headers={"DPoP-Nonce": "n-2"})) is None


def test_rules_of_the_application(world: snippets.World, call: Call) -> None:
    """A rule is any function that raises; whatever it raises is caught as the refusal of the token."""
    from py_identity_model import TokenValidationConfig, TokenValidationException, require_scopes

    def admins_only(claims: dict[str, Any]) -> None:
        if "admin" not in claims.get("roles", []):
            raise ValueError("not an admin")

    for rule in (admins_only, require_scopes("write")):
        config = TokenValidationConfig(perform_disco=True, audience="my-api", claims_validator=rule)
        with pytest.raises(TokenValidationException):
            call("validate_token", world.provider.mint(audience="my-api"), config, ISSUER)
        good = world.provider.mint(audience="my-api", roles=["admin"], scope="read write")
        assert call("validate_token", good, config, ISSUER)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exp": 1}, "TokenExpiredException"),
        ({"audience": "other"}, "InvalidAudienceException"),
        ({"iss": "https://x.example"}, "InvalidIssuerException"),
    ],
)
def test_refusals_have_their_published_classes(
    world: snippets.World, call: Call, changes: dict[str, Any], expected: str
) -> None:
    """Expired, for another audience, by another issuer: each has its class, below that of all refusals."""
    from py_identity_model import TokenValidationConfig, TokenValidationException

    claims = {"audience": "my-api", **changes}
    if changes.get("exp"):
        claims["exp"] = int(datetime.now(UTC).timestamp()) - 60
    config = TokenValidationConfig(perform_disco=True, audience="my-api", options={"verify_at_hash": False})
    with pytest.raises(TokenValidationException) as caught:
        call("validate_token", world.provider.mint(**claims), config, ISSUER)
    assert type(caught.value).__name__ == expected


def test_settings_of_an_application(world: snippets.World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come out of the environment and lead to a first request."""
    from py_identity_model import Config, DiscoveryDocumentRequest, get_discovery_document

    monkeypatch.setenv("OIDC_DISCOVERY_URL", DISCOVERY)
    monkeypatch.setenv("OIDC_CLIENT_ID", "web-app")
    config = Config.from_env(group="client")
    request = DiscoveryDocumentRequest(address=config.client_discovery_url or "")
    assert get_discovery_document(request).issuer == ISSUER
