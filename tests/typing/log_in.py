"""A web application that logs people in, out, and keeps them logged in; in both APIs."""

from typing import assert_type

from py_identity_model import (
    BackChannelLogoutReceiver,
    DiscoveryPolicy,
    LoginClient,
    LoginRequest,
    LoginTransaction,
    PrivateKeyJwt,
    RequestSigning,
    SigningKey,
    TokenValidationConfig,
    aio,
    begin_login,
    build_authorization_url,
    build_end_session_url,
    complete_login,
    generate_pkce_pair,
    parse_authorize_callback_response,
    refresh_login,
    validate_authorize_callback_state,
)

KEY = SigningKey.generate("ES256", kid="2026")
CLIENT = LoginClient(
    issuer="https://id.example.com",
    client_id="web-app",
    redirect_uri="https://app.example.com/callback",
    private_key_jwt=PrivateKeyJwt(KEY, algorithm="ES256"),
    request_signing=RequestSigning(KEY, algorithm="ES256"),
    id_token_signed_response_alg="ES256",
    discovery_policy=DiscoveryPolicy(require_key_set=True),
)


def begin() -> tuple[str, LoginTransaction | None]:
    started = begin_login(CLIENT, LoginRequest())
    started.raise_for_error()
    assert_type(started.expires_at, float)
    return started.url, started.transaction


def complete(callback: str, transaction: LoginTransaction) -> str:
    login = complete_login(CLIENT, callback, transaction)
    if not login.is_successful:
        return login.error_description or login.error or ""
    assert_type(login.access_token, str | None)
    return f"{(login.claims or {})['sub']} until {login.expires_at}"


async def complete_async(callback: dict[str, str], transaction: LoginTransaction) -> None:
    login = await aio.complete_login(CLIENT, callback, transaction)
    if login.refresh_token is not None:
        await aio.refresh_login(CLIENT, login.refresh_token, login.claims)


def stay(refresh_token: str) -> float | None:
    return refresh_login(CLIENT, refresh_token).expires_at


def by_hand() -> str:
    verifier, challenge = generate_pkce_pair()
    response = parse_authorize_callback_response("https://app.example.com/callback?code=a&state=b")
    assert_type(validate_authorize_callback_state(response, "b").is_valid, bool)
    print(verifier)
    return build_authorization_url(
        "https://id.example.com/authorize", "web-app", "https://app.example.com/callback", code_challenge=challenge
    )


def leave(id_token: str) -> str:
    return build_end_session_url("https://id.example.com/logout", id_token_hint=id_token)


def left(body: bytes) -> int:
    receiver = BackChannelLogoutReceiver(
        TokenValidationConfig(perform_disco=True, audience="web-app"), "https://id.example.com"
    )
    logout = receiver.receive(body, "application/x-www-form-urlencoded")
    return logout.answer.status if not logout.is_successful else len(logout.claims)
