"""Token validation through both APIs: what is accepted, what is refused, and why."""

from __future__ import annotations

import base64
import copy
import dataclasses
import inspect
import json
import pickle
import pydoc
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlsplit

import msgspec
import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model._cache_info import CacheCounters
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Reply
from py_identity_model._core.base.secret import Secret
from py_identity_model._core.discovery.key_sources import RemoteKeys
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.claim_checks import ClaimPolicy, check_claims, everyday
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._core.validation.id_token import ExpectedIdToken
from py_identity_model._core.validation.issuers import IssuerTemplate, TrustedIssuer
from py_identity_model._core.validation.token_kinds import ACCESS_TOKEN
from py_identity_model.exceptions import (
    ClaimsValidationError,
    ConfigurationException,
    IdTokenValidationException,
    InvalidAudienceException,
    InvalidIssuerException,
    NetworkException,
    PyIdentityModelException,
    SignatureVerificationException,
    TokenExpiredException,
    TokenNotYetValidException,
    TokenValidationException,
    UnknownKeyException,
    ValidationException,
)

KEY = SigningKey.generate("ES256", kid="k1")
OTHER = SigningKey.generate("ES256", kid="k1")


@pytest.fixture
def provider() -> Provider:
    return Provider(k1=KEY)


@pytest.fixture
def validate(api: Api, provider: Provider, clock: Any) -> Any:
    """Validate with a new validator; the second time, on the warm path, the answer must be the same."""

    def run(token: Any, **options: Any) -> Any:
        expected = {name: options.pop(name) for name in list(options) if name in EXPECTATIONS}
        options.setdefault("audience", "api")
        validator = api.validator(options.pop("issuer", ISSUER), http_client=provider, **options)
        api.call(validator.warm_up)
        answers = []
        for _ in range(3):
            try:
                answers.append(("claims", api.call(validator.validate, token, **expected)))
            except PyIdentityModelException as error:
                answers.append(("error", error))
        kinds = {(kind, getattr(value, "code", None)) for kind, value in answers}
        assert len(kinds) == 1, f"cold and warm differ: {kinds}"
        kind, value = answers[0]
        if kind == "error":
            raise value
        assert answers[1][1] == value
        assert answers[1][1] is not value
        return value

    return run


EXPECTATIONS = ("nonce", "access_token", "code", "state", "max_age", "acr_values", "hashes_required")


def refused(
    validate: Any, token: Any, reason: str, error: type[Exception] = TokenValidationException, **options: Any
) -> Any:
    with pytest.raises(error) as caught:
        validate(token, **options)
    assert caught.value.code == reason
    return caught.value


# ---- what is accepted


