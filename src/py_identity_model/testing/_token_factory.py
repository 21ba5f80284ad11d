"""What the fixture ``mint_token`` is: a provider's tokens, with scopes as a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._core.jose.algorithms import SignatureAlgorithm
from .._core.jose.signing_keys import SigningKey
from ._provider import EmbeddedProvider


class TokenFactory:
    """Mints tokens of one provider."""

    def __init__(self, provider: EmbeddedProvider) -> None:
        self.provider: EmbeddedProvider = provider

    def __call__(
        self,
        kind: str = "access_token",
        *,
        subject: str | None = None,
        scopes: Iterable[str] | None = None,
        audience: str | list[str] | None = None,
        client_id: str | None = None,
        expires_in: float = 300,
        alg: SignatureAlgorithm | None = None,
        headers: Mapping[str, object] | None = None,
        key: SigningKey | None = None,
        **claims: object,  # of any JSON type
    ) -> str:
        """Sign a token, as :meth:`EmbeddedProvider.mint` does.

        Args:
            kind: A key of :data:`TOKENS`.
            subject: The ``sub``.
            scopes: The scopes; a text of several is parted by spaces.
            audience: The ``aud``.
            client_id: The client it is issued to.
            expires_in: Seconds until ``exp``, negative for a token that has expired.
            alg: The algorithm.
            headers: Header parameters to add or change; None takes one out.
            key: Sign with this key instead of the provider's own.
            claims: Claims to add or change; None takes one out.

        Raises:
            ConfigurationException: There is no such kind of token, or no such algorithm.

        >>> mint = TokenFactory(EmbeddedProvider(algorithms=["ES256"]))
        >>> mint.provider.claims_of(mint(subject="ada", scopes=["orders.read"], tenant="t1"))["scope"]
        'orders.read'
        """
        if scopes is not None:
            claims["scope"] = scopes if isinstance(scopes, str) else " ".join(scopes)
        return self.provider.mint(
            kind,
            subject=subject,
            audience=audience,
            client_id=client_id,
            expires_in=expires_in,
            alg=alg,
            headers=headers,
            key=key,
            **claims,
        )


__all__ = ["TokenFactory"]
