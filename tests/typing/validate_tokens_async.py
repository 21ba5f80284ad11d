"""The same API in an async program."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, assert_type

import msgspec

from py_identity_model import PyIdentityModelException
from py_identity_model.aio import (
    Claims,
    HTTPClient,
    JwksRequest,
    Outcome,
    TokenValidationConfig,
    TokenValidator,
    TrustedIssuer,
    get_jwks,
    validate_token,
)

ISSUER = "https://id.example.com"


class Caller(msgspec.Struct):
    sub: str


async def once(token: str) -> Claims:
    config = TokenValidationConfig(perform_disco=True, audience="api")
    async with HTTPClient(timeout=5) as http_client:
        return await validate_token(token, config, ISSUER, http_client)


async def ask_the_database(claims: Mapping[str, Any]) -> None:
    if claims["sub"] == "mallory":
        raise PermissionError


async def resolve(issuer: str) -> TrustedIssuer | None:
    return TrustedIssuer(issuer, audience="api") if issuer.endswith(".example.com") else None


async def arriving() -> AsyncIterator[str]:
    yield "a"


async def many_times(tokens: list[str]) -> list[Outcome[Caller]]:
    async with TokenValidator(audience="api", claims_validator=ask_the_database, issuer_resolver=resolve) as validator:
        await validator.warm_up()
        assert_type(await validator.validate(tokens[0]), dict[str, Any])
        assert_type(await validator.validate(tokens[0], Caller, nonce="n"), Caller)
        async for outcome in validator.validate_stream(arriving()):
            if not isinstance(outcome, PyIdentityModelException):
                assert_type(outcome, dict[str, Any])
        return await validator.validate_many(tokens, Caller)


async def keys() -> int:
    found = await get_jwks(JwksRequest(address=f"{ISSUER}/jwks"))
    return len(found.keys) if found.is_successful else 0
