"""Which keys may have signed a token: those of its issuer, not too many, none that everyone can sign with."""

from __future__ import annotations

import json
import pickle
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import DiscoveryPolicy, IssuerTemplate, JsonWebKey, TokenValidationConfig, TrustedIssuer
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.jose.edwards_points import agreement_point_fault, signing_point_fault
from py_identity_model._core.jose.jwe_keys import EncryptionKey
from py_identity_model._core.jose.jwks import parse_jwks
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.key_set import MAX_CANDIDATES, KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import names_issuer
from py_identity_model._core.validation.token_kinds import ACCESS_OR_ID_TOKEN
from py_identity_model.exceptions import (
    ConfigurationException,
    InvalidIssuerException,
    NetworkException,
    SignatureVerificationException,
    TokenValidationException,
)

ENTRA = "https://login.microsoftonline.com/{tenantid}/v2.0"
OURS, THEIRS = (ENTRA.replace("{tenantid}", tenant) for tenant in ("contoso", "fabrikam"))
KEY = SigningKey.generate("ES256", kid="k1")
OTHERS = [SigningKey.generate("ES256", kid=f"o{n}") for n in range(MAX_CANDIDATES + 1)]


def marked(issuer: object, key: SigningKey = KEY, **more: Any) -> dict[str, Any]:
    return {**(key.public_jwk or {}), "kid": "k1", "issuer": issuer, **more}


def token(issuer: str, key: SigningKey = KEY, **claims: Any) -> str:
    return sign_compact({"iss": issuer, "aud": "api", "sub": "a", "iat": NOW, "exp": NOW + 60, **claims}, key)


class Shared(Provider):
    """A provider whose tenants share one key set."""

    def __init__(self, *jwks: dict[str, Any]) -> None:
        super().__init__(k1=KEY)
        self.members = jwks

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request.url)
        issuer = request.url.partition("/.well-known")[0]
        document = {"keys": list(self.members)} if request.url.endswith("/keys") else self.metadata_of(issuer)
        return Reply(200, (("content-type", "application/json"),), json.dumps(document).encode(), request.url)

    def metadata_of(self, issuer: str) -> dict[str, Any]:
        return {"issuer": issuer, "jwks_uri": "https://login.microsoftonline.com/common/keys"}


def outcome(api: Api, built: Any, presented: str) -> str:
    try:
        api.call(built.validate, presented)
    except TokenValidationException as error:
        return str(error.code)
    return "good"


# ---- a key that names its issuer [A9]


@pytest.mark.parametrize(
    ("named", "issuer", "good"),
    [
        (OURS, OURS, True),
        (THEIRS, OURS, False),
        (ENTRA, OURS, True),
        (ENTRA, OURS + "/", False),
        (ENTRA, "https://login.microsoftonline.com/a/b/v2.0", False),
        (ENTRA, "https://login.microsoftonline.com//v2.0", False),
        (ENTRA, "https://login.microsoftonline.com/../v2.0", False),
        (ENTRA, "https://sts.windows.net/contoso/", True),
        (OURS, "https://sts.windows.net/contoso/", True),
        (THEIRS, "https://sts.windows.net/contoso/", False),
        ("https://sts.windows.net/{tenantid}/", "https://sts.windows.net/contoso/", True),
        (OURS, "https://sts.windows.net.evil.example/contoso/", False),
        ("https://{a}/{b}", "https://x/y", False),
        ("{tenantid}", "contoso", True),
        ("", OURS, False),
    ],
)
def test_what_a_key_names(named: str, issuer: str, good: bool) -> None:
    """An issuer is named exactly, or by one path segment in place of the placeholder; v1 tokens have v2 keys."""
    assert names_issuer(named, issuer) is good


WAYS = {
    "discovery": lambda: {"issuer": [OURS, THEIRS]},
    "jwks_uri": lambda: {"issuer": [TrustedIssuer(i, jwks_uri="https://example.com/keys") for i in (OURS, THEIRS)]},
    "a template": lambda: {"issuer": IssuerTemplate(ENTRA, allowed={"contoso", "fabrikam"})},
    "a resolver": lambda: {"issuer": None, "issuer_resolver": lambda issuer: issuer},
}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("cached", [None, 8])
def test_a_key_of_one_tenant_signs_no_token_of_another(api: Api, engine: str, way: str, cached: int | None) -> None:
    """Cold and warm, cached and in batches, a key that names a tenant is good for that tenant's tokens only."""
    provider = Shared(marked(OURS))
    built = api.validator(audience="api", http_client=provider, engine=engine, cache_tokens=cached, **WAYS[way]())
    ours, theirs = token(OURS), token(THEIRS)
    for _ in range(3):
        assert [outcome(api, built, one) for one in (ours, theirs)] == ["good", "key_issuer_mismatch"]
    answers = api.call(built.validate_many, [theirs, ours, token(THEIRS, jti="2")])
    assert [getattr(one, "code", "good") for one in answers] == ["key_issuer_mismatch", "good", "key_issuer_mismatch"]
    assert provider.count("/keys") <= 2, "a foreign key is no reason to fetch"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("way", list(WAYS))
