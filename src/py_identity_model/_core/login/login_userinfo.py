"""What the provider tells about a user who logged in, asked with what the login client knows (Core 5.3)."""

from __future__ import annotations

from ...exceptions import ConfigurationException, UserInfoException, printable
from ...settings import Settings
from ..base.flow import Flow
from ..base.response import answered
from ..client.token_response import DPOP
from ..client.userinfo import UserInfoRequest, UserInfoResponse, get_userinfo
from ..validation.claim_checks import Claims
from ..validation.signed_response import SignedResponsePolicy
from .client import LoginClient, LoginServices, endpoint_of, own_headers, provider_metadata
from .response import LoginResponse


def get_login_userinfo(
    client: LoginClient, login: LoginResponse, expected_sub: str | None, services: LoginServices, settings: Settings
) -> Flow[UserInfoResponse]:
    """Ask for the claims about the user of *login*; an answer about another user is refused, or of another issuer."""

    def ask() -> Flow[UserInfoResponse]:
        login.raise_for_error()
        subject = (login.claims or {}).get("sub") if expected_sub is None else expected_sub
        if not isinstance(subject, str) or not subject or login.access_token is None:
            raise ConfigurationException(
                "The login brought no ID token, or no access token",
                code="policy_invalid",
                claim="login",
                hint="after a refresh, say with expected_sub whose token it is",
            )
        metadata = yield from provider_metadata(client, services)
        bound = (login.token_type or "").lower() == DPOP
        request = UserInfoRequest(
            endpoint_of(client, metadata, "userinfo_endpoint"),
            login.access_token,
            expected_sub=subject,
            dpop_key=client.dpop_key if bound else None,
            mtls=client.mtls,
            signed_response=_signed(client),
            headers=own_headers(client),
            allow_insecure_http=client.allow_insecure_http,
        )
        response = yield from get_userinfo(request, settings, services.validators, login=True)
        if response.is_successful and request.signed_response is not None:
            _check_issuer(response.claims, login, request.address)
        return response

    return (yield from answered(UserInfoResponse, ask))


def _check_issuer(claims: Claims, login: LoginResponse, address: str) -> None:
    # Users are told apart by iss and sub together (OpenID Connect Core 5.7), and tenants sign with the same keys.
    expected = (login.claims or {}).get("iss")
    if expected is not None and claims.get("iss") != expected:
        raise UserInfoException(
            "The answer is of another issuer than the ID token",
            printable(address),
            200,
            code="issuer_mismatch",
            claim="iss",
            expected=printable(expected),
            actual=printable(claims.get("iss")),
        )


def _signed(client: LoginClient) -> SignedResponsePolicy | None:
    alg = client.userinfo_signed_response_alg
    if alg is None:
        return None
    return SignedResponsePolicy(client.validation_config(alg), client.address, client.userinfo_decryption)


__all__ = ["get_login_userinfo"]
