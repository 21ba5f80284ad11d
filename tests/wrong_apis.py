"""APIs that make the mistakes that APIs make: each is a function from a token to its claims, or raises."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from py_identity_model._core.base.base64url import b64url_decode
from py_identity_model._core.jose.verification_keys import import_key
from py_identity_model.testing import Answered, EmbeddedProvider, Shot

AUDIENCE = "https://api.example.com"
ALGORITHMS = ["RS256", "ES256"]
Verify = Callable[[str], Any]


class WrongAPI:
    """An API that trusts a provider, and verifies tokens in a way of its own.

    Args:
        verify: Returns the claims of a token, or raises.
        trusts: Returns a token that is in the request at another place; by default there is none.
    """

    def __init__(self, verify: Verify, trusts: Callable[[Shot], str | None] = lambda shot: None) -> None:
        self._verify, self._trusts = verify, trusts

    def __call__(self, shot: Shot) -> Answered:
        """Answer a request: 200, 401, or 500 where something else than a refusal was raised."""
        path = shot.path.partition("?")[0]
        if path != "/orders":
            return Answered(404)
        sent = [value for name, value in shot.headers if name.lower() == "authorization"]
        if len(sent) > 1:
            return Answered(400)
        scheme, _, token = (sent[0] if sent else "").partition(" ")
        found = token if scheme.lower() == "bearer" else self._trusts(shot)
        if not found:
            return Answered(401, (("www-authenticate", "Bearer"),))
        try:
            self._verify(found)
        except (jwt.PyJWTError, PermissionError):
            return Answered(401, (("www-authenticate", "Bearer"),))
        except Exception:  # as a framework does
            return Answered(500)
        return Answered(200, body=b'{"orders": []}')


def key_of(provider: EmbeddedProvider, token: str) -> Any:
    """Return the published key that a token names, as PyJWT takes it."""
    kid = jwt.get_unverified_header(token).get("kid")
    found = next((key for key in provider.key_set()["keys"] if key["kid"] == kid), None)
    if found is None:
        raise jwt.InvalidTokenError("unknown key")
    return jwt.PyJWK(found)


def by_pyjwt(provider: EmbeddedProvider, **changes: Any) -> Verify:
    """Verify with PyJWT as its pages say, but for *changes*, which are options or arguments."""
    told: dict[str, Any] = {"algorithms": ALGORITHMS, "audience": AUDIENCE, "issuer": provider.issuer}
    told["options"] = {"require": ["exp", "iss", "aud", "client_id"], **changes.pop("options", {})}

    def verify(token: str) -> Any:
        # typ and size are what its pages leave to the application.
        if len(token) > 16_000 or jwt.get_unverified_header(token).get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("no access token")
        return jwt.decode(token, key_of(provider, token), **told | changes)

    return verify


def without_verification(provider: EmbeddedProvider) -> Verify:
    """Read tokens, and believe them."""
    del provider
    return lambda token: jwt.decode(token, options={"verify_signature": False})


def confused(provider: EmbeddedProvider) -> Verify:
    """Verify as old versions of python-jose and PyJWT did: the header chooses, and the key is a text."""
    exact = by_pyjwt(provider)

    def verify(token: str) -> Any:
        header, payload, signature = token.split(".")
        head = json.loads(b64url_decode(header))
        if str(head["alg"]).startswith("HS"):
            found = next(key for key in provider.key_set()["keys"] if key["kid"] == head["kid"])
            pem = import_key(found).material.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            made = hmac.digest(pem, f"{header}.{payload}".encode(), f"sha{head['alg'][2:]}")
            if hmac.compare_digest(made, b64url_decode(signature)):
                return json.loads(b64url_decode(payload))
            raise PermissionError
        return exact(token)

    return verify


def takes_id_tokens(provider: EmbeddedProvider) -> Verify:
    """Ask for signature, issuer, audience and time, and not what kind of token it is."""
    told: dict[str, Any] = {"algorithms": ALGORITHMS, "audience": AUDIENCE, "issuer": provider.issuer}
    told["options"] = {"require": ["exp", "iss", "aud"]}
    return lambda token: jwt.decode(token, key_of(provider, token), **told)


def key_of_the_token(provider: EmbeddedProvider) -> Verify:
    """Take the key from the header where there is one."""
    exact = by_pyjwt(provider)

    def verify(token: str) -> Any:
        jwk = jwt.get_unverified_header(token).get("jwk")
        if jwk is None:
            return exact(token)
        return jwt.decode(token, jwt.PyJWK(jwk), algorithms=ALGORITHMS, audience=AUDIENCE, issuer=provider.issuer)

    return verify


def breaks(provider: EmbeddedProvider) -> Verify:
    """Read the header with nothing in the way of what can be raised."""
    exact = by_pyjwt(provider)

    def verify(token: str) -> Any:
        header, _, _ = token.split(".")
        assert json.loads(b64url_decode(header))["alg"] in ALGORITHMS
        return exact(token)

    return verify


def takes_none(provider: EmbeddedProvider) -> Verify:
    """Verify whatever the header says, and where it says none, nothing."""
    exact = by_pyjwt(provider)

    def verify(token: str) -> Any:
        alg = str(jwt.get_unverified_header(token).get("alg"))
        return jwt.decode(token, options={"verify_signature": False}) if alg.lower() == "none" else exact(token)

    return verify