def test_a_key_of_all_tenants(api: Api, engine: str, way: str) -> None:
    """A key with Microsoft's placeholder signs for every tenant."""
    built = api.validator(audience="api", http_client=Shared(marked(ENTRA)), engine=engine, **WAYS[way]())
    for _ in range(2):
        assert [outcome(api, built, token(one)) for one in (OURS, THEIRS)] == ["good", "good"]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("given", ["jwk", "set", "JsonWebKey", "pickled"])
def test_static_keys_name_their_issuer_too(api: Api, engine: str, given: str) -> None:
    """A key given by hand keeps its mark, as a dict, in a set, as a value, and in another process."""
    jwk = marked(OURS)
    keys: Any = {"set": {"keys": [jwk]}, "JsonWebKey": JsonWebKey.from_json(json.dumps(jwk))}.get(given, jwk)
    for issuer, expected in ((OURS, "good"), (THEIRS, "key_issuer_mismatch")):
        built = api.validator(issuer, "api", keys=keys, engine=engine)
        if given == "pickled":
            built = pickle.loads(pickle.dumps(built))
        assert [outcome(api, built, token(issuer)) for _ in range(2)] == [expected] * 2


@pytest.mark.usefixtures("clock")
def test_a_configuration_with_several_issuers(api: Api) -> None:
    """validate_token holds the key against the token's issuer, also where several are accepted, or the check is off."""
    for more in ({"issuer": [OURS, THEIRS]}, {"options": {"verify_iss": False}}):
        config = TokenValidationConfig(perform_disco=False, key=marked(OURS), audience="api", **more)  # type: ignore[arg-type]
        for _ in range(2):
            assert api.call(api.module.validate_token, token(OURS), config)["iss"] == OURS
            with pytest.raises(InvalidIssuerException) as caught:
                api.call(api.module.validate_token, token(THEIRS), config)
            assert (caught.value.code, caught.value.expected) == ("key_issuer_mismatch", OURS)


def test_a_mark_that_is_no_text() -> None:
    """A key whose issuer is no string is skipped, with its reason; null says nothing."""
    body = json.dumps({"keys": [marked(None), marked(7, kid="k2")]}).encode()
    found = parse_jwks(body, max_keys=9, max_size=9999)
    assert [key.issuer for key in found.keys] == [None]
    assert [skipped.reason for skipped in found.skipped] == ["issuer_invalid"]


# ---- no kid, many keys


def keys_of(*signers: SigningKey) -> dict[str, Any]:
    """Return a set of keys without names."""
    return {"keys": [{**(signer.public_jwk or {}), "kid": None} for signer in signers]}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("place", [0, 5, MAX_CANDIDATES - 1])
@pytest.mark.parametrize("kid", [None, "unknown"])
def test_every_key_that_fits_is_tried(api: Api, engine: str, place: int, kid: str | None) -> None:
    """A token that names no key is good under any of them, the sixth as well as the last that is tried."""
    signers = [*OTHERS[:place], KEY, *OTHERS[place : MAX_CANDIDATES - 1]]
    built = api.validator(ISSUER, "api", keys=keys_of(*signers), engine=engine)
    signed = token(ISSUER, replace(KEY, kid=kid))
    for _ in range(2):
        assert outcome(api, built, signed) == "good"


@pytest.mark.usefixtures("clock")
def test_more_keys_than_are_tried_are_ambiguous(api: Api, engine: str) -> None:
    """Where more keys fit than are tried the refusal says ambiguous, not forged, and counts both."""
    built = api.validator(ISSUER, "api", keys=keys_of(*OTHERS), engine=engine)
    signed = token(ISSUER, replace(KEY, kid=None))
    with pytest.raises(SignatureVerificationException) as caught:
        api.call(built.validate, signed)
    assert caught.value.code == "key_ambiguous"
    assert caught.value.details == {"fitting": MAX_CANDIDATES + 1, "tried": MAX_CANDIDATES}
    built = api.validator(ISSUER, "api", keys=keys_of(*OTHERS[1:]), engine=engine)
    assert outcome(api, built, signed) == "signature_invalid"


