"""Token validation, awaitable: ``validate_token``, ``TokenValidator``, and the caches behind them."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from time import monotonic, time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, Unpack, cast, overload

from .._arguments import explains_arguments, names_keywords
from .._core.discovery.trust import Stores
from .._core.validation.claim_checks import Claims
from .._core.validation.claim_types import converter
from .._core.validation.defaults import LIFETIME, SNAPSHOT_AGE, WINDOW
from .._core.validation.id_token import ExpectedIdToken, IdTokenExpectation
from .._core.validation.token_kinds import ACCESS_OR_ID_TOKEN, Kind
from .._core.validation.validator import Validator
from .._http_client import carrier_of
from .._offload import Source, in_worker
from .._token_validator import default_engine
from ..settings import get_settings
from ._columns import ColumnsOfTokens
from ._driver import run

if TYPE_CHECKING:
    from .._core.login.client import LoginClient
    from .._core.validation.batch import Outcome
    from .._core.validation.config import TokenValidationConfig, Validators
    from .._validator_health import ValidatorHealth
    from ._clients import Transport

T = TypeVar("T")
#: Tokens from an iterable of either kind.
Tokens: TypeAlias = Iterable[str] | AsyncIterable[str]


@functools.cache
def default_stores() -> Stores:
    """Return the caches of the awaitable API."""
    return Stores("aio", get_settings())


@functools.cache
def _validator_for() -> Callable[..., Validator]:
    from .._core.validation.config import validator_for  # a TokenValidator needs nothing of it

    return validator_for


def validators(
    config: TokenValidationConfig, address: str | None, kind: Kind, http_client: Transport | None = None
) -> Validator:
    """Return the validator of this API for a kind of token; what *http_client* fetched is for those who use it."""
    carrier = None if http_client is None else carrier_of(http_client)
    return _validator_for()(config, address, kind, default_stores, default_engine, "aio", carrier)


def validators_for(http_client: Transport | None) -> Validators:
    """Return what makes the validators of this API for those who use *http_client*."""
    return functools.partial(validators, http_client=http_client)


def stores_for(http_client: Transport | None) -> Stores:
    """Return the caches of this API for what *http_client* fetches."""
    return default_stores().carried_by(carrier_of(http_client))


async def validate_token(
    jwt: str,
    token_validation_config: TokenValidationConfig,
    disco_doc_address: str | None = None,
    http_client: Transport | None = None,
) -> dict[str, Any]:
    """Validate an access token or ID token and return its claims (RFC 7519 7.2, RFC 8725).

    Args:
        jwt: The token, in compact form.
        token_validation_config: What to check.
        disco_doc_address: The issuer URL, or the URL of its metadata; required with ``perform_disco=True``.
        http_client: The transport, should something have to be fetched; what it fetches is for those who use it.

    Returns:
        A new dict of the claims.

    Raises:
        TokenValidationException: The token is not valid; ``code``, ``claim`` and ``hint`` say why.
        NetworkException: It cannot be verified right now, because the provider cannot be reached.
        ConfigurationException: The configuration cannot be used safely.

    >>> import asyncio
    >>> from py_identity_model import TokenValidationConfig
    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> config = TokenValidationConfig(perform_disco=True, audience="api")
    >>> token = provider.mint(audience="api", subject="ada")
    >>> asyncio.run(validate_token(token, config, provider.issuer, http_client=provider.transport))["sub"]
    'ada'
    """
    validator = validators(token_validation_config, disco_doc_address, ACCESS_OR_ID_TOKEN, http_client)
    claims = validator.warm(jwt, time(), monotonic())
    if claims is None:
        return await run(validator.examine(jwt), http_client)
    if validator.asks:
        await run(validator.approve(claims), http_client)
    return claims


@explains_arguments
async def validate_id_token(
    id_token: str,
    token_validation_config: TokenValidationConfig | LoginClient,
    disco_doc_address: str | None = None,
    http_client: Transport | None = None,
    *,
    nonce: str | None = None,
    access_token: str | None = None,
    code: str | None = None,
    max_age: int | None = None,
) -> dict[str, Any]:
    """Validate an ID token and return its claims (OpenID Connect Core 3.1.3.7).

    Args:
        id_token: The token, in compact form.
        token_validation_config: What to check; its ``audience`` is the client's ``client_id``. A ``LoginClient`` knows
            all of it, decryption included.
        disco_doc_address: The issuer URL, or the URL of its metadata; required with ``perform_disco=True``.
        http_client: The transport, should something have to be fetched.
        nonce: The ``nonce`` of the authorization request, if one was sent.
        access_token: The access token that came along, compared with ``at_hash``.
        code: The authorization code that came along, compared with ``c_hash``.
        max_age: The ``max_age`` of the authorization request, in seconds, if one was sent.

    Returns:
        A new dict of the claims.

    Raises:
        TokenValidationException: The token is not valid; rules of ID tokens raise :class:`IdTokenValidationException`.
        NetworkException: It cannot be verified right now.
        ConfigurationException: The configuration cannot be used safely.

    >>> import asyncio
    >>> from py_identity_model import TokenValidationConfig
    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> config = TokenValidationConfig(perform_disco=True, audience="client-1")
    >>> token = provider.mint("id_token", audience="client-1", nonce="n-1")
    >>> asyncio.run(validate_id_token(token, config, provider.issuer, provider.transport, nonce="n-1"))["nonce"]
    'n-1'
    """
    from .._core.validation.signed_response import id_token_policy, verify_id_token

    policy = id_token_policy(token_validation_config, disco_doc_address)
    expectation = IdTokenExpectation(nonce=nonce, access_token=access_token, code=code, max_age=max_age)
    return await run(verify_id_token(id_token, policy, validators_for(http_client), expectation), http_client)


class TokenValidator(ColumnsOfTokens):
    """Validates the tokens of one issuer or several. Build it once; tasks, loops and threads may share it.

    >>> import asyncio
    >>> from py_identity_model.testing import EmbeddedProvider
    >>> provider = EmbeddedProvider()
    >>> async def main():
    ...     async with TokenValidator(provider.issuer, audience="api", http_client=provider.transport) as validator:
    ...         return await validator.validate(provider.mint(audience="api", subject="ada"))
    >>> asyncio.run(main())["sub"]
    'ada'
    """

    _default_stores = staticmethod(default_stores)

    @overload
    async def validate(self, token: str, type: None = None, **expected: Unpack[ExpectedIdToken]) -> Claims: ...
    @overload
    async def validate(self, token: str, type: type[T], **expected: Unpack[ExpectedIdToken]) -> T: ...
    @names_keywords(ExpectedIdToken)
    async def validate(self, token: str, type: Any = None, **expected: Unpack[ExpectedIdToken]) -> Any:
        """Validate a token and return its claims.

        Args:
            token: The token, in compact form.
            type: What to return: None for a new dict, or a msgspec Struct, a dataclass, a TypedDict or a
                pydantic model.
            expected: For ID tokens, what this login expects, see :class:`ExpectedIdToken`: ``nonce``, ``access_token``,
                ``code``, ``state``, ``max_age`` (seconds), ``acr_values``, ``hashes_required``, ``asked_at``.

        Returns:
            A new dict of the claims, or an instance of *type*.

        Raises:
            TokenValidationException: The token is not valid; ``code``, ``claim`` and ``hint`` say why.
            NetworkException: It cannot be verified right now.
            ConfigurationException: *type* is no type claims can have, or what is expected does not go with the kind.
        """
        into = None if type is None else converter(type)
        validator = self._validator
        # Named one by one, they would cost more than the look-up of a token that is remembered.
        claims = self._warm(token, time(), monotonic()) if validator.plain and not expected else None
        if claims is None:
            claims = await run(validator.examine(token, self._expectation(**expected)), self._http_client)
        elif validator.asks:
            await run(validator.approve(claims), self._http_client)
        return claims if into is None else into(claims)

    @overload
    async def validate_many(self, tokens: Tokens, type: None = None) -> list[Outcome[Claims]]: ...
    @overload
    async def validate_many(self, tokens: Tokens, type: type[T]) -> list[Outcome[T]]: ...
    async def validate_many(self, tokens: Tokens, type: Any = None) -> list[Outcome[Any]]:
        """Validate many tokens over all cores, and return an outcome for each, in their order.

        A bad token stops nothing: its outcome is the exception that :meth:`validate` would have raised. Identical
        tokens are verified once, each place has claims of its own. Tokens are taken from the iterable as they are
        worked on, and verified in worker threads: the event loop goes on. The token cache is neither asked nor filled.

        Args:
            tokens: The tokens, from an iterable of either kind.
            type: What claims are returned as: None for new dicts, or a msgspec Struct, a dataclass, a TypedDict or a
                pydantic model.

        Returns:
            For each token its claims, or the exception: a :class:`TokenValidationException` (not valid) or a
            :class:`NetworkException` (cannot be verified right now).

        Raises:
            ConfigurationException: *tokens* is no iterable of tokens, or *type* no type claims can have.

        >>> import asyncio
        >>> from py_identity_model.testing import EmbeddedProvider
        >>> provider = EmbeddedProvider()
        >>> validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
        >>> outcomes = asyncio.run(validator.validate_many([provider.mint(audience="api", subject="ada"), "no token"]))
        >>> outcomes[0]["sub"], outcomes[1].code
        ('ada', 'token_malformed')
        """
        from .._core.validation.batch import check_window, few

        seen = few(self._validator, tokens, time(), monotonic()) if type is None else None
        if seen is not None and None not in seen:
            return cast("list[Outcome[Any]]", seen)
        check_window(tokens, WINDOW, Iterable, AsyncIterable)
        batch, source = self._batch(in_worker, type), Source(tokens)
        outcomes: list[Outcome[Any]] = []
        while part := await source.take(WINDOW):
            outcomes += await run(batch.judge(part, seen), self._http_client)
        return outcomes

    @overload
    def validate_stream(
        self, tokens: Tokens, type: None = None, *, window: int = WINDOW
    ) -> AsyncIterator[Outcome[Claims]]: ...
    @overload
    def validate_stream(self, tokens: Tokens, type: type[T], *, window: int = WINDOW) -> AsyncIterator[Outcome[T]]: ...
    async def validate_stream(
        self, tokens: Tokens, type: Any = None, *, window: int = WINDOW
    ) -> AsyncIterator[Outcome[Any]]:
        """Validate a stream of tokens over all cores, and yield an outcome for each, in their order.

        As :meth:`validate_many`, holding no more than *window* tokens: the next are taken from the iterable when the
        outcomes of those before have been taken from here. Identical tokens within a window are verified once.

        Args:
            tokens: The tokens, from an iterable of either kind.
            type: What claims are yielded as: None for new dicts, or a msgspec Struct, a dataclass, a TypedDict or a
                pydantic model.
            window: Tokens worked on together. The first outcome comes when so many tokens have.

        Raises:
            ConfigurationException: *tokens* is no iterable of tokens, or *type* no type claims can have.

        >>> import asyncio
        >>> from py_identity_model.testing import EmbeddedProvider
        >>> provider = EmbeddedProvider()
        >>> async def main():
        ...     validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
        ...     tokens = (provider.mint(audience="api", subject=name) for name in ["ada", "bob"])
        ...     return [claims["sub"] async for claims in validator.validate_stream(tokens)]
        >>> asyncio.run(main())
        ['ada', 'bob']
        """
        from .._core.validation.batch import check_window

        check_window(tokens, window, Iterable, AsyncIterable)
        batch, source = self._batch(in_worker, type), Source(tokens)
        while part := await source.take(window):
            for outcome in await run(batch.judge(part), self._http_client):
                yield outcome
            batch.forget()

    async def warm_up(self) -> None:
        """Fetch metadata and keys of every issuer known by name, so that no request has to wait for them.

        Raises:
            NetworkException: They cannot be fetched. The validator stays usable and tries again when asked.
        """
        await run(self._warming(), self._http_client)

    @explains_arguments
    async def export_keys(self, key: bytes | Sequence[bytes]) -> bytes:
        """Ask the providers of all known issuers, and return what they say as a snapshot for :meth:`import_keys`.

        For platforms where nothing outlives a process and no store is at hand: make it when the image is built. It
        holds what is public, and is authenticated, since it says which keys to trust.

        Args:
            key: 32 random bytes or more that only the application knows; of several, the first.

        Returns:
            The snapshot. It keeps the freshness that the providers said.

        Raises:
            ConfigurationException: The key is too short (``snapshot_key_invalid``).
            NetworkException: A provider cannot be reached, or its answers are of no use.

        >>> import asyncio
        >>> from py_identity_model.testing import EmbeddedProvider
        >>> async def carried_along():
        ...     provider, key = EmbeddedProvider(), bytes(range(32))
        ...     built = TokenValidator(provider.issuer, audience="api", http_client=provider.async_transport)
        ...     started = TokenValidator(provider.issuer, audience="api", http_client=provider.async_transport)
        ...     return await started.import_keys(await built.export_keys(key), key)
        >>> asyncio.run(carried_along())
        2
        """
        return await run(self._exporting(key), self._http_client)

    @explains_arguments
    async def import_keys(self, data: bytes, key: bytes | Sequence[bytes], *, max_age: float = SNAPSHOT_AGE) -> int:
        """Take what :meth:`export_keys` returned: nothing is fetched while it is fresh, or while it cannot be.

        What the providers said is as old as it is. When it is no longer fresh they are asked; where they cannot be
        reached it is used up to the ``MAX_STALE`` setting, and no longer, and the event ``shared_keys_revived`` tells.

        Args:
            data: The snapshot.
            key: The key it was made with, or several of which one is.
            max_age: Seconds since it was made after which nothing of it is used; a week, unless you say otherwise.

        Returns:
            How many documents may be used; 0, with the event ``key_snapshot_refused``, if the snapshot is too old.

        Raises:
            ConfigurationException: It was not made with any of the keys, or was changed
                (``snapshot_unauthenticated``), is no snapshot (``snapshot_invalid``), or there is no key
                (``snapshot_key_invalid``).
        """
        return await run(self._importing(data, key, max_age), self._http_client)

    @explains_arguments
    async def revoke(
        self,
        token: str | None = None,
        *,
        jti: str | None = None,
        sid: str | None = None,
        sub: str | None = None,
        iss: str | None = None,
        before: float | None = None,
        lifetime: float = LIFETIME,
    ) -> None:
        """Refuse tokens from now on (``token_revoked``), within two seconds in every process that shares the store.

        Without a store it is this process that refuses them. Remembered tokens are refused too.

        Args:
            token: One token, as after :func:`revoke_token` (RFC 7009): it is validated, and refused until it expires.
            jti: The identifier of one token.
            sid: The session whose tokens are revoked (OpenID Connect Back-Channel Logout 2.4).
            sub: The user, or client, whose tokens are revoked.
            iss: The issuer of the tokens; alone: all of its tokens.
            before: Only tokens issued earlier, in seconds since 1970: those of a new login are accepted.
            lifetime: Seconds for which they are refused: as long as the longest-lived of them, at least.

        Raises:
            ConfigurationException: No claim is given, a value cannot be one, or the token has no ``jti``.
            TokenValidationException: *token* is not valid; one that has expired, or was revoked, is no error.
            NetworkException: *token* cannot be validated now.
            StoreException: The other processes cannot be told now; this one refuses the tokens all the same.

        >>> from py_identity_model.testing import EmbeddedProvider
        >>> import asyncio
        >>> provider = EmbeddedProvider()
        >>> async def main():
        ...     validator = TokenValidator(provider.issuer, audience="api", http_client=provider.transport)
        ...     await validator.revoke(sub="ada")
        ...     return (await validator.validate_many([provider.mint(audience="api", subject="ada")]))[0].code
        >>> asyncio.run(main())
        'token_revoked'
        """
        await run(self._revoking(token, jti, sid, sub, iss, before, lifetime), self._http_client)

    def health(self) -> ValidatorHealth:
        """Tell how it stands with the keys, the store and the marks, and when tokens would be refused; asks nobody."""
        return self._health(monotonic())

    async def close(self) -> None:
        """Do nothing: a validator holds no connection. It is there for ``async with``."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


__all__ = [
    "TokenValidator",
    "Tokens",
    "validate_id_token",
    "validate_token",
]