@pytest.mark.parametrize(
    "alg", ["RS256", "PS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "ML-DSA-65"]
)
def test_tokens_of_every_asymmetric_algorithm_are_accepted(api: Api, clock: Any, alg: str) -> None:
    """A token of any asymmetric algorithm is accepted with no configuration but issuer and audience."""
    provider = Provider(k1=SigningKey.generate(alg, kid="k1"))
    validator = api.validator(ISSUER, "api", http_client=provider)
    for _ in range(2):
        assert api.call(validator.validate, provider.token())["sub"] == "ada"


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_an_access_token_may_name_its_kind_or_not(validate: Any, provider: Provider, typ: str | None) -> None:
    """typ may be absent, JWT or at+jwt, in any case and with application/ before it [T1] [J21]."""
    assert validate(provider.token(typ=typ))["sub"] == "ada"


@pytest.mark.parametrize("audience", ["api", ["api"], ["other", "api"]])
def test_the_audience_may_be_one_of_several(validate: Any, provider: Provider, audience: Any) -> None:
    """aud is a string or a list that holds us."""
    assert validate(provider.token(aud=audience))["aud"] == audience


def test_claims_are_a_new_plain_dict_each_time(api: Api, provider: Provider, clock: Any) -> None:
    """Changing the returned claims changes nothing for the next caller."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    token = provider.token(groups=["a"])
    first = api.call(validator.validate, token)
    first["groups"].append("admin")
    first["sub"] = "mallory"
    assert type(first) is dict
    assert api.call(validator.validate, token) == provider.claims(groups=["a"])


def test_only_the_first_token_causes_requests(api: Api, provider: Provider, clock: Any) -> None:
    """Metadata and keys are fetched once."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    for _ in range(5):
        api.call(validator.validate, provider.token())
    assert provider.requests == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/jwks"]


class Claims(msgspec.Struct):
    sub: str
    exp: int


@dataclasses.dataclass
class DataClaims:
    sub: str
    exp: int


class TypedClaims(TypedDict):
    sub: str
    exp: int


@pytest.mark.parametrize("kind", [Claims, DataClaims, TypedClaims])
def test_claims_come_typed_where_asked(api: Api, provider: Provider, clock: Any, kind: Any) -> None:
    """A Struct, a dataclass or a TypedDict is filled from the claims."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    claims = api.call(validator.validate, provider.token(), type=kind)
    assert (claims["sub"] if isinstance(claims, dict) else claims.sub) == "ada"


def test_claims_that_do_not_fit_the_type_are_refused(api: Api, provider: Provider, clock: Any) -> None:
    """Claims of the wrong type for the asked-for class refuse the token."""

    class Wanted(msgspec.Struct):
        sub: int

    validator = api.validator(ISSUER, "api", http_client=provider)
    with pytest.raises(ClaimsValidationError) as caught:
        api.call(validator.validate, provider.token(), type=Wanted)
    assert caught.value.code == "claims_type_mismatch"


# ---- the claims table: C1 to C15


@pytest.mark.parametrize(
    ("changes", "code", "kind"),
    [
        ({"exp": NOW}, "token_expired", TokenExpiredException),
        ({"exp": NOW - 5}, "token_expired", TokenExpiredException),
        ({"exp": -1}, "token_expired", TokenExpiredException),
        ({"exp": 0}, "token_expired", TokenExpiredException),
        ({"exp": None}, "claim_missing", TokenValidationException),
        ({"exp": True}, "claim_type_invalid", TokenValidationException),
        ({"exp": str(NOW + 60)}, "claim_type_invalid", TokenValidationException),
        ({"exp": [NOW + 60]}, "claim_type_invalid", TokenValidationException),
        ({"exp": {}}, "claim_type_invalid", TokenValidationException),
        ({"exp": 10**40}, "claim_type_invalid", TokenValidationException),
        ({"iat": NOW + 11}, "token_not_yet_valid", TokenNotYetValidException),
        ({"iat": "now"}, "claim_type_invalid", TokenValidationException),
        ({"iat": False}, "claim_type_invalid", TokenValidationException),
        ({"nbf": NOW + 11}, "token_not_yet_valid", TokenNotYetValidException),
        ({"nbf": "0"}, "claim_type_invalid", TokenValidationException),
        ({"aud": None}, "claim_missing", InvalidAudienceException),
        ({"aud": ""}, "claim_type_invalid", InvalidAudienceException),
        ({"aud": []}, "claim_type_invalid", InvalidAudienceException),
        ({"aud": ["api", 1]}, "claim_type_invalid", InvalidAudienceException),
        ({"aud": [["api"]]}, "claim_type_invalid", InvalidAudienceException),
        ({"aud": {"api": 1}}, "claim_type_invalid", InvalidAudienceException),
        ({"aud": "api2"}, "audience_mismatch", InvalidAudienceException),
        ({"aud": "ap"}, "audience_mismatch", InvalidAudienceException),
        ({"aud": "API"}, "audience_mismatch", InvalidAudienceException),
        ({"aud": "ap\u0456"}, "audience_mismatch", InvalidAudienceException),
        ({"aud": "api/"}, "audience_mismatch", InvalidAudienceException),
        ({"iss": None}, "claim_missing", InvalidIssuerException),
        ({"iss": ""}, "claim_type_invalid", InvalidIssuerException),
        ({"iss": [ISSUER]}, "claim_type_invalid", InvalidIssuerException),
        ({"iss": ISSUER + "/"}, "issuer_mismatch", InvalidIssuerException),
        ({"iss": ISSUER[:-1]}, "issuer_mismatch", InvalidIssuerException),
        ({"iss": ISSUER.upper()}, "issuer_mismatch", InvalidIssuerException),
        ({"sub": None}, "claim_missing", TokenValidationException),
        ({"sub": 7}, "claim_type_invalid", TokenValidationException),
        ({"jti": 7}, "claim_type_invalid", TokenValidationException),
        ({"nonce": "n"}, "kind_mismatch", TokenValidationException),
        ({"at_hash": "h"}, "kind_mismatch", TokenValidationException),
        ({"c_hash": "h"}, "kind_mismatch", TokenValidationException),
        ({"events": {}}, "kind_mismatch", TokenValidationException),
        ({"htm": "GET"}, "kind_mismatch", TokenValidationException),
    ],
)
def test_a_claim_that_is_not_as_it_must_be_refuses_the_token(
    validate: Any, provider: Provider, changes: dict[str, Any], code: str, kind: type[Exception]
) -> None:
    """A broken claim has its own refusal, the same cold and warm [T2] [T3] [T5] [J17] [J18] [J22]."""
    refused(validate, provider.token(**changes), code, kind)


@pytest.mark.parametrize("changes", [{"exp": NOW + 0.5}, {"iat": NOW + 10}, {"nbf": NOW + 10}, {"iat": None}])
def test_times_at_the_edge_are_accepted(validate: Any, provider: Provider, changes: dict[str, Any]) -> None:
    """exp has no leeway, iat and nbf may be 10 s ahead, and a NumericDate may have a fraction [F42] (C2, C3)."""
    assert validate(provider.token(**changes))


@pytest.mark.parametrize("changes", [{"sub": ""}, {"sub": "x" * 300}, {"sub": None, "client_id": "c"}, {"iat": None}])
def test_access_tokens_have_no_limits_of_sub(validate: Any, provider: Provider, changes: dict[str, Any]) -> None:
    """Tokens for machines have long subjects, empty ones, or only a client: the limits of Core 2 are for ID tokens."""
    claims = validate(provider.token(**changes))
    assert claims.get("sub") == changes.get("sub", "ada")


@pytest.mark.parametrize(("exp", "good"), [(NOW - 29, True), (NOW - 30, False)])
def test_an_explicit_leeway_applies_to_exp(validate: Any, provider: Provider, exp: int, good: bool) -> None:
    """leeway=30 accepts a token 29 s late and refuses one 30 s late."""
    if good:
        assert validate(provider.token(exp=exp), leeway=30)
    else:
        refused(validate, provider.token(exp=exp), "token_expired", leeway=30)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_an_explicit_leeway_applies_to_the_other_times(validate: Any, provider: Provider, name: str) -> None:
    """leeway=3 replaces the 10 s that nbf and iat have by default (C2, C3)."""
    assert validate(provider.token(**{name: NOW + 3}), leeway=3)
    refused(validate, provider.token(**{name: NOW + 4}), "token_not_yet_valid", leeway=3)


def test_a_clock_difference_is_hinted_at(validate: Any, provider: Provider) -> None:
    """A refusal for a time in the future says by how much the clocks differ (C2)."""
    error = refused(validate, provider.token(iat=NOW + 40), "token_not_yet_valid")
    assert "differ by 40 s" in str(error)


def test_a_trailing_slash_is_hinted_at(validate: Any, provider: Provider) -> None:
    """Issuers that differ only by a trailing slash get a hint."""
    assert "trailing slash" in str(refused(validate, provider.token(iss=ISSUER + "/"), "issuer_mismatch"))


def test_an_id_token_is_no_access_token_and_says_so(validate: Any, provider: Provider) -> None:
    """The hint tells that an ID token was sent to an API."""
    assert "ID token" in refused(validate, provider.token(typ="JWT", nonce="n"), "kind_mismatch").hint


def test_required_claims_and_subject_are_honoured(validate: Any, provider: Provider) -> None:
    """A validator may ask for more claims, and for one subject only."""
    assert validate(provider.token(tenant="t"), required_claims=["tenant"], subject="ada")
    refused(validate, provider.token(), "claim_missing", required_claims=["tenant"])
    refused(validate, provider.token(), "subject_mismatch", subject="bob")


def test_an_old_token_is_refused_where_an_age_is_set(validate: Any, provider: Provider) -> None:
    """max_token_age bounds what exp allows."""
    assert validate(provider.token(iat=NOW - 60), max_token_age=60)
    refused(validate, provider.token(iat=NOW - 61), "token_too_old", max_token_age=60)
    refused(validate, provider.token(iat=None), "token_too_old", max_token_age=60)


# ---- kinds


@pytest.mark.parametrize(
    "typ",
    [
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "token-introspection+jwt",
        "oauth-authz-req+jwt",
        "client-authentication+jwt",
        "",
        "at+jwt2",
        "text/at+jwt",
    ],
)
def test_a_foreign_typ_is_refused(validate: Any, provider: Provider, typ: str) -> None:
    """A token that names another kind is refused by every kind a validator can have [J21] [J22] [T1] (C7)."""
    for kind in ("access_token", "rfc9068_access_token", "id_token", "access_or_id_token"):
        refused(validate, provider.token(typ=typ), "typ_mismatch", kind=kind)


def test_rfc_9068_is_held_to_the_letter_on_request(validate: Any, provider: Provider) -> None:
    """The strict kind demands typ at+jwt and client_id, jti, sub, iat [T1] [T6]."""
    whole = {"client_id": "web", "jti": "1"}
    assert validate(provider.token(**whole), kind="rfc9068_access_token")
    refused(validate, provider.token(typ="JWT", **whole), "typ_mismatch", kind="rfc9068_access_token")
    for name in ("client_id", "jti", "sub", "iat"):
        error = refused(validate, provider.token(**{**whole, name: None}), "claim_missing", kind="rfc9068_access_token")
        assert error.claim == name


def test_an_access_token_is_no_id_token(validate: Any, provider: Provider) -> None:
    """typ at+jwt is refused where an ID token is expected (C7)."""
    refused(validate, provider.token(), "typ_mismatch", kind="id_token")


# ---- ID tokens


@pytest.fixture
def id_token(provider: Provider) -> Any:
    return lambda **changes: provider.token(typ="JWT", **{"aud": "api", "nonce": "n-1", **changes})


def test_an_id_token_is_bound_to_its_login(validate: Any, id_token: Any) -> None:
    """The nonce must be the one that was sent [O11] [C8]."""
    assert validate(id_token(), kind="id_token", nonce="n-1")["nonce"] == "n-1"
    for nonce in ("n-2", None, 7, ""):
        refused(
            validate, id_token(nonce=nonce), "nonce_mismatch", IdTokenValidationException, kind="id_token", nonce="n-1"
        )


def test_an_id_token_for_others_too_needs_trust(validate: Any, id_token: Any) -> None:
    """Further audiences are refused unless they are trusted, and azp must be us [O3] [O4] [O5]."""
    refused(validate, id_token(aud=["api", "x"]), "audience_untrusted", IdTokenValidationException, kind="id_token")
    assert validate(id_token(aud=["api", "x"], azp="api"), kind="id_token", trusted_audiences=["x"])
    refused(validate, id_token(azp="x"), "authorized_party_mismatch", IdTokenValidationException, kind="id_token")
    refused(validate, id_token(azp=None, aud="api", sub=None), "claim_missing", kind="id_token")


def test_hashes_are_compared_when_there_and_demanded_when_required(validate: Any, id_token: Any) -> None:
    """at_hash, c_hash and s_hash bind what came along [S22] [C9]."""
    from py_identity_model._core.jose.jws import half_hash

    for source, claim in (("access_token", "at_hash"), ("code", "c_hash"), ("state", "s_hash")):
        good = half_hash("ES256", "value")
        assert validate(id_token(**{claim: good}), kind="id_token", **{source: "value"})
        refused(validate, id_token(**{claim: good + "A"}), "hash_mismatch", kind="id_token", **{source: "value"})
        refused(validate, id_token(**{claim: good}), "hash_mismatch", kind="id_token", **{source: "other"})
        refused(validate, id_token(**{claim: 1}), "hash_mismatch", kind="id_token", **{source: "value"})
        assert validate(id_token(), kind="id_token", **{source: "value"})
        demanded = {source: "value", "hashes_required": frozenset({claim})}
        refused(validate, id_token(), "hash_missing", kind="id_token", **demanded)


def test_a_required_hash_is_named_in_full(validate: Any, id_token: Any) -> None:
    """One name is one hash and not its letters, and a name that no ID token carries is told, never ignored."""
    demanded: dict[str, Any] = {"kind": "id_token", "code": "value"}
    refused(validate, id_token(), "hash_missing", **demanded, hashes_required="c_hash")
    refused(validate, id_token(), "hash_missing", **demanded, hashes_required=["c_hash"])
    refused(validate, id_token(), "policy_invalid", ConfigurationException, **demanded, hashes_required=["code_hash"])


def test_the_age_of_the_authentication_is_checked_when_asked(validate: Any, id_token: Any) -> None:
    """max_age demands auth_time, also when it is 0 [O13] [C12]."""
    assert validate(id_token(auth_time=NOW - 100), kind="id_token", max_age=100)
    refused(validate, id_token(auth_time=NOW - 200), "authentication_too_old", kind="id_token", max_age=100)
    refused(validate, id_token(), "claim_missing", kind="id_token", max_age=100)
    refused(validate, id_token(auth_time=NOW - 60), "authentication_too_old", kind="id_token", max_age=0)
    assert validate(id_token(auth_time=NOW), kind="id_token", max_age=0)


def test_the_authentication_context_is_checked_when_asked(validate: Any, id_token: Any) -> None:
    """acr must be one of those requested [O12]."""
    assert validate(id_token(acr="mfa"), kind="id_token", acr_values=("mfa", "pwd"))
    refused(validate, id_token(acr="pin"), "acr_mismatch", kind="id_token", acr_values=("mfa",))
    refused(validate, id_token(), "acr_mismatch", kind="id_token", acr_values=("mfa",))


def test_expectations_belong_to_id_tokens(validate: Any, provider: Provider) -> None:
    """A nonce given to a validator of access tokens is a mistake that is told, never ignored."""
    refused(validate, provider.token(), "policy_invalid", ConfigurationException, nonce="n")


# ---- signatures and keys


def test_a_signature_by_another_key_is_refused(validate: Any, provider: Provider) -> None:
    """[T4] The same kid does not help a foreign key."""
    refused(validate, provider.token(key=OTHER), "signature_invalid", SignatureVerificationException)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_one_changed_character_is_refused(validate: Any, provider: Provider, part: int) -> None:
    """Changing any segment breaks the token."""
    segments = provider.token().split(".")
    middle = len(segments[part]) // 2
    swapped = "A" if segments[part][middle] != "A" else "B"
    segments[part] = segments[part][:middle] + swapped + segments[part][middle + 1 :]
    with pytest.raises(ValidationException):
        validate(".".join(segments))


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "RS256", "es256", None, ["ES256"], 7])
def test_an_algorithm_that_is_not_allowed_is_refused_before_any_key_is_looked_at(
    validate: Any, provider: Provider, alg: Any
) -> None:
    """alg is compared exactly with the allow-list [J1] [J6] [A1]."""
    _, payload, signature = provider.token().split(".")
    forged = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "k1"}).encode()).rstrip(b"=").decode()
    with pytest.raises(TokenValidationException) as caught:
        validate(f"{forged}.{payload}.{signature}", algorithms=["ES256"])
    assert caught.value.token_part == "header"


def test_a_public_key_is_no_hmac_secret(validate: Any, provider: Provider) -> None:
    """A token signed by HMAC with the public key is refused for its algorithm [A2] [J2]."""
    pem = KEY.public_pem if hasattr(KEY, "public_pem") else json.dumps(provider.jwks()).encode()
    forged = sign_compact(provider.claims(), SigningKey.from_secret(pem * 2, "HS256", kid="k1"), typ="at+jwt")
    refused(validate, forged, "alg_not_allowed")


@pytest.mark.parametrize(
    "token", [None, 7, b"a.b.c", "", "a", "a.b", "a.b.c.d", "a.b.c.d.e", '{"payload":""}', "\ud800.a.b", "é.é.é"]
)
def test_what_is_no_token_is_refused_in_the_same_family(validate: Any, token: Any) -> None:
    """Whatever comes instead of a token, the refusal is ours [J24] [P10]."""
    with pytest.raises(TokenValidationException):
        validate(token)


@pytest.mark.parametrize("change", ["{t}=", " {t}", "{t}\n", "{t}\0", "{t}.", "{t}A"])
def test_one_token_has_one_spelling(validate: Any, provider: Provider, change: str) -> None:
    """Padding, spaces and additions are refused, warm and cold [P5]."""
    with pytest.raises(TokenValidationException):
        validate(change.format(t=provider.token()))


def test_a_member_twice_in_the_payload_is_refused(validate: Any, provider: Provider) -> None:
    """Duplicate members are refused even if the signature is good [P1]."""
    payload = json.dumps(provider.claims(), separators=(",", ":")).encode()
    for doubled in (payload[:-1] + b',"sub":"mallory"}', payload[:-1] + b',"x":{"a":1,"a":2}}'):
        refused(validate, sign_compact(doubled, KEY, typ="at+jwt"), "payload_invalid")


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"null",
        b'"x"',
        b"{}x",
        b"\xef\xbb\xbf{}",
        b"{" * 40,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"exp":NaN}',
        b'{"exp":1e400}',
        b'{"a":"\\ud800"}',
        b"\xff",
    ],
)
def test_a_payload_that_is_no_proper_json_object_is_refused(validate: Any, payload: bytes) -> None:
    """A signed payload must be an object that everybody reads the same way [J15] [P2] [P3] [P4] [P10]."""
    with pytest.raises(TokenValidationException) as caught:
        validate(sign_compact(payload, KEY, typ="at+jwt"))
    assert caught.value.token_part == "payload"


def test_a_token_too_large_is_refused_at_once(validate: Any, provider: Provider) -> None:
    """The length is checked before anything is parsed, warm and cold [P8]."""
    refused(validate, provider.token(x="y" * 70_000), "token_too_large")
    refused(validate, provider.token(x="y" * 2000), "token_too_large", max_token_size=1000)


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "' OR 1=1 --", "a\r\nx: y", "\u202e", "k" * 250, "https://evil.example/jwks"]
)
def test_a_kid_is_only_compared(validate: Any, provider: Provider, kid: str) -> None:
    """[J19] A kid is attacker's text: it is compared with those of the set, fetches nothing, and is shown escaped."""
    key = SigningKey.generate("ES256", kid=kid)
    caught = refused(validate, provider.token(key=key), "key_unknown")
    assert {urlsplit(url).netloc for url in provider.requests} == {"id.example.com"}
    assert not set("\r\n\u202e") & set(str(caught))
    assert len(str(caught)) < 600


def test_an_unknown_key_says_what_was_looked_at(api: Api, provider: Provider, clock: Any) -> None:
    """The refusal names the kid, the size and age of the set, and when the next look is allowed."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.warm_up)
    for _ in range(3):
        with pytest.raises(UnknownKeyException) as caught:
            api.call(validator.validate, provider.token(key=SigningKey.generate("ES256", kid="new")))
    error = caught.value
    assert error.code == "key_unknown"
    assert error.actual == "new"
    assert error.details["keys"] == 1
    assert error.details["age"] >= 0
    assert error.details["retry_after"] > 0


def test_a_rotated_key_is_found_at_once(api: Api, provider: Provider, clock: Any) -> None:
    """A key published a moment after the first fetch is accepted with one more fetch [K5]."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.validate, provider.token())
    fresh = SigningKey.generate("ES256", kid="k2")
    provider.keys["k2"] = fresh
    assert api.call(validator.validate, provider.token(key=fresh))["sub"] == "ada"
    assert provider.count("/jwks") == 2


def test_a_key_under_an_old_name_is_found(api: Api, provider: Provider, clock: Any) -> None:
    """A provider that reuses a kid for a new key is followed with one refresh [K4]."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.validate, provider.token())
    provider.keys["k1"] = OTHER
    assert api.call(validator.validate, provider.token(key=OTHER))["sub"] == "ada"
    with pytest.raises(SignatureVerificationException):
        api.call(validator.validate, provider.token(key=KEY))


def test_a_removed_key_is_no_longer_accepted(api: Api, provider: Provider, clock: Any) -> None:
    """After the next refresh a key that is gone verifies nothing, also on the warm path."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    old = provider.token()
    assert api.call(validator.validate, old)
    provider.keys = {"k2": SigningKey.generate("ES256", kid="k2")}
    assert api.call(validator.validate, provider.token())
    with pytest.raises(UnknownKeyException):
        api.call(validator.validate, old)


def test_a_refused_token_causes_no_request(api: Api, provider: Provider, clock: Any) -> None:
    """What can be refused offline is refused offline [K5]."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    for token in (
        provider.token(exp=NOW - 1),
        provider.token(aud="x"),
        provider.token(iss="x"),
        provider.token(typ="dpop+jwt"),
        "x",
    ):
        with pytest.raises(TokenValidationException):
            api.call(validator.validate, token)
    assert provider.requests == []


def test_a_key_set_beside_every_header_trick_is_never_fetched(validate: Any, provider: Provider) -> None:
    """jku, x5u, jwk and x5c in the header change nothing [J20] [A8] [A9]."""
    attacker = SigningKey.generate("ES256", kid="evil")
    headers = {"jku": "https://evil.example/jwks", "jwk": attacker.public_jwk, "x5u": "https://evil.example/x"}
    forged = sign_compact(provider.claims(), attacker, typ="at+jwt", headers=headers)
    refused(validate, forged, "key_unknown")
    assert not [url for url in provider.requests if "evil" in url]


@pytest.mark.parametrize(
    "headers",
    [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}, {"cty": "JWT"}, {"kid": 7}, {"kid": "x" * 300}],
)
def test_headers_that_are_not_understood_are_refused(
    validate: Any, provider: Provider, headers: dict[str, Any]
) -> None:
    """crit, b64 and malformed members refuse the token [P6] [P7] [P11] [K1]."""
    header = {"alg": "ES256", "kid": "k1", "typ": "at+jwt", **headers}
    parts = [json.dumps(part).encode() for part in (header, provider.claims())]
    signing_input = ".".join(b64url_encode(part) for part in parts)
    with pytest.raises(TokenValidationException) as caught:
        validate(f"{signing_input}.{b64url_encode(KEY.sign(signing_input.encode()))}")
    assert caught.value.token_part == "header"


# ---- cannot verify now


def test_an_unreachable_provider_is_no_invalid_token(api: Api, provider: Provider, clock: Any) -> None:
    """An outage at the start is a NetworkException, which is no ValidationException."""
    provider.fail = lambda request: Reply(503)
    validator = api.validator(ISSUER, "api", http_client=provider)
    with pytest.raises(NetworkException) as caught:
        api.call(validator.validate, provider.token())
    assert not isinstance(caught.value, ValidationException)
    assert caught.value.client_error.status == 503
    assert caught.value.retry_after
    assert not validator.health().usable


def test_keys_go_on_being_used_during_an_outage(api: Api, provider: Provider, clock: Any) -> None:
    """Beyond their freshness keys serve on while the provider is down, and health says stale."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    api.call(validator.validate, provider.token())
    provider.fail = lambda request: Reply(503)
    clock.advance(7200)
    assert api.call(validator.validate, provider.token(exp=NOW + 90_000))["sub"] == "ada"
    (health,) = validator.health().issuers
    assert health.state == "stale"


# ---- several issuers


def test_each_issuer_has_its_own_keys_audience_and_algorithms(api: Api, clock: Any) -> None:
    """The iss of a token chooses everything about it, and no issuer can speak for another [J3] [J16]."""
    one = Provider("https://one.example", k1=KEY)
    two = Provider("https://two.example", k1=SigningKey.generate("EdDSA", kid="k1"))

    def transport(request: Any) -> Reply:
        return (one if request.url.startswith(one.issuer) else two)(request)

    trusted = [
        TrustedIssuer(one.issuer, audience="api-one"),
        TrustedIssuer(two.issuer, audience="api-two", algorithms=["EdDSA"]),
    ]
    validator = api.validator(trusted, http_client=transport)
    for _ in range(2):
        assert api.call(validator.validate, one.token(aud="api-one"))["iss"] == one.issuer
        assert api.call(validator.validate, two.token(aud="api-two"))["iss"] == two.issuer
        for crossed in (
            one.token(aud="api-two"),
            two.token(aud="api-one"),
            one.token(aud="api-two", iss=two.issuer),
            two.token(aud="api-one", iss=one.issuer),
            one.token(iss="https://three.example"),
        ):
            with pytest.raises(TokenValidationException):
                api.call(validator.validate, crossed)


def test_a_resolver_may_bring_issuers_but_not_swap_them(api: Api, provider: Provider, clock: Any) -> None:
    """A resolver answers for the very issuer it was asked about, or the token is refused."""
    answers = {ISSUER: TrustedIssuer(ISSUER), "https://evil.example": TrustedIssuer(ISSUER)}
    asked: list[str] = []

    def plain(issuer: str) -> TrustedIssuer | None:
        asked.append(issuer)
        return answers.get(issuer)

    async def awaited(issuer: str) -> TrustedIssuer | None:
        return plain(issuer)

    validator = api.validator(
        None, "api", issuer_resolver=plain if api.name == "sync" else awaited, http_client=provider
    )
    for _ in range(3):
        assert api.call(validator.validate, provider.token())
    assert asked == [ISSUER]
    for issuer in ("https://evil.example", "https://unknown.example"):
        with pytest.raises(InvalidIssuerException):
            api.call(validator.validate, provider.token(iss=issuer))


ENTRA = "https://login.microsoftonline.com/{tenantid}/v2.0"


def test_a_template_admits_the_tenants_that_are_named(api: Api, clock: Any) -> None:
    """A templated issuer is matched by its one open part, and tid must repeat it."""
    provider = Provider(ENTRA, k1=KEY)
    provider.metadata["jwks_uri"] = "https://login.microsoftonline.com/common/discovery/v2.0/keys/jwks"
    template = IssuerTemplate(
        ENTRA,
        allowed={"tenant-1"},
        claim="tid",
        discovery_address="https://login.microsoftonline.com/common/v2.0",
    )
    for name in ("authorization_endpoint", "token_endpoint"):
        provider.metadata[name] = "https://login.microsoftonline.com/common/" + name
    validator = api.validator(template, "api", http_client=provider)
    good = ENTRA.format(tenantid="tenant-1")
    for _ in range(2):
        assert api.call(validator.validate, provider.token(iss=good, tid="tenant-1"))
    for iss, tid in (
        (ENTRA.format(tenantid="tenant-2"), "tenant-2"),
        (ENTRA, "{tenantid}"),
        (ENTRA.format(tenantid="tenant-1/../tenant-2"), "tenant-1"),
        (good, "tenant-2"),
    ):
        with pytest.raises(TokenValidationException):
            api.call(validator.validate, provider.token(iss=iss, tid=tid))


def test_a_template_must_say_whom_it_trusts() -> None:
    """A template without tenants, or with both answers, is refused."""
    with pytest.raises(ConfigurationException):
        IssuerTemplate(ENTRA)
    with pytest.raises(ConfigurationException):
        IssuerTemplate(ENTRA, allowed={"a"}, trust_every_value_of_the_template=True)
    for broken in ("https://x/", "https://x/{a}{b}", "https://x/{}", "https://x/}a{"):
        with pytest.raises(ConfigurationException):
            IssuerTemplate(broken, allowed={"a"})


# ---- static keys


@pytest.mark.parametrize("shape", ["jwk", "jwks", "pem", "file", "json file"])
def test_static_keys_come_in_every_usual_shape(
    api: Api, provider: Provider, clock: Any, tmp_path: Path, shape: str
) -> None:
    """A JWK, a JWK Set, PEM text or a file of either replaces discovery; nothing is fetched."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from py_identity_model._core.jose.verification_keys import import_key

    pem = import_key(KEY.public_jwk or {}).material.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pem_file, json_file = tmp_path / "key.pem", tmp_path / "keys.json"
    pem_file.write_bytes(pem)
    json_file.write_text(json.dumps(provider.jwks()))
    keys = {"jwk": KEY.public_jwk, "jwks": provider.jwks(), "pem": pem, "file": pem_file, "json file": json_file}
    validator = api.validator(ISSUER, "api", keys=keys[shape], http_client=provider)
    for _ in range(2):
        assert api.call(validator.validate, provider.token())
    with pytest.raises(SignatureVerificationException):
        api.call(validator.validate, provider.token(key=OTHER))
    assert provider.requests == []
    assert validator.health().issuers[0].state == "static"


def test_a_missing_key_file_is_a_configuration_error(api: Api, tmp_path: Path) -> None:
    """A path that cannot be read says so."""
    with pytest.raises(ConfigurationException) as caught:
        api.validator(ISSUER, "api", keys=tmp_path / "none.pem")
    assert caught.value.code == "keys_unreadable"


def test_symmetric_algorithms_need_an_explicit_secret(api: Api, provider: Provider, clock: Any) -> None:
    """HS256 works with a secret that was given, and can be asked for with nothing else [A2] [O8]."""
    secret = "s" * 32
    token = provider.token(key=SigningKey.from_secret(secret.encode(), "HS256"))
    validator = api.validator(ISSUER, "api", keys=Secret(secret), http_client=provider)
    for _ in range(2):
        assert api.call(validator.validate, token)
    with pytest.raises(ConfigurationException) as caught:
        api.validator(ISSUER, "api", algorithms=["HS256"])
    assert caught.value.code == "algorithm_unsupported"
    with pytest.raises(ConfigurationException):
        api.validator(ISSUER, "api", keys=Secret(secret), algorithms=["ES256"])


# ---- configuration: nothing falsy turns a check off (C13)


@pytest.mark.parametrize(
    "options",
    [
        {"issuer": ""},
        {"issuer": []},
        {"issuer": None},
        {"issuer": 7},
        {"issuer": [""]},
        {"issuer": [ISSUER, ISSUER]},
        {"audience": None},
        {"audience": ""},
        {"audience": []},
        {"audience": [""]},
        {"audience": 7},
        {"audience": [None]},
        {"algorithms": []},
        {"algorithms": ""},
        {"algorithms": ["none"]},
        {"algorithms": ["ES257"]},
        {"algorithms": [None]},
        {"leeway": -1},
        {"leeway": float("nan")},
        {"leeway": float("inf")},
        {"leeway": True},
        {"leeway": "5"},
        {"subject": ""},
        {"required_claims": [""]},
        {"kind": ""},
        {"kind": "token"},
        {"kind": None},
        {"max_token_age": -1},
        {"max_token_size": 0},
        {"max_token_size": True},
        {"engine": "fast"},
        {"keys": {}},
        {"keys": []},
        {"keys": ""},
        {"keys": {"keys": []}},
        {"jwks_uri": "http://id.example.com/jwks"},
        {"audience": "api", "accept_any_audience": True},
        {"jwks_uri": "https://a.example/j", "discovery_address": "https://a.example"},
    ],
    ids=repr,
)
def test_a_policy_that_would_check_nothing_is_refused(api: Api, options: dict[str, Any]) -> None:
    """Empty, falsy and nonsensical policy values are configuration errors at construction [C13]."""
    with pytest.raises(ConfigurationException):
        api.validator(**{"issuer": ISSUER, "audience": "api", **options})


def test_giving_up_the_audience_is_spelled_out(validate: Any, provider: Provider) -> None:
    """accept_any_audience accepts every audience, present or not, but none of the wrong type."""
    for audience in ("x", ["y", "z"], None):
        assert validate(provider.token(aud=audience), audience=None, accept_any_audience=True)
    refused(validate, provider.token(aud=7), "claim_type_invalid", audience=None, accept_any_audience=True)


# ---- validate_token


@pytest.fixture
def by_config(api: Api, provider: Provider, clock: Any) -> Any:
    """Call ``validate_token`` twice and demand the same answer."""
    api.discovery.clear_discovery_cache()
    api.discovery.clear_jwks_cache()

    def run(token: Any, address: str | None = ISSUER, **options: Any) -> Any:
        config = TokenValidationConfig(**{"perform_disco": True, "audience": "api", **options})
        claims = [api.call(api.module.validate_token, token, config, address, provider) for _ in range(2)]
        assert claims[0] == claims[1]
        return claims[0]

    return run


def test_validate_token_takes_access_tokens_and_id_tokens(by_config: Any, provider: Provider) -> None:
    """Published code uses it for both, and for nothing else."""
    assert by_config(provider.token())
    assert by_config(provider.token(typ="JWT", nonce="n", at_hash="h"))
    for bad in (provider.token(typ="logout+jwt"), provider.token(typ=None, events={}), provider.token(htm="GET")):
        with pytest.raises(TokenValidationException):
            by_config(bad)


def test_validate_token_honours_issuer_and_algorithms_with_discovery(by_config: Any, provider: Provider) -> None:
    """What the caller asks for holds in discovery mode too."""
    assert by_config(provider.token(), issuer=ISSUER, algorithms=["ES256"])
    with pytest.raises(InvalidIssuerException):
        by_config(provider.token(), issuer="https://other.example")
    with pytest.raises(TokenValidationException):
        by_config(provider.token(), algorithms=["RS256"])
    with pytest.raises(InvalidIssuerException):
        by_config(provider.token(), allowed_issuers=["https://other.example"])
    assert by_config(provider.token(), issuer=[ISSUER, "https://x.example"], allowed_issuers=[ISSUER])


def test_validate_token_takes_a_static_key(by_config: Any, provider: Provider) -> None:
    """Without discovery a JWK does, and nothing is fetched."""
    assert by_config(provider.token(), None, perform_disco=False, key=KEY.public_jwk, issuer=ISSUER)
    assert by_config(
        provider.token(iss=None), None, perform_disco=False, key=KEY.public_jwk, options={"verify_iss": False}
    )
    assert provider.requests == []


def test_options_mean_what_they_meant(by_config: Any, provider: Provider) -> None:
    """require is honoured, verify_aud and verify_iss may be given up by name."""
    on = {"verify_signature": True, "verify_aud": True, "verify_exp": True, "verify_iss": True}
    assert by_config(provider.token(), options=on)
    with pytest.raises(TokenValidationException):
        by_config(provider.token(), options={"require": ["tenant"]})
    assert by_config(provider.token(aud="x"), audience=None, options={"verify_aud": False})


@pytest.mark.parametrize(
    "options",
    [
        {"options": {"verify_signature": False}},
        {"options": {"verify_exp": False}},
        {"options": {"verify_nbf": False}},
        {"options": {"verify_iat": False}},
        {"options": {"verify_everything": True}},
        {"options": {"verify_aud": 0}},
        {"options": {"require": "sub"}},
        {"options": []},
        {"audience": None},
        {"audience": ""},
        {"audience": []},
        {"algorithms": []},
        {"issuer": ""},
        {"issuer": []},
        {"subject": ""},
        {"leeway": -1},
        {"leeway": float("nan")},
        {"allowed_issuers": []},
        {"claims_validator": 7},
        {"perform_disco": 1},
        {"perform_disco": False},
        {"perform_disco": False, "key": {}},
        {"perform_disco": False, "key": {"kty": "oct"}},
        {"issuer": ISSUER, "allowed_issuers": ["https://x.example"]},
        {"perform_disco": False, "key": KEY.public_jwk},
    ],
    ids=lambda options: repr(options)[:60],  # not as far as a key that is new in each process
)
def test_a_configuration_that_would_check_nothing_is_refused(by_config: Any, provider: Provider, options: Any) -> None:
    """Nothing falsy turns a check off, and mandatory checks cannot be turned off at all [C13]."""
    with pytest.raises(ConfigurationException):
        by_config(provider.token(), **options)


def test_discovery_needs_an_address(by_config: Any, provider: Provider) -> None:
    """perform_disco without an address is a configuration error."""
    for address in (None, ""):
        with pytest.raises(ConfigurationException):
            by_config(provider.token(), address)


def test_a_changed_configuration_is_compiled_anew(api: Api, provider: Provider, clock: Any) -> None:
    """Assigning to a configuration, or changing a list in it, takes effect at the next call."""
    config = TokenValidationConfig(perform_disco=True, audience="api", algorithms=["ES256"], options={"require": []})

    def accepted() -> bool:
        try:
            return bool(api.call(api.module.validate_token, provider.token(), config, ISSUER, provider))
        except TokenValidationException:
            return False

    assert accepted()
    config.audience = "other"
    assert not accepted()
    config.audience = "api"
    assert accepted()
    assert config.algorithms is not None
    config.algorithms[0] = "RS256"
    assert not accepted()
    config.algorithms[0] = "ES256"
    assert config.options is not None
    config.options["require"] = ["tenant"]
    assert not accepted()


def test_a_configuration_can_be_copied_and_pickled(api: Api, provider: Provider, clock: Any) -> None:
    """Copies carry the settings and nothing that was compiled."""
    config = TokenValidationConfig(perform_disco=True, audience="api")
    api.call(api.module.validate_token, provider.token(), config, ISSUER, provider)
    for twin in (
        copy.copy(config),
        copy.deepcopy(config),
        pickle.loads(pickle.dumps(config)),
        dataclasses.replace(config),
    ):
        assert twin == config
        assert api.call(api.module.validate_token, provider.token(), twin, ISSUER, provider)


# ---- the application's own rules


def test_a_claims_validator_refuses_by_raising(by_config: Any, provider: Provider) -> None:
    """Whatever it raises becomes a refusal in our family, on the cold and the warm path."""

    def refuse(claims: dict[str, Any]) -> None:
        if claims.get("tenant") != "acme":
            raise KeyError("tenant")

    assert by_config(provider.token(tenant="acme"), claims_validator=refuse)
    for _ in range(2):
        with pytest.raises(ClaimsValidationError):
            by_config(provider.token(), claims_validator=refuse)


def test_an_async_claims_validator_is_awaited_or_refused(api: Api, by_config: Any, provider: Provider) -> None:
    """aio awaits it; the blocking API refuses it instead of ignoring it."""
    seen: list[str] = []

    async def note(claims: dict[str, Any]) -> None:
        seen.append(claims["sub"])

    if api.name == "sync":
        with pytest.raises(ConfigurationException):
            by_config(provider.token(), claims_validator=note)
    else:
        by_config(provider.token(), claims_validator=note)
        assert seen == ["ada", "ada"]


# ---- validate_id_token


def test_validate_id_token_applies_the_rules_of_id_tokens(api: Api, provider: Provider, clock: Any) -> None:
    """Nonce, audience and kind are held to what the login expects [O2] [O3] [O6] [O9]."""
    config = TokenValidationConfig(perform_disco=True, audience="api")
    call = api.module.validate_id_token
    token = provider.token(typ="JWT", nonce="n")
    assert api.call(call, token, config, ISSUER, provider, nonce="n")["sub"] == "ada"
    for bad, expected in (
        (token, {"nonce": "m"}),
        (provider.token(typ="at+jwt", nonce="n"), {"nonce": "n"}),
        (provider.token(typ="JWT", nonce="n", aud=["api", "x"]), {"nonce": "n"}),
        (provider.token(typ="JWT", nonce="n", exp=NOW - 1), {"nonce": "n"}),
        (token, {"nonce": "n", "max_age": 5}),
    ):
        with pytest.raises(TokenValidationException):
            api.call(call, bad, config, ISSUER, provider, **expected)
    with pytest.raises(ConfigurationException):
        api.call(call, token, config, ISSUER, provider, nonce="")


# ---- warming, health, caches


def test_warming_up_fetches_everything_and_validation_nothing_more(api: Api, provider: Provider, clock: Any) -> None:
    """After warm_up the first token waits for nobody."""
    validator = api.validator(ISSUER, "api", http_client=provider)
    assert validator.health().issuers[0].state == "absent"
    api.call(validator.warm_up)
    asked = len(provider.requests)
    api.call(validator.validate, provider.token())
    assert len(provider.requests) == asked == 2
    (health,) = validator.health().issuers
    assert (health.state, health.keys, validator.health().usable) == ("fresh", 1, True)


def test_discovery_and_key_set_calls_warm_validation(api: Api, provider: Provider, clock: Any) -> None:
    """get_discovery_document, get_jwks and validate_token share one cache."""
    from py_identity_model import DiscoveryDocumentRequest, JwksRequest

    module = api.module
    api.discovery.clear_discovery_cache()
    api.discovery.clear_jwks_cache()
    document = api.call(api.discovery.get_discovery_document, DiscoveryDocumentRequest(address=ISSUER), provider)
    assert document.is_successful
    keys = api.call(api.discovery.get_jwks, JwksRequest(address=document.jwks_uri), provider)
    assert keys.keys[0].kid == "k1"
    config = TokenValidationConfig(perform_disco=True, audience="api")
    api.call(module.validate_token, provider.token(), config, ISSUER, provider)
    assert len(provider.requests) == 2


def test_clearing_a_cache_makes_the_next_validation_fetch(api: Api, provider: Provider, clock: Any) -> None:
    """cache_clear is felt on the warm path too."""
    module = api.module
    config = TokenValidationConfig(perform_disco=True, audience="api")
    for clear in (api.discovery._get_disco_response.cache_clear, api.discovery._get_jwks_response.cache_clear):
        clear()
        api.call(module.validate_token, provider.token(), config, ISSUER, provider)
        before = len(provider.requests)
        api.call(module.validate_token, provider.token(), config, ISSUER, provider)
        assert len(provider.requests) == before
        clear()
        api.call(module.validate_token, provider.token(), config, ISSUER, provider)
        assert len(provider.requests) == before + 1


def test_counters_count_hits_misses_and_refreshes(api: Api, provider: Provider, clock: Any) -> None:
    """The counters of this API move, and those of the other do not."""
    module = api.module
    api.discovery.clear_discovery_cache()
    api.discovery.clear_jwks_cache()
    before = CacheCounters(**api.discovery.get_cache_counters().snapshot())
    config = TokenValidationConfig(perform_disco=True, audience="api")
    for _ in range(4):
        api.call(module.validate_token, provider.token(), config, ISSUER, provider)
    after = api.discovery.get_cache_counters()
    assert after.disco_misses - before.disco_misses <= 1
    assert after.jwks_hits - before.jwks_hits >= 3
    assert after.disco_hits - before.disco_hits >= 3
    info = api.discovery._get_jwks_response.cache_info()
    assert (info.maxsize, info.currsize) == (128, 1)


def test_keys_and_the_metadata_that_led_to_them_change_in_one_step(
    api: Api, provider: Provider, monkeypatch: Any, clock: Any
) -> None:
    """No thread ever sees the address of a key set beside metadata that names another one."""
    changed: list[str] = []
    validator = api.validator(ISSUER, "api", http_client=provider)
    monkeypatch.setattr(RemoteKeys, "__setattr__", watching(changed), raising=False)
    api.call(validator.warm_up)
    api.call(validator.validate, provider.token())
    assert set(changed) == {"_place", "_bound"}, "one tuple each, the second of which holds the first"


def watching(changed: list[str]) -> Any:
    def change(self: object, name: str, value: object) -> None:
        changed.append(name)
        object.__setattr__(self, name, value)

    return change


# ---- the everyday predicate never says yes where the table says no


def test_the_everyday_predicate_agrees_with_the_table() -> None:
    """Over a grid of odd claims, whatever the predicate accepts the table accepts."""
    policy = ClaimPolicy(ACCESS_TOKEN, frozenset({"api"}), required=frozenset({"scope"}))
    holds = everyday(policy, frozenset({ISSUER}))
    odd: list[Any] = [
        None,
        "",
        "api",
        ["api"],
        [],
        ["api", "x"],
        [["api"]],
        {},
        0,
        -1,
        True,
        NOW,
        NOW + 5,
        NOW + 11,
        NOW + 0.5,
        NOW - 1,
        float("inf"),
        "x" * 256,
        10**30,
    ]
    good = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 60, "scope": "a"}
    accepted = 0
    for name in ("iss", "aud", "sub", "iat", "nbf", "exp", "jti", "scope", "nonce", "events"):
        for value in odd:
            claims = {**good, name: value}
            if holds(claims, NOW):
                accepted += 1
                assert claims["iss"] == ISSUER
                check_claims(policy, claims, NOW)
    assert accepted > 20
    assert not holds({**good, "scope": None} | {"scope": "x", "exp": NOW}, NOW)


def test_help_shows_what_a_login_expects(api: Api) -> None:
    """The keywords of ``validate`` stand in its signature one by one, as type checkers see them."""
    shown = inspect.signature(api.module.TokenValidator.validate).parameters
    assert list(shown) == ["self", "token", "type", *ExpectedIdToken.__annotations__]
    named = [shown[name] for name in ExpectedIdToken.__annotations__]
    assert {(each.kind, each.default) for each in named} == {(inspect.Parameter.KEYWORD_ONLY, None)}
    assert shown["nonce"].annotation == "str | None"
    assert "max_age: 'float | None' = None" in pydoc.render_doc(api.module.TokenValidator.validate)