# ---- weak points [A10]

P = 2**255 - 19


def multiplied(n: int, y: int) -> int | None:
    """Return ``y`` of *n* times a point of Ed25519 with this ``y``, by the book; None if there is no such point."""
    d = -121665 * pow(121666, -1, P) % P
    squared = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
    x = pow(squared, (P + 3) // 8, P)
    if (x * x - squared) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - squared) % P:
        return None
    total, point = (0, 1), (x, y)
    while n:
        if n & 1:
            total = _add(total, point, d)
        point, n = _add(point, point, d), n >> 1
    return total[1]


def _add(one: tuple[int, int], two: tuple[int, int], d: int) -> tuple[int, int]:
    (x1, y1), (x2, y2) = one, two
    k = d * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def test_points_of_small_order_are_found_by_the_book() -> None:
    """The order of a point times a large prime leaves a point of small order, and each of those is refused."""
    prime = 2**252 + 27742317777372353535851937790883648493
    small = {found for y in range(2, 40) if (found := multiplied(prime, y)) is not None}
    assert len(small) == 5
    for y in small:
        assert multiplied(8, y) == 1
        for sign in (0, 1 << 255):
            assert signing_point_fault("Ed25519", (y | sign).to_bytes(32, "little")) == "okp_point_small_order"


@pytest.mark.parametrize(
    ("crv", "number", "reason"),
    [
        ("Ed25519", P, "okp_point_not_canonical"),
        ("Ed25519", P + 1, "okp_point_not_canonical"),
        ("Ed25519", 2**255 - 1, "okp_point_not_canonical"),
        ("Ed25519", 2**256 - 1, "okp_point_not_canonical"),
        ("Ed25519", 2, "okp_point_invalid"),
        ("Ed448", 0, "okp_point_small_order"),
        ("Ed448", 1, "okp_point_small_order"),
        ("Ed448", 1 | 1 << 455, "okp_point_small_order"),
        ("Ed448", 2**448 - 2**224 - 2, "okp_point_small_order"),
        ("Ed448", 2**448 - 2**224 - 1, "okp_point_not_canonical"),
        ("Ed448", 5 | 1 << 448, "okp_point_not_canonical"),
    ],
)
def test_weak_signing_keys_are_skipped_with_their_reason(crv: str, number: int, reason: str) -> None:
    """Points of small order and encodings that are not canonical are skipped, and harm no other key of the set."""
    octets = number.to_bytes(32 if crv == "Ed25519" else 57, "little")
    weak = {"kty": "OKP", "crv": crv, "x": b64url_encode(octets), "kid": "weak"}
    found = parse_jwks(json.dumps({"keys": [weak, KEY.public_jwk]}).encode(), max_keys=9, max_size=9999)
    assert [(skipped.kid, skipped.reason) for skipped in found.skipped] == [("weak", reason)]
    with pytest.raises(ConfigurationException) as caught:
        KeySet.from_keys(weak)
    assert caught.value.actual == reason


@pytest.mark.parametrize("crv", ["Ed25519", "Ed448"])
def test_honest_keys_have_no_fault(crv: str) -> None:
    """Keys that were generated pass."""
    for _ in range(20):
        jwk = SigningKey.generate(crv).public_jwk or {}
        assert KeySet.from_keys(jwk).keys


@pytest.mark.parametrize(
    ("crv", "number"),
    [("X25519", n) for n in (0, 1, P - 1, P, P + 1, 1 << 255)] + [("X448", n) for n in (0, 1, 2**448 - 2**224 - 2)],
)
def test_keys_that_all_agree_with_are_refused(crv: str, number: int) -> None:
    """Nothing is encrypted to a point of small order: everybody can open it (RFC 7748 6)."""
    octets = number.to_bytes(32 if crv == "X25519" else 56, "little")
    assert agreement_point_fault(crv, octets) == "okp_point_small_order"
    with pytest.raises(ConfigurationException, match="okp_point_small_order"):
        EncryptionKey.from_jwk({"kty": "OKP", "crv": crv, "x": b64url_encode(octets)})


# ---- a key that was changed [A5]


def good(api: Api, config: TokenValidationConfig) -> bool:
    try:
        api.call(api.module.validate_token, token(ISSUER), config)
    except TokenValidationException:
        return False
    return True


def config_of(key: Any) -> TokenValidationConfig:
    return TokenValidationConfig(perform_disco=False, key=key, audience="api", issuer=ISSUER)


