"""Finding the key of a token by hand, as programs do that verify with a library of their own."""

from __future__ import annotations

import pytest

from py_identity_model import (
    JsonWebKey,
    TokenValidationConfig,
    TokenValidationException,
    jwks_from_dict,
    validate_token,
)
from py_identity_model.core.parsers import extract_jwt_header_fields, extract_kid_from_jwt, find_key_by_kid
from py_identity_model.exceptions import UnknownKeyException
from py_identity_model.testing import EmbeddedProvider

RSA = JsonWebKey(kty="RSA", n="n", e="e", kid="1")
EC = JsonWebKey(kty="EC", crv="P-256", x="x", y="y", kid="2", alg="ES256")
ENCRYPTION = JsonWebKey(kty="RSA", n="n", e="e", kid="1", use="enc")


def test_the_key_of_a_token_is_found_and_verifies_it() -> None:
    """Header, key set and static validation go together, as in programs written after earlier versions."""
    provider = EmbeddedProvider()
    token = provider.mint(audience="api")
    kid, alg = extract_jwt_header_fields(token)
    assert extract_kid_from_jwt(token) == kid
    keys = [jwks_from_dict(key) for key in provider.key_set()["keys"]]
    key, algorithm = find_key_by_kid(kid, keys, alg)
    config = TokenValidationConfig(
        perform_disco=False, key=key, algorithms=[algorithm], audience="api", issuer=provider.issuer
    )
    assert validate_token(token, config)["aud"] == "api"


@pytest.mark.parametrize("token", ["", "a.b.c", "no token", None, 7, "é.é.é"])
def test_what_is_no_token_has_no_key(token: object) -> None:
    """A header that cannot be read is a refusal of this library, never another library's error."""
    with pytest.raises(TokenValidationException):
        extract_kid_from_jwt(token)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kid", "keys", "alg", "found"),
    [
        ("1", [RSA, EC], None, ("1", "RS256")),
        ("1", [RSA, ENCRYPTION], "PS256", ("1", "PS256")),
        (None, [RSA], "RS512", ("1", "RS512")),
        (None, [RSA, EC], "ES256", ("2", "ES256")),
        ("2", [RSA, EC], None, ("2", "ES256")),
    ],
)
def test_the_one_key_that_fits(
    kid: str | None, keys: list[JsonWebKey], alg: str | None, found: tuple[str, str]
) -> None:
    """The name decides, then purpose, type and algorithm; the key's own algorithm goes before the token's."""
    key, algorithm = find_key_by_kid(kid, keys, alg)
    assert (key["kid"], algorithm) == found


@pytest.mark.parametrize(
    ("kid", "keys", "alg"),
    [
        ("3", [RSA, EC], None),
        (None, [RSA, EC], None),
        (None, [], "RS256"),
        ("1", [ENCRYPTION], None),
        ("1", [RSA], "ES256"),
        ("2", [EC], "ES384"),
        ("1", [RSA], "none"),
        ("1", [RSA], "HS256"),
        ("1", [RSA], "rs256"),
    ],
)
def test_no_key_fits(kid: str | None, keys: list[JsonWebKey], alg: str | None) -> None:
    """Where none fits, or several and nothing tells which, there is a refusal and no guess."""
    with pytest.raises(UnknownKeyException):
        find_key_by_kid(kid, keys, alg)
