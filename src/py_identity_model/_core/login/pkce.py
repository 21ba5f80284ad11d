"""PKCE: proof that the client that redeems a code is the one that asked for it (RFC 7636, S256 only)."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence

from ..._arguments import explains_arguments
from ..._refusals import bounded
from ...exceptions import ConfigurationException, printable
from ..base.base64url import b64url_encode

S256 = "S256"
#: RFC 7636 4.1: characters of a code verifier, at least and at most.
SHORTEST_VERIFIER = 43
LONGEST_VERIFIER = 128
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z")


@explains_arguments
def generate_code_verifier(length: int = LONGEST_VERIFIER) -> str:
    """Make a new code verifier, one for each authorization request (RFC 7636 4.1).

    Args:
        length: Characters, 43 to 128; each holds six bits of randomness.

    Raises:
        ConfigurationException: *length* is out of range.

    >>> len(generate_code_verifier())
    128
    """
    bounded(length, "length", int, SHORTEST_VERIFIER, LONGEST_VERIFIER, unit="characters", code="code_verifier_invalid")
    return secrets.token_urlsafe(LONGEST_VERIFIER)[:length]


@explains_arguments
def generate_code_challenge(
    verifier: str, method: str = S256, *, allow_challenge_that_shows_the_verifier: bool = False
) -> str:
    """Make the code challenge for a verifier (RFC 7636 4.2).

    Args:
        verifier: The verifier, 43 to 128 unreserved characters.
        method: ``S256``.
        allow_challenge_that_shows_the_verifier: Take the method ``plain``, which protects against nobody who can read
            the authorization request.

    Raises:
        ConfigurationException: The verifier is malformed, or the method is another (RFC 9700 2.1.1).

    >>> generate_code_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    if not isinstance(verifier, str) or not _VERIFIER.match(verifier):
        raise ConfigurationException(
            "A code verifier has 43 to 128 characters, letters, digits and -._~",
            code="code_verifier_invalid",
            claim="code_verifier",
        )
    check_challenge_method(method, allow_plain=allow_challenge_that_shows_the_verifier)
    return verifier if method == "plain" else b64url_encode(hashlib.sha256(verifier.encode()).digest())


@explains_arguments
def generate_pkce_pair(
    method: str = S256,
    verifier_length: int = LONGEST_VERIFIER,
    *,
    allow_challenge_that_shows_the_verifier: bool = False,
) -> tuple[str, str]:
    """Make a new code verifier and its challenge (RFC 7636 4.1, 4.2).

    Args:
        method: ``S256``.
        verifier_length: Characters of the verifier, 43 to 128.
        allow_challenge_that_shows_the_verifier: Take the method ``plain``.

    Returns:
        The verifier, to be kept, and the challenge, to be sent.

    Raises:
        ConfigurationException: The length is out of range, or the method is another.

    >>> verifier, challenge = generate_pkce_pair()
    >>> challenge == generate_code_challenge(verifier)
    True
    """
    verifier = generate_code_verifier(verifier_length)
    return verifier, generate_code_challenge(
        verifier, method, allow_challenge_that_shows_the_verifier=allow_challenge_that_shows_the_verifier
    )


def check_challenge_method(method: str, *, allow_plain: bool = False) -> None:
    """Refuse every method but ``S256`` (RFC 9700 2.1.1), and ``plain`` unless it is allowed by name.

    Raises:
        ConfigurationException: The code is ``code_challenge_method_refused``.
    """
    if method == S256 or (method == "plain" and allow_plain):
        return
    raise ConfigurationException(
        f"The code challenge method is S256, got {printable(method, 40)!r}",
        code="code_challenge_method_refused",
        claim="code_challenge_method",
        expected=S256,
        actual=printable(method, 40),
        hint="plain shows the verifier to everyone who sees the authorization request" if method == "plain" else None,
    )


def check_pkce_support(code_challenge_methods_supported: Sequence[str] | None) -> None:
    """Refuse a provider that says it lacks S256 (RFC 9700 2.1.1 and 4.7.1).

    Args:
        code_challenge_methods_supported: The member of the provider's metadata; None says nothing: the challenge is
            sent all the same, and nothing relies on it alone.

    Raises:
        ConfigurationException: The code is ``pkce_unsupported``.
    """
    if code_challenge_methods_supported is None or S256 in code_challenge_methods_supported:
        return
    raise ConfigurationException(
        "The provider does not support PKCE with S256",
        code="pkce_unsupported",
        claim="code_challenge_methods_supported",
        expected=S256,
        actual=[printable(method, 40) for method in code_challenge_methods_supported],
    )


__all__ = [
    "LONGEST_VERIFIER",
    "S256",
    "SHORTEST_VERIFIER",
    "check_challenge_method",
    "check_pkce_support",
    "generate_code_challenge",
    "generate_code_verifier",
    "generate_pkce_pair",
]
