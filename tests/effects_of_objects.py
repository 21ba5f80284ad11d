"""For every public policy, validator and method and each of its parameters: what it decides, and another value."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import py_identity_model as p
from effects import Case, Made, Recorder, When, parameters, wait
from effects_of_functions import ISSUER, KEY, NOW, OTHER_KEY, URL
from effects_of_requests import LOGIN, METADATA
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.discovery.trust import Stores
from py_identity_model._core.jose.jws import half_hash, sign_compact
from py_identity_model._core.login.authorization import build_authorization_parameters
from py_identity_model.settings import Settings
from py_identity_model.stores import MemoryStore
from py_identity_model.sync import _driver

OTHER, INSIDE = "https://other.example.com", "https://inside.example.com"
GOOD = {"iss": ISSUER, "aud": "api", "sub": "ada", "iat": NOW, "exp": NOW + 600, "scope": "read"}
IDENTITY = {"aud": "app", "nonce": "n", "scope": None}
LOOSE = p.DiscoveryPolicy(validate_issuer=False)

JSON = (("content-type", "application/json"),)
MORE = {
    "end_session_endpoint": f"{ISSUER}/logout",
    "device_authorization_endpoint": f"{ISSUER}/device",
    "backchannel_authentication_endpoint": f"{ISSUER}/ciba",
    "grant_types_supported": ["authorization_code", "urn:openid:params:grant-type:ciba"],
    "backchannel_token_delivery_modes_supported": ["poll"],
    "pushed_authorization_request_endpoint": f"{ISSUER}/par",
    "response_types_supported": ["code", "code id_token"],
    "id_token_signing_alg_values_supported": ["RS256", "ES256"],
}


def token(typ: str | None = "at+jwt", key: p.SigningKey = KEY, **changes: Any) -> str:
    """Return a signed token; None takes a claim away."""
    return sign_compact({name: value for name, value in {**GOOD, **changes}.items() if value is not None}, key, typ=typ)


class Site(Recorder):
    """A provider that is only data: metadata and a key set at every address, and everything else in one answer."""

    def __init__(self, name: str = "first", **members: Any) -> None:
        super().__init__(name)
        self.members = members

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        where = request.url.partition("?")[0]
        document: dict[str, Any] = METADATA | MORE | self.members
        if where.endswith(("/jwks", "/keys")):
            document = {"keys": [{**(KEY.public_jwk or {}), "kid": "k1", "use": "sig"}]}
        if where.endswith("/par"):
            return Reply(201, JSON, b'{"request_uri": "urn:x", "expires_in": 60}', request.url)
        if where.endswith(("/device", "/ciba")):
            document = {
                "device_code": "d",
                "user_code": "u",
                "verification_uri": URL,
                "auth_req_id": "a",
                "expires_in": 9,
            }
        return Reply(200, JSON, json.dumps(document).encode(), request.url)


SITE = Site()


def judged(*tokens: str, site: Site = SITE, expected: dict[str, Any] | None = None) -> Any:
    """Return a use of a validator: how it judges each of these tokens, and what it asked for."""

    def use(door: Any, validator: Any) -> Any:
        site.requests.clear()
        found = []
        for each in tokens:
            try:
                found.append(wait(validator.validate(each, **(expected or {}))))
            except p.PyIdentityModelException as error:
                found.append(error)
        return found, list(site.requests)

    return use


def stores() -> Stores:
    """Return caches of one's own."""
    return Stores("sync", Settings())


TOKENS = (
    token(),
    token(aud="other"),
    token(key=OTHER_KEY),
    token(exp=NOW - 5),
    token(sub="eve"),
    token(iat=NOW - 300),
    token(iss=OTHER),
    token("JWT", **IDENTITY),
    token("JWT", **IDENTITY | {"aud": ["app", "api"], "azp": "app"}),
)
KEYS = {"keys": [{**(key.public_jwk or {}), "kid": kid} for kid, key in (("k1", KEY), ("k2", OTHER_KEY))]}
AS_CLIENT = {"kind": "id_token", "audience": "app"}


def refuse(claims: Any) -> None:
    """Refuse everything."""
    raise p.TokenValidationException("no")


