"""Whatever comes in from outside: nothing but our own exceptions comes out, and nothing wrong is accepted.

``FUZZ_EXAMPLES`` says how many examples each test gets. Without it they are few and always the same ones.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from apis import ISSUER, NOW, Provider
from py_identity_model._core.base.base64url import Base64Error, b64url_decode, b64url_encode
from py_identity_model._core.base.exchanges import retry_after
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.base.strict_json import StrictJSONError, loads, loads_claims, loads_object
from py_identity_model._core.base.urls import parse_url
from py_identity_model._core.binding import challenges, mtls
from py_identity_model._core.binding.dpop_client import DPoPKey
from py_identity_model._core.binding.dpop_server import DPoPValidator
from py_identity_model._core.binding.inbound_request import InboundRequest, ProxyPolicy
from py_identity_model._core.cache.freshness import freshness
from py_identity_model._core.client import ciba, ciba_notification, grants
from py_identity_model._core.client.device import (
    DeviceAuthorizationRequest,
    DeviceTokenRequest,
    poll_device_token,
    request_device_authorization,
)
from py_identity_model._core.client.introspection import TokenIntrospectionRequest
from py_identity_model._core.client.revocation import TokenRevocationRequest, revoke_token
from py_identity_model._core.client.token_exchange import ExchangeTokenType, TokenExchangeRequest, exchange_token
from py_identity_model._core.discovery import fetch as discovery_fetch
from py_identity_model._core.discovery.metadata import DiscoveryDocumentRequest
from py_identity_model._core.jose.algorithms import KeyRefused
from py_identity_model._core.jose.jwk import jwks_from_dict
from py_identity_model._core.jose.jwks import JwksRequest, parse_jwks
from py_identity_model._core.jose.jws import half_hash, parse_compact
from py_identity_model._core.jose.key_set import KeySet
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.jose.verification_keys import import_key, import_pem
from py_identity_model._core.login import callback, callback_checks
from py_identity_model._core.login.par import PushedAuthorizationRequest, push_authorization_request
from py_identity_model._core.resource import presented_token, protected_resource
from py_identity_model._core.resource.resource_metadata import parse_resource_metadata
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model.exceptions import (
    AuthorizeCallbackException,
    ConfigurationException,
    DiscoveryException,
    JwksException,
    PyIdentityModelException,
    TokenValidationException,
)
from py_identity_model.settings import Settings
from py_identity_model.sync import _discovery, _validation
from py_identity_model.sync import _driver as blocking
from py_identity_model.sync import _introspection as introspection

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")

settings.register_profile(
    "fuzz",
    max_examples=int(EXAMPLES or 40),
    deadline=None,
    derandomize=EXAMPLES is None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


pytestmark = pytest.mark.usefixtures("clock")  # nothing here sleeps, and it is always the same time

fuzz = settings.get_profile("fuzz")

# ---- what comes in

texts = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from('{}[]",:=&;.#?%/\\ \t\r\n\x00aA0-_~+éﬀ\ud800😀'), max_size=60),
    st.sampled_from(["", "a", "none", "null", ISSUER, "https://", "//", "Bearer", "RS256", "[::1]", "NaN", "-1"]),
)
numbers = st.one_of(
    st.integers(-5, 5),
    st.integers(),
    st.floats(),
    st.sampled_from([NOW, NOW + 600, 2**53, 2**63, 2**64, -(2**63), 10**30, 1e308, 0.5]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)


def changed(good: dict[str, Any], *names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects like *good*, some members missing, some replaced, some added, *names* among them."""
    known = st.sampled_from([*good, *names])
    return st.builds(
        lambda missing, replaced, added: {
            **{name: value for name, value in good.items() if name not in missing},
            **replaced,
            **added,
        },
        st.sets(st.sampled_from(list(good)), max_size=2),
        st.dictionaries(known, values, max_size=2),
        st.dictionaries(texts, values, max_size=1),
    )


