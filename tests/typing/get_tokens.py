"""A service, a command-line tool and a gateway that get tokens, ask about them and give them back; in both APIs."""

from typing import Any, assert_type

from py_identity_model import (
    AuthorizationCodeTokenRequest,
    ClientCredentialsTokenRequest,
    ClientCredentialsTokenResponse,
    DeviceAuthorizationRequest,
    DeviceTokenRequest,
    DPoPKey,
    ExchangeTokenType,
    MtlsClientAuth,
    RefreshTokenRequest,
    Secret,
    TokenExchangeRequest,
    TokenIntrospectionRequest,
    TokenIntrospector,
    TokenRevocationRequest,
    UserInfoRequest,
    aio,
    exchange_token,
    get_userinfo,
    introspect_token,
    refresh_token,
    request_authorization_code_token,
    request_client_credentials_token,
    request_device_authorization,
    revoke_token,
    wait_for_device_token,
)

TOKEN = "https://id.example.com/token"


def service() -> str:
    request = ClientCredentialsTokenRequest(address=TOKEN, client_id="app", client_secret=Secret("s"), scope="orders")
    response = request_client_credentials_token(request)
    assert_type(response, ClientCredentialsTokenResponse)
    if not response.is_successful:
        raise response.exception or RuntimeError(response.error)
    assert_type(response.token, dict[str, Any])
    return f"{response.token_type} {response.access_token}"


async def service_async() -> str:
    mtls = MtlsClientAuth("client.pem", "client.key")
    request = aio.ClientCredentialsTokenRequest(TOKEN, "app", mtls=mtls)
    return (await aio.request_client_credentials_token(request)).access_token


def web_app(code: str, verifier: str) -> str | None:
    key = DPoPKey("ES256")
    tokens = request_authorization_code_token(
        AuthorizationCodeTokenRequest(TOKEN, "web", code, "https://app.example.com/cb", verifier, dpop_key=key)
    )
    again = refresh_token(RefreshTokenRequest(TOKEN, "web", tokens.refresh_token or ""))
    return again.id_token


def tool() -> str:
    authorization = request_device_authorization(DeviceAuthorizationRequest(TOKEN, "tool"))
    authorization.raise_for_error()
    print(authorization.verification_uri, authorization.user_code, authorization.interval)
    return wait_for_device_token(
        DeviceTokenRequest(TOKEN, "tool", authorization.device_code), authorization
    ).access_token


def gateway(token: str) -> list[str]:
    exchanged = exchange_token(
        TokenExchangeRequest(TOKEN, "gateway", token, ExchangeTokenType.ACCESS_TOKEN, audience=["a", "b"])
    )
    active = introspect_token(TokenIntrospectionRequest(TOKEN, token, "gateway", client_secret="s"))
    assert_type(active.active, bool)
    introspector = TokenIntrospector(TOKEN, "gateway", client_secret="s", expected_audience="api", max_age=30)
    assert_type(introspector(token).claims, dict[str, Any])
    user = get_userinfo(UserInfoRequest(TOKEN, token, expected_sub="ada"))
    revoke_token(TokenRevocationRequest(TOKEN, token, "gateway")).raise_for_error()
    return [exchanged.access_token, str(user.claims["email"])]