DISCOVERED: dict[str, Any] = {
    "audience": ["other"],
    "algorithms": ["RS256"],
    "keys": KEYS,
    "jwks_uri": f"{ISSUER}/keys",
    "discovery_address": f"{OTHER}/metadata",
    "metadata_issuer": OTHER,
    "discovery_policy": p.DiscoveryPolicy(require_public_addresses=True),
    "backchannel": INSIDE,
}


def trusted(door: Any, issuer: Any) -> Any:
    """Use an issuer: build a validator for it and judge the tokens."""
    return judged(*TOKENS)(door, p.TokenValidator(issuer, "api", http_client=SITE, stores=stores()))


def discovered(site: Site, address: str = ISSUER) -> Any:
    """Return a use of a discovery policy: fetch metadata under it."""

    def use(door: Any, policy: Any) -> Any:
        site.requests.clear()
        for clear in (door.clear_discovery_cache, door.clear_jwks_cache):
            wait(clear())
        found = door.get_discovery_document(door.DiscoveryDocumentRequest(address, policy), site)
        return found, list(site.requests)

    return use


def validated(door: Any, config: Any) -> Any:
    """Use a configuration of tokens: validate some with it."""
    found = []
    SITE.requests.clear()
    for each in TOKENS:
        for address in (ISSUER, "http://id.example.com"):
            try:
                found.append(door.validate_token(each, config, address, SITE))
            except p.PyIdentityModelException as error:
                found.append(error)
    return found, list(SITE.requests)


OF_A_LOGIN: dict[str, Any] = {"validator": "of a login", "token": token("JWT", **IDENTITY)}


def explaining(door: Any) -> Any:
    """Return ``explain``; for a login with a validator of that API."""

    def explain(token: str, validator: Any, **options: Any) -> Any:
        if validator == OF_A_LOGIN["validator"]:
            validator = door.TokenValidator(ISSUER, "app", kind="id_token", http_client=SITE)
        return door.explain(token, validator, **options)

    return explain


def remembered(door: Any, validator: Any) -> Any:
    """Use a validator: judge the tokens, then one of them twice, some time apart."""
    found = [judged(*TOKENS, token("JWT", **IDENTITY | {"azp": "ada"}))(door, validator)]
    for _ in range(2):
        found.append(judged(TOKENS[0])(door, validator))
        clock: Any = _driver.read_clock
        clock.advance(50.0)
    return found, validator.cache_info()


def warm() -> Stores:
    """Return caches that have everything already."""
    own = stores()
    p.TokenValidator(ISSUER, "api", http_client=SITE, stores=own).warm_up()
    return own


def marked() -> MemoryStore:
    """Return a store with the mark that the user is revoked."""
    store = MemoryStore(clock=lambda: float(NOW))
    p.TokenValidator(ISSUER, "api", http_client=SITE, store=store).revoke(sub="ada", iss=ISSUER)
    return store


CLIENT = p.LoginClient(issuer=ISSUER, client_id="app", redirect_uri=URL)
CONFIG = p.TokenValidationConfig(True, audience="api")
ID_CONFIG = p.TokenValidationConfig(True, audience="app", algorithms=["ES256"])
SHA = b64url_encode(hashlib.sha256(b"t").digest()[:16])
HASHED = {"id_token": token("JWT", **IDENTITY | {"at_hash": SHA, "c_hash": SHA})}


def active(value: str) -> dict[str, Any]:
    """Answer as an introspection endpoint."""
    return {"active": True, "aud": "api", "sub": value}


def begun(door: Any, request: Any, client: Any = CLIENT) -> Any:
    """Use a request of a login: begin one."""
    SITE.requests.clear()
    wait(door.clear_discovery_cache())
    started = door.begin_login(client, request, SITE)
    return started, list(SITE.requests)


PROVER = p.SigningKey.generate("ES256")
API = "https://api.example.com/x"


def presented(wall: float = NOW, url: str = API, **claims: Any) -> p.InboundRequest:
    """Return a request to a resource with a proof."""
    proof = sign_compact(
        {"jti": f"{wall}", "htm": "GET", "htu": API, "iat": int(wall), **claims},
        PROVER,
        typ="dpop+jwt",
        headers={"jwk": PROVER.public_jwk},
    )
    return p.InboundRequest("GET", url, (("Authorization", "DPoP t"), ("DPoP", proof)))


