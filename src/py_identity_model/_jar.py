"""Request objects for those who send their authorization requests themselves (JAR, RFC 9101)."""

from __future__ import annotations

import time

from ._arguments import explains_arguments
from ._core.base.scopes import Scopes, scope_text
from ._core.jose.algorithms import SignatureAlgorithm
from ._core.login.jar import make_request_object


@explains_arguments
def create_request_object(
    private_key: str | bytes,
    algorithm: SignatureAlgorithm,
    client_id: str,
    audience: str,
    redirect_uri: str,
    scope: Scopes = "openid",
    response_type: str = "code",
    state: str | None = None,
    nonce: str | None = None,
    code_challenge: str | None = None,
    code_challenge_method: str | None = None,
    lifetime: int = 300,
    kid: str | None = None,
    **extra_claims: object,
) -> str:
    """Sign an authorization request, now (RFC 9101 4, FAPI 2.0 Message Signing 5.3).

    Args:
        private_key: PEM text, or a ``SigningKey``, which may be a callable in front of a KMS or HSM.
        algorithm: The JWS algorithm of the key.
        client_id: The client: ``iss`` and ``client_id``.
        audience: The provider's issuer identifier.
        redirect_uri: Where the user comes back to, exactly as registered.
        scope: Scopes, separated by spaces.
        response_type: ``code``, or a combination of ``code``, ``id_token`` and ``token``.
        state: Binds the response to this user agent.
        nonce: Binds the ID token to this request.
        code_challenge: The challenge, see ``generate_pkce_pair``.
        code_challenge_method: ``S256``, also if None.
        lifetime: Seconds until the request object expires, 1 to 3600.
        kid: Key ID of a PEM key.
        extra_claims: Further parameters, as JSON values: ``response_mode``, ``claims``, ``authorization_details``.

    Returns:
        The request object, a signed JWT of the type ``oauth-authz-req+jwt``.

    Raises:
        ConfigurationException: A parameter is not valid or is reserved, or the key does not fit; ``claim`` names it.

    >>> from py_identity_model._core.jose.jws import parse_compact
    >>> from py_identity_model._core.jose.signing_keys import SigningKey
    >>> key = SigningKey.generate("ES256", kid="2026")
    >>> token = create_request_object(key, "ES256", "app", "https://id.example.com", "https://app.example.com/cb")
    >>> parse_compact(token).header["typ"]
    'oauth-authz-req+jwt'
    """
    return make_request_object(
        private_key,
        algorithm,
        client_id,
        audience,
        time.time(),
        lifetime=lifetime,
        kid=kid,
        claims={
            "redirect_uri": redirect_uri,
            "scope": scope_text(scope),
            "response_type": response_type,
            "state": state,
            "nonce": nonce,
            "code_challenge": code_challenge,
            "code_challenge_method": code_challenge_method,
            **extra_claims,
        },
    )


__all__ = ["create_request_object"]