def written(objects: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Return JSON texts of these values, some of them spoiled."""

    def write(value: Any, spoil: Callable[[bytes], bytes]) -> bytes:
        try:
            return spoil(json.dumps(value).encode())
        except ValueError:
            return b"{}"

    spoilers: list[Callable[[bytes], bytes]] = [
        lambda data: data,
        lambda data: data,
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b'"', b"'", 1),
        lambda data: data[:1] + b'"exp":1,' + data[1:],
        lambda data: data.decode().encode("utf-16"),
        lambda data: b"[" * 2000 + data,
    ]
    return st.builds(write, objects, st.sampled_from(spoilers)) | st.binary(max_size=60)


def mutated(text: str) -> st.SearchStrategy[str]:
    """Return *text* with one to three places changed."""
    character = st.sampled_from("AZaz09-_.=+/ \n\x00é")

    def change(edits: list[tuple[float, str, str]]) -> str:
        result = text
        for where, how, new in edits:
            at = int(where * len(result))
            result = result[:at] + ("" if how == "delete" else new) + result[at + (how != "insert") :]
        return result

    edit = st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from(["delete", "insert", "replace"]), character)
    return st.lists(edit, min_size=1, max_size=3).map(change)


def replies(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[Reply]:
    """Return HTTP replies with these bodies."""
    names = st.sampled_from(
        [
            "content-type",
            "cache-control",
            "age",
            "expires",
            "date",
            "retry-after",
            "etag",
            "dpop-nonce",
            "location",
            "www-authenticate",
        ]
    )
    lines = st.sampled_from(
        [
            "application/json",
            "text/html",
            "max-age=1e9",
            "max-age=60, no-store",
            "99999999999999999999",
            "-1",
            "\xff",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "Wed, 99 Foo",
            'W/"x"',
            "https://evil.example/",
            'DPoP error="use_dpop_nonce"',
        ]
    )
    return st.builds(
        Reply,
        st.sampled_from([200] * 6 + [201, 204, 302, 304, 400, 401, 404, 429, 500, 503]),
        st.lists(st.tuples(names, lines | st.text(max_size=20)), max_size=3).map(tuple),
        bodies,
        st.just(ISSUER),
    )


def perform(flow: Any, reply: Reply) -> Any:
    """Run a flow whose every request gets this reply."""
    return blocking.run(flow, lambda request: reply)


KEY = SigningKey.generate("ES256", kid="k1")
PROVIDER = Provider(k1=KEY)
GOOD_TOKEN = PROVIDER.token()
ENGINES = ("pure", "native") if importlib.util.find_spec("py_identity_model_native") else ("pure",)
VALIDATORS = [_validation.TokenValidator(ISSUER, "api", keys=PROVIDER.jwks(), engine=name) for name in ENGINES]


def judged(token: str) -> dict[str, Any]:
    """Return or raise the verdict on a token: the same of every engine, the first time and again."""
    verdicts: list[tuple[object, dict[str, Any] | TokenValidationException]] = []
    for validator in [*VALIDATORS, *VALIDATORS]:
        validator.validate(GOOD_TOKEN)  # its header leads to the warm path from now on
        try:
            claims = validator.validate(token)
            verdicts.append((claims, claims))
        except TokenValidationException as refusal:
            verdicts.append(((type(refusal), refusal.code, refusal.claim), refusal))
    assert all(verdict == verdicts[0][0] for verdict, _ in verdicts), verdicts
    answer = verdicts[0][1]
    if isinstance(answer, TokenValidationException):
        raise answer
    return answer


PUBLIC = PROVIDER.jwks()["keys"][0]
RSA = {"kty": "RSA", "n": "AQAB" * 90, "e": "AQAB", "kid": "r", "alg": "RS256", "use": "sig", "key_ops": ["verify"]}
PEM = KEY.private_pem or ""


# ---- the ground


@fuzz
@given(st.one_of(texts, st.binary(max_size=40), mutated("QUJDREVGRw")))
def test_base64url(text: str | bytes) -> None:
    """What is decoded encodes to the very same text; all else is refused by the one exception."""
    try:
        decoded = b64url_decode(text)
    except Base64Error:
        return
    assert b64url_encode(decoded) == (text if isinstance(text, str) else text.decode())


@fuzz
@given(st.binary(max_size=80))
def test_base64url_and_back(data: bytes) -> None:
    """All octets come back."""
    assert b64url_decode(b64url_encode(data)) == data


@fuzz
@given(written(values))
def test_json(data: bytes) -> None:
    """What the strict reader accepts, the standard library reads alike; all else is refused by the one exception."""
    for read in (loads, loads_object, loads_claims):
        try:
            value = read(data)
        except StrictJSONError:
            continue
        assert same(value, json.loads(data))


def same(one: Any, other: Any) -> bool:
    """Compare two JSON values, types included."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@fuzz
@given(texts | mutated("https://user@id.example.com:8443/a/b?c=d#e"))
def test_addresses(text: str) -> None:
    """An address is taken apart or refused as a configuration error."""
    for parse in (lambda: parse_url(text, "address"), lambda: discovery_fetch.parse_discovery_url(text)):
        try:
            parse()
        except ConfigurationException:
            continue


# ---- keys


@fuzz
@example(None)
@given(
    st.one_of(values, changed(PUBLIC, "d", "x5c", "crv"), changed(RSA, "d", "p"), changed({"kty": "oct", "k": "AAAA"}))
)
def test_jwks_of_any_shape(jwk: Any) -> None:
    """A key is read or refused; the same in a set, of the caller or of a provider."""
    try:
        import_key(jwk)
    except KeyRefused:
        pass
    for read in (KeySet.from_keys, lambda given: KeySet.from_keys({"keys": [given, PUBLIC]}), SigningKey.from_jwk):
        try:
            read(jwk)
        except ConfigurationException:
            continue
    try:
        jwks_from_dict(jwk)
    except ConfigurationException:
        pass


@fuzz
@given(
    written(changed({"keys": [PUBLIC, RSA]}) | st.lists(changed(PUBLIC, "n"), max_size=3).map(lambda k: {"keys": k}))
)
def test_key_sets_of_providers(data: bytes) -> None:
    """A key set has a usable key or is refused."""
    try:
        key_set = parse_jwks(data, max_keys=10, max_size=10_000, address=ISSUER)
    except JwksException:
        return
    assert key_set.keys
    assert len(key_set.web_keys) <= len(key_set.document["keys"])
    assert not any(key.kty == "oct" for key in key_set.keys)


@fuzz
@given(mutated(PEM) | st.binary(max_size=60).map(lambda data: b"-----BEGIN PUBLIC KEY-----\n" + data))
def test_pem(pem: str | bytes) -> None:
    """A PEM text is read or refused."""
    try:
        import_pem(pem)
    except KeyRefused:
        pass
    for read in (KeySet.from_keys, lambda given: SigningKey.from_pem(given, "ES256")):
        try:
            read(pem)
        except ConfigurationException:
            continue
    try:
        mtls.load_certificate(pem)
    except PyIdentityModelException:
        pass


# ---- tokens


@fuzz
@given(mutated(GOOD_TOKEN) | texts | st.lists(texts, min_size=3, max_size=5).map(".".join))
def test_tokens_that_were_changed(token: str) -> None:
    """No changed token is accepted, and no refusal repeats it."""
    assume(token != GOOD_TOKEN)
    for examine in (parse_compact, judged):
        try:
            examine(token)
        except TokenValidationException as refusal:
            shown = f"{refusal} {refusal!r} {refusal.hint} {refusal.actual}"
            assert len(token) < 80 or token not in shown
            assert GOOD_TOKEN.split(".")[2] not in shown
        else:
            assert examine is parse_compact


HEADER = {"alg": "ES256", "kid": "k1", "typ": "at+jwt"}
CLAIMS = PROVIDER.claims(nbf=NOW, scope="read", client_id="app", jti="1")


def signed(header: bytes, payload: bytes) -> str:
    """Return a token that the provider did sign, whatever it says."""
    signing_input = f"{b64url_encode(header)}.{b64url_encode(payload)}"
    return f"{signing_input}.{b64url_encode(KEY.sign(signing_input.encode()))}"


@fuzz
@given(
    written(st.just(HEADER) | changed(HEADER, "crit", "b64", "jwk", "jku", "x5c", "cty", "zip")),
    written(st.just(CLAIMS) | changed(CLAIMS, "nonce", "at_hash", "events", "cnf", "azp")),
)
def test_tokens_that_are_signed(header: bytes, payload: bytes) -> None:
    """Of tokens with a good signature only those are accepted that say what they must, once each."""
    try:
        claims = judged(signed(header, payload))
    except TokenValidationException:
        return
    assert same(claims, json.loads(payload))
    assert list(json.loads(payload, object_pairs_hook=lambda pairs: [name for name, _ in pairs])) == list(claims)
    assert claims["iss"] == ISSUER
    assert claims["aud"] == "api" or "api" in claims["aud"]
    assert isinstance(claims["exp"], int | float)
    assert NOW < claims["exp"] < math.inf
    assert claims.get("nbf", 0) <= NOW + 10
    assert claims.get("iat", 0) <= NOW + 10
    assert not {"nonce", "at_hash", "events"} & claims.keys()
    read = json.loads(header)
    assert read["alg"] == "ES256"
    assert not {"crit", "b64"} & read.keys()
    assert str(read.get("typ", "jwt")).lower().removeprefix("application/") in ("jwt", "at+jwt")


LOGIN = {"iss": ISSUER, "aud": "app", "sub": "ada", "iat": NOW, "exp": NOW + 60, "nonce": "n", "auth_time": NOW}


@fuzz
@example({**LOGIN, "azp": ["app"]})
@given(changed(LOGIN, "azp", "at_hash", "acr"))
def test_id_tokens_that_are_signed(claims: dict[str, Any]) -> None:
    """Of ID tokens only those are accepted that are for this client and this login."""
    validator = _validation.TokenValidator(ISSUER, "app", kind="id_token", keys=PROVIDER.jwks())
    try:
        payload = json.dumps(claims, allow_nan=False).encode()
    except ValueError:
        return
    try:
        accepted = validator.validate(signed(b'{"alg":"ES256"}', payload), nonce="n", max_age=60, access_token="token")
    except TokenValidationException:
        return
    assert accepted["nonce"] == "n"
    assert accepted.get("azp", "app") == "app"
    assert accepted["auth_time"] >= NOW - 70
    assert accepted.get("at_hash", half_hash("ES256", "token")) == half_hash("ES256", "token")


@fuzz
@given(st.text(max_size=12), texts, st.none() | texts)
def test_half_hashes(alg: str, value: str, crv: str | None) -> None:
    """A hash is made, or the value refused."""
    for name in (alg, "ES256", "EdDSA"):
        try:
            half_hash(name, value, crv)
        except TokenValidationException:
            continue


# ---- what providers answer

TOKENS = {
    "access_token": "at",
    "token_type": "Bearer",
    "expires_in": 60,
    "refresh_token": "rt",
    "id_token": "a.b.c",
    "scope": "x",
    "authorization_details": [{"type": "t"}],
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
}
ERROR = {"error": "invalid_grant", "error_description": "no", "error_uri": "https://x.example", "interval": 5}
DEVICE = {
    "device_code": "dc",
    "user_code": "uc",
    "expires_in": 60,
    "interval": 5,
    "verification_uri": ISSUER,
    "verification_uri_complete": ISSUER,
}
WHO: dict[str, Any] = {"client_id": "app", "client_secret": "canary-secret-0123456789"}
URL = ISSUER + "/endpoint"

OPERATIONS: list[Callable[[], Any]] = [
    lambda: grants.request_client_credentials_token(grants.ClientCredentialsTokenRequest(URL, **WHO), Settings()),
    lambda: grants.request_client_credentials_token(
        grants.ClientCredentialsTokenRequest(URL, **WHO, dpop_key=DPoPKey()), Settings()
    ),
    lambda: grants.request_authorization_code_token(
        grants.AuthorizationCodeTokenRequest(URL, code="c", redirect_uri=URL, code_verifier="v" * 43, **WHO)
    ),
    lambda: grants.refresh_token(grants.RefreshTokenRequest(URL, refresh_token="r", **WHO)),
    lambda: grants.request_jwt_bearer_token(grants.JwtBearerTokenRequest(URL, assertion="a.b.c", **WHO)),
    lambda: grants.request_extension_grant_token(
        grants.ExtensionGrantTokenRequest(URL, grant_type="urn:x:y", parameters={}, **WHO)
    ),
    lambda: exchange_token(
        TokenExchangeRequest(URL, subject_token="s", subject_token_type=ExchangeTokenType.ACCESS_TOKEN, **WHO)
    ),
    lambda: request_device_authorization(DeviceAuthorizationRequest(URL, **WHO)),
    lambda: poll_device_token(DeviceTokenRequest(URL, device_code="d", **WHO)),
    lambda: ciba.request_backchannel_authentication(
        ciba.BackchannelAuthenticationRequest(URL, login_hint="ada", **WHO)
    ),
    lambda: ciba.poll_ciba_token(ciba.CibaTokenRequest(URL, auth_req_id="i", **WHO)),
    lambda: push_authorization_request(
        PushedAuthorizationRequest(URL, redirect_uri=URL, code_challenge="c" * 43, **WHO)
    ),
    lambda: revoke_token(TokenRevocationRequest(URL, token="t", **WHO), Settings()),
]
ANSWERS = written(
    changed(TOKENS)
    | changed(ERROR)
    | changed(DEVICE)
    | changed({"auth_req_id": "i", "expires_in": 60, "interval": 5})
    | changed({"request_uri": "urn:x", "expires_in": 60})
    | values
)


@fuzz
@given(st.sampled_from(OPERATIONS), replies(ANSWERS))
def test_operations_never_raise(operation: Callable[[], Any], reply: Reply) -> None:
    """Whatever a provider answers becomes a response; a failed one has a code and no secret."""
    response = perform(operation(), reply)
    if response.is_successful:
        assert reply.status < 300 or reply.status == 400  # the latter where it says what is wanted
        return
    assert isinstance(response.exception, PyIdentityModelException)
    assert response.exception.code
    assert "canary-secret" not in f"{response} {response!r} {response.exception!r} {response.error}"
    with pytest.raises(PyIdentityModelException):
        response.raise_for_error()


@fuzz
@given(
    replies(written(changed({"active": True, "sub": "ada", "aud": "api", "exp": NOW + 60, "scope": "x"}, "iss", "nbf")))
)
def test_introspection(reply: Reply) -> None:
    """An answer that is active has the audience asked for and time left."""
    request = TokenIntrospectionRequest(URL, "token", **WHO, expected_audience="api")
    response = introspection.introspect_token(request, lambda request: reply)
    if not response.is_successful or not response.active:
        return
    assert response.claims["active"] is True
    assert response.claims["aud"] == "api" or "api" in response.claims["aud"]


@fuzz
@given(
    replies(written(changed(PROVIDER.metadata, "mtls_endpoint_aliases", "token_endpoint_auth_methods_supported"))),
    replies(written(changed(PROVIDER.jwks()))),
)
def test_discovery_and_key_sets(metadata: Reply, keys: Reply) -> None:
    """Metadata is about this issuer and its addresses are https, or there is no answer; never another exception."""
    for name in ("_get_disco_response", "_get_jwks_response"):
        getattr(_discovery, name).cache_clear()

    def provider(request: Request) -> Reply:
        return keys if request.url.endswith("/jwks") else metadata

    found = _discovery.get_discovery_document(DiscoveryDocumentRequest(address=ISSUER), provider)
    if found.is_successful:
        assert found.issuer == ISSUER
        assert str(found.jwks_uri).startswith("https://")
    else:
        assert found.exception.code
    answer = _discovery.get_jwks(JwksRequest(address=ISSUER + "/jwks"), provider)
    assert answer.is_successful == (answer.exception is None)
    try:
        claims = _validation.validate_token(
            GOOD_TOKEN,
            TokenValidationConfig(perform_disco=True, audience="api"),
            ISSUER,
            provider,
        )
    except PyIdentityModelException:
        return
    assert claims["sub"] == "ada"


@fuzz
@given(
    changed({"resource": ISSUER, "authorization_servers": [ISSUER], "jwks_uri": ISSUER + "/jwks"}, "scopes_supported")
)
def test_metadata_of_resources(document: dict[str, Any]) -> None:
    """Metadata is about this resource, or refused."""
    try:
        metadata = parse_resource_metadata(document, ISSUER)
    except DiscoveryException:
        return
    assert metadata.resource == ISSUER


@fuzz
@given(replies(st.binary(max_size=5)), st.floats(0, 4e9))
def test_times_of_replies(reply: Reply, wall: float) -> None:
    """Every reply has a freshness that is a number not below 0, whatever its headers say."""
    assert all(0 <= seconds < math.inf for seconds in freshness(reply, wall, 3600.0, 86400.0))
    assert retry_after(reply, wall) is None or 0 <= (retry_after(reply, wall) or 0) < math.inf


@fuzz
@given(st.lists(texts | mutated('DPoP algs="ES256 PS256", error="use_dpop_nonce", Bearer realm="a\\"b"'), max_size=3))
def test_challenges(headers: list[str]) -> None:
    """Challenges are read as far as they can be read, without any exception."""
    found = challenges.parse_challenges(headers)
    protected_resource.parse_step_up(found)
    for challenge in found:
        assert challenge.scheme


# ---- what browsers and clients send

PARAMETERS = ["code", "state", "iss", "error", "id_token", "access_token", "expires_in", "response"]
FORWARDED = ["x-forwarded-host", "x-forwarded-proto", "forwarded", "client-cert"]
PAIRS = st.lists(
    st.tuples(
        st.sampled_from(PARAMETERS) | texts,
        texts,
    ),
    max_size=6,
)


def query(pairs: list[tuple[str, str]]) -> str:
    """Return the pairs as a query."""
    return urlencode([(name.encode("utf-8", "ignore"), value.encode("utf-8", "ignore")) for name, value in pairs])


@fuzz
@given(
    PAIRS | texts, st.sampled_from(["?{}", "https://client.example/callback?{}", "/callback#{}", "{}", "/a?x=1&{}#{}"])
)
def test_callbacks(pairs: list[tuple[str, str]] | str, shape: str) -> None:
    """A callback becomes a response or is refused; parameters that came twice are always refused."""
    text = pairs if isinstance(pairs, str) else shape.replace("{}", query(pairs))
    try:
        whole = callback.parse_authorize_callback_response(text)
    except AuthorizeCallbackException:
        pass
    else:
        assert whole.is_successful or whole.exception is not None
        assert not callback_checks.validate_authorize_callback_state(whole, "another state").is_valid
    for came in (text, text.encode("utf-8", "ignore"), pairs):
        try:
            callback.parse_callback_values(callback.read_callback(came))
        except PyIdentityModelException:
            continue
    if isinstance(pairs, list) and len({name for name, _ in pairs}) < len(pairs):
        with pytest.raises(PyIdentityModelException):
            callback.read_callback(pairs)


REQUESTS = st.builds(
    lambda method, url, headers: InboundRequest.build(method, url, headers),
    st.sampled_from(["GET", "POST", ""]) | texts,
    st.just("https://api.example/items?q=1") | texts,
    st.lists(
        st.tuples(
            st.sampled_from(["authorization", "dpop", *FORWARDED]),
            st.sampled_from([f"DPoP {GOOD_TOKEN}", f"Bearer {GOOD_TOKEN}", GOOD_TOKEN, ":AAAA:", "host=a;proto=https"])
            | texts,
        ),
        max_size=4,
    ),
)


@fuzz
@given(REQUESTS)
def test_requests_to_a_resource(request: InboundRequest) -> None:
    """Whatever a client sends is read or refused by an exception of ours, through a trusted proxy or not."""
    proxies = ProxyPolicy(trusted_proxies=("127.0.0.1",), forwarded="forwarded")
    behind = InboundRequest.build(request.method, request.url, request.headers, peer="127.0.0.1")
    claims = {"sub": "ada", "cnf": {"jkt": "x"}}
    checks: list[Callable[[], Any]] = [
        lambda: presented_token.read_token(request),
        lambda: mtls.client_certificate(behind, proxies),
        lambda: mtls.client_certificate_chain(behind, proxies),
        lambda: proxies.external(behind),
        lambda: DPoPValidator().check(request, wall=NOW),
        lambda: DPoPValidator(proxies=proxies).check(behind, wall=NOW, access_token="token", claims=claims),
    ]
    for check in checks:
        try:
            check()
        except PyIdentityModelException:
            continue


PROOF = {"jti": "1", "htm": "GET", "htu": "https://api.example/items", "iat": NOW}
PROOF_HEADER = {
    "typ": "dpop+jwt",
    "alg": "ES256",
    "jwk": {n: v for n, v in PUBLIC.items() if n in ("kty", "crv", "x", "y")},
}


@fuzz
@given(st.just(PROOF_HEADER) | changed(PROOF_HEADER, "kid", "crit"), st.just(PROOF) | changed(PROOF, "nonce", "ath"))
def test_dpop_proofs(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Only a proof for this request, of this time, by the key in it is accepted."""
    try:
        proof = signed(json.dumps(header, allow_nan=False).encode(), json.dumps(claims, allow_nan=False).encode())
    except ValueError:
        return
    request = InboundRequest.build("GET", "https://api.example/items?q=1", [("DPoP", proof)])
    try:
        accepted = DPoPValidator().check(request, wall=NOW)
    except PyIdentityModelException:
        return
    assert (accepted.htm, header["typ"], header["alg"]) == ("GET", "dpop+jwt", "ES256")
    assert NOW - 60 <= accepted.iat <= NOW + 10
    assert accepted.jti


@fuzz
@given(
    written(
        changed({"auth_req_id": "i"}) | changed({"auth_req_id": "i", **TOKENS}) | changed({"auth_req_id": "i", **ERROR})
    ),
    texts,
)
def test_ciba_notifications(body: bytes, authorization: str) -> None:
    """A notification is a ping, a push or an error, with the token agreed on, or refused."""
    for header in ("Bearer " + "t" * 30, authorization):
        headers = {"authorization": header, "content-type": "application/json"}
        try:
            notification = ciba_notification.parse_ciba_notification(headers, body, "t" * 30)
        except PyIdentityModelException:
            continue
        assert header == "Bearer " + "t" * 30
        assert notification.kind in ("ping", "push", "error")