class Remembering(MemoryStore):
    """A store that has seen every token, and can be told from others."""

    def add(self, *args: Any, **named: Any) -> bool:
        """Tell that it is there already."""
        return False


def proofs(door: Any, validator: Any) -> Any:
    """Use a validator of proofs: one for now, one of yesterday, one of tomorrow."""
    found = []
    for wall in (NOW, NOW - 500, NOW + 500):
        try:
            found.append(validator.check(presented(wall), wall=float(NOW)))
        except p.PyIdentityModelException as error:
            found.append(error)
    try:
        facts = {"access_token": "t", "claims": BOUND}
        found.append(door.validate_dpop_proof(validator, presented(**ATH), **facts))
    except p.PyIdentityModelException as error:
        found.append(error)
    return found


BOUND = {"cnf": {"jkt": p.jwk_thumbprint(PROVER.public_jwk or {})}}
ATH = {"ath": p.compute_ath("t")}
PROOF = Case(
    {"request": presented(**ATH), "wall": float(NOW), "access_token": "t", "claims": BOUND},
    {
        "request": presented(url=OTHER, **ATH),
        "wall": NOW + 1000.0,
        "access_token": "u",
        "claims": {"cnf": {"jkt": "other"}},
        "expected_jkt": "other",
    },
    of=lambda door: p.DPoPValidator(),
)
KEY_JWT = p.PrivateKeyJwt(KEY)
TENANTS = p.IssuerTemplate(f"{ISSUER}/{{name}}", allowed={"a"})
CLIENT_CHANGES = {
    "issuer_template": TENANTS,
    "issuer": OTHER,
    "client_id": "other",
    "redirect_uri": URL + "2",
    "scope": "email",
    "response_type": "code id_token",
    "response_mode": "form_post",
    "client_secret": When("s" * 64, {"pushed": True}),
    "private_key_jwt": When(KEY_JWT, {"pushed": True}),
    "mtls": When(p.MtlsClientAuth("one.pem", "one.key"), {"pushed": True}),
    "attestation": When(lambda _: ("a.b.c", "d.e.f"), {"pushed": True}),
    "client_assertion": When(token(), {"pushed": True}),
    "auth_method": When("client_secret_post", {"pushed": True, "client_secret": "s" * 64}),
    "client_secret_jwt_algorithm": When(
        "HS512", {"pushed": True, "client_secret": "s" * 64, "auth_method": "client_secret_jwt"}
    ),
    "dpop_key": p.generate_dpop_key(),
    "pushed": True,
    "request_signing": p.RequestSigning(KEY),
    "publish_request": When(lambda value: "https://app.example.com/r", {"request_signing": p.RequestSigning(KEY)}),
    "discovery_address": f"{OTHER}/metadata",
    "discovery_policy": p.DiscoveryPolicy(require_public_addresses=True),
    "backchannel": INSIDE,
    "headers": When({"X-More": "1"}, {"pushed": True, "client_secret": "s" * 64}),
    "authorization_parameters": {"audience": "api"},
    "allow_insecure_http": When(
        True,
        {
            "pushed": True,
            "client_secret": "s" * 64,
            "backchannel": "http://inside.example.com",
            "discovery_policy": p.DiscoveryPolicy(require_https=False),
        },
    ),
}


