"""An API that validates tokens: once, many times, as a type of its own, in batches."""

from typing import Any, TypedDict, assert_type

import msgspec

from py_identity_model import (
    Claims,
    DiscoveryDocumentRequest,
    IssuerTemplate,
    JwksRequest,
    NetworkException,
    PyIdentityModelException,
    SignatureAlgorithm,
    TokenCacheInfo,
    TokenValidationConfig,
    TokenValidationException,
    TokenValidator,
    TrustedIssuer,
    ValidatorHealth,
    combine_claims_validators,
    get_discovery_document,
    get_jwks,
    require_claim_value,
    require_claims,
    to_principal,
    validate_id_token,
    validate_token,
)

ISSUER = "https://id.example.com"


class Caller(msgspec.Struct):
    sub: str
    scope: str = ""


class CallerDict(TypedDict):
    sub: str


def once(token: str) -> str:
    config = TokenValidationConfig(perform_disco=True, audience="api", algorithms=["RS256", "ES256"], leeway=30)
    claims = validate_token(token, config, disco_doc_address=ISSUER)
    assert_type(claims, dict[str, Any])
    return str(claims["sub"])


def of_a_login(token: str) -> Claims:
    config = TokenValidationConfig(perform_disco=True, audience="client")
    return validate_id_token(token, config, ISSUER, nonce="n-1", max_age=300)


def refuse_bots(claims: Claims) -> None:
    if claims.get("bot"):
        raise PermissionError


def built(algorithms: list[SignatureAlgorithm]) -> TokenValidator:
    return TokenValidator(
        [
            ISSUER,
            TrustedIssuer("https://b.example.com", audience="b", algorithms=("ES256",)),
            IssuerTemplate("https://login.example.com/{tenant}/v2.0", allowed={"a", "b"}),
        ],
        audience=["api", "https://api.example.com"],
        kind="rfc9068_access_token",
        engine="pure",
        algorithms=algorithms,
        claims_validator=combine_claims_validators(
            [require_claims("sub"), require_claim_value("tid", "1"), refuse_bots]
        ),
        cache_tokens=1000,
    )


def many_times(validator: TokenValidator, tokens: list[str]) -> None:
    assert_type(validator.validate(tokens[0]), dict[str, Any])
    assert_type(validator.validate(tokens[0], Caller), Caller)
    assert_type(validator.validate(tokens[0], CallerDict), CallerDict)
    assert_type(validator.validate(tokens[0], nonce="n", max_age=60, acr_values=["mfa"]), dict[str, Any])
    for outcome in validator.validate_many(tokens):
        if isinstance(outcome, PyIdentityModelException):
            print(outcome.code, outcome.hint)
        else:
            assert_type(outcome, dict[str, Any])
    for typed in validator.validate_stream(iter(tokens), Caller, window=64):
        match typed:
            case Caller(sub=sub):
                print(sub)
            case TokenValidationException() | NetworkException():
                print(typed.code)
            case _:
                raise typed
    assert_type(validator.cache_info(), TokenCacheInfo)
    health = validator.health()
    assert_type(health, ValidatorHealth)
    assert_type(health.refuses_in, float | None)
    if health.store is not None and health.marks is not None:
        assert_type(health.store.reachable, bool | None)
        assert_type(health.marks.count, int)
    assert_type(validator.invalidate(sub="ada"), int)


def documents() -> list[str | None]:
    metadata = get_discovery_document(DiscoveryDocumentRequest(address=ISSUER))
    metadata.raise_for_error()
    assert_type(metadata.issuer, str)
    assert_type(metadata.token_endpoint, str | None)
    keys = get_jwks(JwksRequest(address=metadata.jwks_uri or ""), refresh=True)
    return [key.kid for key in keys.keys]


def principal(claims: Claims) -> bool:
    return to_principal(claims).is_in_role("admin")
