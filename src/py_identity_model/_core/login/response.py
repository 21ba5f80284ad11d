"""Who logged in, and the tokens: what every way of logging in ends with."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from ...exceptions import IdTokenValidationException
from ..base.flow import Flow
from ..client.token_response import TokenResponse
from ..validation.claim_checks import Claims
from ..validation.id_token import IdTokenExpectation
from ..validation.signed_response import verify_id_token
from .client import LoginClient, LoginServices, hint_of


@dataclass(repr=False)
class LoginResponse(TokenResponse):
    """Who logged in, and the tokens; or why nobody did. Nothing is in it that was not checked.

    Identify users by ``claims["iss"]`` and ``claims["sub"]`` together, by nothing else.

    Attributes:
        token: The provider's answer; None where the front channel brought everything.
        access_token: The access token; None where ``response_type`` asks for an ID token alone.
        token_type: How to use it.
        claims: The claims of the validated ID token; None without ``openid``.
        id_token: The validated ID token, as it came.
        id_token_hint: The same as providers take it for a hint, decrypted if it came encrypted (OpenID Connect Core
            3.1.2.1). Everyone who sees it can read it.
        data: What the application kept with the login.
        session_state: For OpenID Connect Session Management.
        resource: Where the tokens may be used, as far as it was asked for (RFC 8707).
    """

    # A login whose front channel brings an ID token alone brings no tokens: the one response where they may be missing.
    token: dict[str, Any] | None = None  # type: ignore[assignment] # see above
    access_token: str | None = field(default=None, kw_only=True)  # type: ignore[assignment] # see above
    token_type: str | None = field(default=None, kw_only=True)  # type: ignore[assignment] # see above
    claims: dict[str, Any] | None = field(default=None, kw_only=True)
    id_token_hint: str | None = field(default=None, kw_only=True)
    data: dict[str, Any] | None = field(default=None, kw_only=True)
    session_state: str | None = field(default=None, kw_only=True)
    resource: tuple[str, ...] = field(default=(), kw_only=True)

    _guarded: ClassVar[frozenset[str]] = TokenResponse._guarded | {"claims", "id_token_hint", "data", "session_state"}
    _redacted: ClassVar[frozenset[str]] = TokenResponse._redacted | {"claims", "id_token_hint", "data"}


def validated(
    client: LoginClient, token: str | None, expectation: IdTokenExpectation, services: LoginServices
) -> Flow[Claims]:
    """Return the claims of an ID token, which has to be there.

    Raises:
        TokenValidationException: It is refused, or missing: ``id_token_missing``.
        NetworkException: It cannot be verified right now.
    """
    if token is None:
        raise IdTokenValidationException(
            "openid was asked for, yet no ID token came",
            "token",
            code="id_token_missing",
            claim="id_token",
            hint="is the client registered for openid at this provider?",
        )
    # Also where no nonce is expected: a refresh token is used up, and a device's code, once their ID token is here.
    return (yield from verify_id_token(token, client.id_token_policy, services.validators, expectation, login=True))


def check_user(expected: str | None, claims: Claims | None) -> None:
    """Refuse another user than the one who was expected, if one was.

    Raises:
        IdTokenValidationException: ``subject_mismatch``.
    """
    if expected is not None and (claims or {}).get("sub") != expected:
        raise IdTokenValidationException(
            "Another user logged in than was expected",
            "payload",
            code="subject_mismatch",
            claim="sub",
            expected="the user who was asked for",
            actual="another",
        )


def made_of(
    client: LoginClient, tokens: TokenResponse, claims: Claims | None, scope: str | None, **more: Any
) -> LoginResponse:
    """Return the response with *tokens*, of whose ID token *claims* were validated; None leaves that token out."""
    values = {f.name: getattr(tokens, f.name) for f in fields(TokenResponse)}
    if claims is None:
        values["id_token"] = None  # nobody asked for it, so nobody validated it
    hint = None if values["id_token"] is None else hint_of(client, values["id_token"])
    # RFC 6749 5.1: scope may be left out if it is identical to the one requested.
    values["scope"] = values["scope"] or scope or None
    return LoginResponse(**values, claims=claims, id_token_hint=hint, **more)


__all__ = ["LoginResponse", "check_user", "made_of", "validated"]