OBJECTS: dict[str, Case] = {
    "TokenValidator": Case(
        {"issuer": ISSUER, "audience": "api", "http_client": SITE},
        {
            **DISCOVERED,
            "issuer": OTHER,
            "kind": "id_token",
            "issuer_resolver": lambda issuer: issuer,
            "key_sets": [p.IssuerKeySet(keys=KEYS)],
            "leeway": 60,
            "subject": "eve",
            "required_claims": ["more"],
            "max_token_age": 60,
            "claims_validator": refuse,
            "trusted_audiences": When(["api"], AS_CLIENT),
            "authorized_parties": When(["ada"], AS_CLIENT),
            "accept_any_audience": When(True, {"audience": None}),
            "max_token_size": 100,
            "cache_tokens": 10,
            "cache_tokens_max_age": When(10.0, {"cache_tokens": 10}),
            "store": Made(lambda: marked()),
            "stores": Made(lambda: warm()),
            "engine": "no engine",
            "http_client": Site("second", issuer=OTHER),
        },
        remembered,
    ),
    "TokenValidator.validate": Case(
        {"token": token("JWT", **IDENTITY)},
        {
            "token": token(),
            "type": int,
            "nonce": "other",
            "access_token": When("other", {"token": token("JWT", **IDENTITY, at_hash=half_hash("ES256", "one"))}),
            "code": When("other", {"token": token("JWT", **IDENTITY, c_hash=half_hash("ES256", "one"))}),
            "state": When("other", {"token": token("JWT", **IDENTITY, s_hash=half_hash("ES256", "one"))}),
            "max_age": 60,
            "acr_values": "gold",
            "hashes_required": "at_hash",
            "asked_at": NOW + 1000,
        },
        of=lambda door: door.TokenValidator(ISSUER, "app", kind="id_token", http_client=SITE),
    ),
    "TrustedIssuer": Case(
        {"issuer": ISSUER},
        DISCOVERED | {"issuer": OTHER, "public_addresses_only": True, "key_sets": [p.IssuerKeySet(keys=KEYS)]},
        trusted,
    ),
    "IssuerKeySet": Case(
        {},
        {name: value for name, value in DISCOVERED.items() if name not in ("audience", "algorithms")},
        lambda door, key_set: trusted(door, door.TrustedIssuer(ISSUER, key_sets=[key_set])),
    ),
    "TokenValidationConfig": Case(
        {"perform_disco": True, "audience": "api"},
        {
            "perform_disco": False,
            "key": When(OTHER_KEY.public_jwk, {"perform_disco": False, "issuer": ISSUER, "key": KEY.public_jwk}),
            "audience": "other",
            "algorithms": ["RS256"],
            "issuer": OTHER,
            "subject": "eve",
            "options": {"require": ["more"]},
            "claims_validator": refuse,
            "issuer_template": TENANTS,
            "require_https": False,
            "leeway": 60,
            "allowed_issuers": [OTHER],
            "discovery_policy": p.DiscoveryPolicy(require_public_addresses=True),
            "backchannel": INSIDE,
        },
        validated,
    ),
    "AuthorizationRequest": Case(
        {"client_id": "app", "redirect_uri": URL, "state": "s", "nonce": "n"},
        LOGIN
        | {
            "client_id": "other",
            "scope": "email",
            "resource": "https://api.example.com",
            "authorization_details": [{"type": "x"}],
            "extra": {"more": "1"},
        },
        lambda door, request: build_authorization_parameters(request),
    ),
    "LoginRequest": Case(
        {},
        {name: value for name, value in LOGIN.items() if name in parameters(p.LoginRequest)}
        | {
            "scope": "openid email",
            "resource": "https://api.example.com",
            "authorization_details": [{"type": "x"}],
            "extra": {"more": "1"},
            "binding": "cookie",
            "expected_sub": "ada",
            "accept_other_authentication_contexts": When(True, {"acr_values": "gold"}),
            "lifetime": 60.0,
            "data": {"page": "/"},
        },
        begun,
    ),
    "DiscoveryPolicy": Case(
        {},
        {
            "require_https": False,
            "allow_http_on_loopback": False,
            "validate_issuer": False,
            "validate_endpoints": False,
            "require_key_set": False,
            "additional_endpoint_base_addresses": [f"{ISSUER}/only"],
            "authority": OTHER,
            "allow_loopback_endpoints": True,
            "require_same_host_endpoints": True,
            "require_public_addresses": True,
            "backchannel": INSIDE,
        },
        lambda door, policy: [
            discovered(site, address)(door, policy)
            for site, address in (
                (SITE, ISSUER),
                (Site(), "http://id.example.com"),
                (Site(issuer="http://127.0.0.1", jwks_uri="http://127.0.0.1/jwks"), "http://127.0.0.1"),
                (Site(issuer=OTHER), ISSUER),
                (Site(jwks_uri=None), ISSUER),
                (Site(token_endpoint="https://127.0.0.1/token"), ISSUER),
                (Site(token_endpoint=f"{OTHER}/token"), ISSUER),
            )
        ],
    ),
    "DiscoveryPolicy.parse_url": Case(
        {"url": ISSUER, "what": "issuer"},
        {
            "url": OTHER,
            "what": When("address", {"url": "http://id.example.com"}),
            "allow_query": When(False, {"url": f"{ISSUER}?x", "allow_query": True}),
        },
        of=lambda door: p.DiscoveryPolicy(),
    ),
    "DPoPValidator": Case(
        {},
        {
            "algorithms": ["PS256"],
            "max_age": 1000.0,
            "max_ahead": 1000.0,
            "nonces": p.DPoPNonces(b"n" * 32),
            "store": Remembering(),
            "proxies": p.ProxyPolicy(external_url=OTHER),
        },
        proofs,
    ),
    "DPoPValidator.check": PROOF,
    "validate_dpop_proof": Case(
        {name: value for name, value in PROOF.base.items() if name != "wall"} | {"validator": Made(p.DPoPValidator)},
        {name: value for name, value in PROOF.changes.items() if name != "wall"}
        | {"validator": p.DPoPValidator(algorithms=["PS256"])},
    ),
    "begin_login": Case(
        {"client": CLIENT, "http_client": SITE},
        {
            "client": p.LoginClient(issuer=ISSUER, client_id="other", redirect_uri=URL),
            "request": p.LoginRequest(prompt="login"),
            "http_client": Site("second"),
            "store": MemoryStore(),
        },
    ),
    "begin_logout": Case(
        {"client": CLIENT, "http_client": SITE},
        {
            "client": p.LoginClient(issuer=ISSUER, client_id="other", redirect_uri=URL),
            "login": token("JWT", **IDENTITY),
            "http_client": Site("second"),
            "post_logout_redirect_uri": URL,
            "logout_hint": "ada",
            "ui_locales": "de",
            "extra": {"more": "1"},
        },
    ),
    "validate_token": Case(
        {"jwt": token(), "token_validation_config": CONFIG, "disco_doc_address": ISSUER, "http_client": SITE},
        {
            "jwt": token(sub="eve"),
            "token_validation_config": p.TokenValidationConfig(True, audience="other"),
            "disco_doc_address": OTHER,
            "http_client": Site("second"),
        },
    ),
    "explain": Case(
        {"token": token(), "validator": CONFIG, "address": ISSUER, "http_client": SITE},
        {
            "token": token(aud="other"),
            "validator": p.TokenValidationConfig(True, audience="other"),
            "address": OTHER,
            "requirement": p.Requirement(scopes=["more"]),
            "show_claims": True,
            "http_client": Site("second"),
            "nonce": When("other", OF_A_LOGIN),
            "access_token": When("other", OF_A_LOGIN | {"token": token("JWT", **IDENTITY, at_hash="x")}),
            "code": When("other", OF_A_LOGIN | {"token": token("JWT", **IDENTITY, c_hash="x")}),
            "state": When("other", OF_A_LOGIN | {"token": token("JWT", **IDENTITY, s_hash="x")}),
            "max_age": When(60, OF_A_LOGIN),
            "acr_values": When("gold", OF_A_LOGIN),
            "hashes_required": When("at_hash", OF_A_LOGIN),
            "asked_at": When(NOW + 1000, OF_A_LOGIN),
        },
        of=explaining,
    ),
    "validate_id_token": Case(
        {
            "id_token": token("JWT", **IDENTITY),
            "token_validation_config": ID_CONFIG,
            "disco_doc_address": ISSUER,
            "http_client": SITE,
            "nonce": "n",
        },
        {
            "id_token": token("JWT", **IDENTITY | {"sub": "eve"}),
            "token_validation_config": p.TokenValidationConfig(True, audience="other", algorithms=["ES256"]),
            "disco_doc_address": OTHER,
            "http_client": Site("second"),
            "nonce": "other",
            "access_token": When("u", HASHED | {"access_token": "t"}),
            "code": When("u", HASHED | {"code": "t"}),
            "max_age": 60,
        },
    ),
    "authenticate_token": Case(
        {"token": "opaque", "validate_jwt": None, "introspect": active, "audience": "api"},
        {
            "token": "b.c.d",
            "validate_jwt": When(refuse, {"token": token()}),
            "introspect": lambda value: {"active": True, "aud": "api", "sub": "eve"},
            "audience": "other",
            "leeway": When(60.0, {"introspect": lambda value: {"active": True, "aud": "api", "exp": NOW - 5}}),
            "allow_missing_audience": When(True, {"introspect": lambda value: {"active": True}}),
        },
    ),
}