@pytest.mark.usefixtures("clock")
def test_a_key_that_is_changed_in_place_is_noticed(api: Api) -> None:
    """A JsonWebKey or a dict that is changed in place counts from the next token on."""
    for key in (JsonWebKey.from_json(json.dumps(KEY.public_jwk)), dict(KEY.public_jwk or {})):
        config = config_of(key)
        assert [good(api, config) for _ in range(2)] == [True, True]
        other = OTHERS[0].public_jwk or {}
        for name in ("x", "y"):
            key.__setitem__(name, other[name]) if isinstance(key, dict) else setattr(key, name, other[name])
        assert [good(api, config) for _ in range(2)] == [False, False]


def test_an_assignment_while_a_policy_is_compiled_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy compiled from the key before an assignment is never used after it."""
    from py_identity_model._core.validation import config as module
    from py_identity_model.sync import _validation as door

    config = config_of(dict(KEY.public_jwk or {}))
    compile_policy = module._compile

    def slowly(*args: Any) -> Any:
        compiled = compile_policy(*args)
        config.key = dict(OTHERS[0].public_jwk or {})  # another thread withdraws the key at the worst moment
        return compiled

    monkeypatch.setattr(module, "_compile", slowly)
    before = door.validators(config, None, ACCESS_OR_ID_TOKEN)
    monkeypatch.setattr(module, "_compile", compile_policy)
    after = door.validators(config, None, ACCESS_OR_ID_TOKEN)
    assert before is not after
    assert after.only is not None
    assert after.only.source.ready(0.0).key_set.keys[0].material != KEY._private.public_key()


def test_a_revoked_key_is_out_of_use_once_the_assignment_returned() -> None:
    """With threads switched every microsecond, no validation that begins after the change uses the key before it."""
    from py_identity_model.sync import _validation as door

    config = config_of(dict(KEY.public_jwk or {}))
    jwks = [dict(OTHERS[0].public_jwk or {}), dict(OTHERS[1].public_jwk or {})]
    stop = threading.Event()

    def validate() -> None:
        while not stop.is_set():
            door.validators(config, None, ACCESS_OR_ID_TOKEN)

    threads = [threading.Thread(target=validate) for _ in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for turn in range(200):
            config.key = jwks[turn % 2]
            found = door.validators(config, None, ACCESS_OR_ID_TOKEN)
            assert found.only is not None
            [key] = found.only.source.ready(0.0).key_set.keys
            assert key == KeySet.from_keys(jwks[turn % 2]).keys[0]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(interval)


@pytest.mark.usefixtures("clock")
def test_what_is_changed_after_a_validator_was_built_changes_nothing(api: Api) -> None:
    """A validator, and its pickled twin, go by what they were given when they were built."""
    keys, audience = dict(KEY.public_jwk or {}), ["api"]
    trusted = TrustedIssuer(ISSUER, keys=keys, audience=audience, algorithms=["ES256"])
    issuers: list[Any] = [trusted]
    built = api.validator(issuers)
    keys.update(OTHERS[0].public_jwk or {})
    audience[:] = ["other"]
    issuers.clear()
    for one in (built, pickle.loads(pickle.dumps(built))):
        assert outcome(api, one, token(ISSUER)) == "good"
    assert trusted == TrustedIssuer(ISSUER, keys=KEY.public_jwk, audience=("api",), algorithms=("ES256",))


@pytest.mark.usefixtures("clock")
def test_a_discovery_policy_that_is_changed_in_place_is_noticed(api: Api) -> None:
    """validate_token looks again at a discovery policy that was changed, and a validator keeps the one it was given."""
    policy = DiscoveryPolicy()
    provider = Provider(k1=KEY)
    config = TokenValidationConfig(perform_disco=True, audience="api", discovery_policy=policy)
    built = api.validator(ISSUER, "api", discovery_policy=policy, http_client=provider)
    assert api.call(api.module.validate_token, provider.token(), config, ISSUER, provider)["sub"] == "ada"
    policy.authority = "https://other.example.com"
    with pytest.raises(NetworkException, match=r"other\.example\.com"):
        api.call(api.module.validate_token, provider.token(), config, ISSUER, provider)
    assert outcome(api, built, provider.token()) == "good"


# ---- where the metadata is, and whose it must be [B3]


class Elsewhere(Provider):
    """A provider whose metadata is at one address, whatever it names."""

    def __init__(self, named: str, **more: str) -> None:
        super().__init__(k1=KEY)
        self.metadata = {"issuer": named, "jwks_uri": "https://keys.example.com/jwks", **more}


B2C = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin/v2.0"
GUID = "https://contoso.b2clogin.com/0b1c/v2.0/"
ADFS, SERVICES = "https://fs.example.com/adfs", "http://fs.example.com/adfs/services/trust"
COMMON = "https://login.microsoftonline.com/common/v2.0"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("issuer", "options", "named", "good"),
    [
        (GUID, {"discovery_address": B2C}, GUID, True),
        (GUID, {"discovery_address": B2C}, B2C, False),
        (GUID, {"discovery_address": B2C + "/.well-known/openid-configuration"}, GUID, True),
        (GUID, {"discovery_address": B2C}, GUID[:-1], False),
        (ISSUER, {"discovery_address": "http://127.0.0.1:8080"}, ISSUER, True),
        (SERVICES, {"discovery_address": ADFS}, ADFS, False),
        (SERVICES, {"discovery_address": ADFS, "metadata_issuer": ADFS}, ADFS, True),
        (SERVICES, {"metadata_issuer": ADFS, "discovery_address": ADFS}, SERVICES, False),
        (GUID, {"discovery_address": B2C, "discovery_policy": DiscoveryPolicy(authority=B2C)}, B2C, True),
        (GUID, {"discovery_address": B2C, "discovery_policy": DiscoveryPolicy(validate_issuer=False)}, ISSUER, True),
        ("accounts.google.com", {"discovery_address": ISSUER, "metadata_issuer": ISSUER}, ISSUER, True),
    ],
)
def test_the_issuer_given_is_the_one_expected(
    api: Api, issuer: str, options: dict[str, Any], named: str, good: bool
) -> None:
    """Wherever the metadata is it must name the issuer given, or the one that was given by name beside it."""
    built = api.validator(issuer, "api", http_client=Elsewhere(named), **options)
    if good:
        assert api.call(built.validate, token(issuer))["iss"] == issuer
        with pytest.raises(InvalidIssuerException):
            api.call(built.validate, token("https://other.example.com"))
        return
    with pytest.raises(NetworkException) as caught:
        api.call(built.validate, token(issuer))
    assert caught.value.code == "discovery_issuer_mismatch"
    assert caught.value.expected == options.get("metadata_issuer", issuer)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("template", "address", "named", "good"),
    [
        (ENTRA, COMMON, ENTRA, True),
        (ENTRA.replace("tenantid", "tenant"), COMMON, ENTRA, True),
        (ENTRA, COMMON, COMMON, False),
        (ENTRA, COMMON, "https://login.microsoftonline.com/{tenantid}/", False),
        (ENTRA, ENTRA + "/.well-known/openid-configuration?p=x", OURS, True),
        (ENTRA, "https://meta.example.com/{tenantid}", OURS, True),
        (ENTRA, "https://meta.example.com/{tenantid}", THEIRS, False),
        (ENTRA, "https://meta.example.com/{tenantid}", "https://meta.example.com/contoso", False),
    ],
)
def test_templates_fill_the_placeholder(api: Api, template: str, address: str, named: str, good: bool) -> None:
    """Metadata of one tenant names that tenant; metadata that all share names the template."""
    trusted = IssuerTemplate(template, allowed={"contoso"}, discovery_address=address)
    built = api.validator(trusted, "api", http_client=Elsewhere(named))
    if good:
        assert api.call(built.validate, token(OURS))["iss"] == OURS
        return
    with pytest.raises(NetworkException) as caught:
        api.call(built.validate, token(OURS))
    assert caught.value.code == "discovery_issuer_mismatch"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("named", "good"), [(GUID, True), (B2C, True), (ISSUER, False)])
def test_validate_token_expects_the_address_or_the_issuer(api: Api, named: str, good: bool) -> None:
    """validate_token is told an address and may be told an issuer: metadata of either is taken."""
    config = TokenValidationConfig(perform_disco=True, audience="api", issuer=GUID)
    provider, address = Elsewhere(named), B2C + "/.well-known/openid-configuration"
    api.discovery.clear_discovery_cache()
    api.discovery.clear_jwks_cache()
    if good:
        assert api.call(api.module.validate_token, token(GUID), config, address, provider)["iss"] == GUID
        return
    with pytest.raises(NetworkException):
        api.call(api.module.validate_token, token(GUID), config, address, provider)


def test_metadata_issuer_needs_metadata() -> None:
    """Where no metadata is read there is nothing that names its issuer."""
    with pytest.raises(ConfigurationException, match="metadata_issuer"):
        TrustedIssuer(ISSUER, jwks_uri=ISSUER + "/jwks", metadata_issuer=ISSUER)
