"""For what comes in from a provider or a client, and each parameter of what judges it: another value."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import py_identity_model as p
from effects import Case, Made, Recorder, When, wait
from effects_of_functions import CERTIFICATE, ISSUER, KEY, NOW, URL
from effects_of_logins import DECRYPTION, DEVICE, encrypted
from effects_of_objects import (
    API,
    BOUND,
    ID_CONFIG,
    INSIDE,
    OTHER,
    OTHER_KEY,
    SITE,
    Remembering,
    Site,
    judged,
    presented,
    stores,
    token,
)
from effects_of_requests import ANSWER
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model.stores import MemoryStore
from py_identity_model.sync import _driver

FORM = "application/x-www-form-urlencoded"
LOGOUT = {
    "aud": "app",
    "scope": None,
    "jti": "j",
    "sid": "s",
    "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
}
LOGOUT_TOKEN = token("JWT", **LOGOUT)
OTHER_CONFIG = p.TokenValidationConfig(True, audience="other", algorithms=["ES256"])
#: Everything that a receiver may accept: by its typ, encrypted, without exp, and one of them twice.
LOGOUT_TOKENS = (
    token("logout+jwt", **LOGOUT | {"jti": "typed"}),
    encrypted(token("JWT", **LOGOUT | {"jti": "encrypted"})),
    token("JWT", **LOGOUT | {"jti": "without exp", "exp": None}),
    LOGOUT_TOKEN,
    LOGOUT_TOKEN,
)
KNOWN = {"token_validation_config": ID_CONFIG, "disco_doc_address": ISSUER}
LOGOUT_CHANGES: dict[str, Any] = {
    "token_validation_config": OTHER_CONFIG,
    "disco_doc_address": OTHER,
    "require_typ": True,
    "decryption": DECRYPTION,
}


def received(door: Any, receiver: Any) -> Any:
    """Use a receiver: what it answers to every logout token."""
    answers = [wait(receiver.receive(urlencode({"logout_token": each}), FORM)) for each in LOGOUT_TOKENS]
    judgements = []
    for _ in range(2):
        if receiver._validator:
            judgements.append(judged(token(sid="s", iat=NOW - 10))(door, receiver._validator))
        clock: Any = _driver.read_clock
        clock.advance(100.0)
    return answers, judgements


def validator_of_tokens(revoked: bool = False) -> p.TokenValidator:
    """Return a validator that can be told what is revoked."""
    made = p.TokenValidator(ISSUER, "api", http_client=Site(), stores=stores())
    if revoked:
        made.revoke(sub="ada")
    return made


def judging(door: Any, policy: p.LogoutTokenPolicy) -> Any:
    """Use a policy of logout tokens: validate them as it says."""
    found = []
    given = (policy.token_validation_config, policy.disco_doc_address, SITE)
    for each in LOGOUT_TOKENS:
        try:
            found.append(
                door.validate_logout_token(
                    each,
                    *given,
                    store=policy.store,
                    require_typ=policy.require_typ,
                    decryption=policy.decryption,
                    accept_logout_tokens_without_exp=policy.accept_logout_tokens_without_exp,
                )
            )
        except p.PyIdentityModelException as error:
            found.append(error)
    return found


def receiver(door: Any) -> Any:
    """Return a receiver."""
    return door.BackChannelLogoutReceiver(ID_CONFIG, ISSUER, http_client=SITE)


#: A response in a JWT.
RESPONSE = {"iss": ISSUER, "aud": "app", "exp": NOW + 60, "code": "c", "state": "s"}
JARM = sign_compact(RESPONSE, KEY)
LATE = sign_compact(RESPONSE | {"exp": NOW - 30}, KEY)
OTHER_KEYS = p.JwksResponse(True, keys=(p.jwks_from_dict({**(OTHER_KEY.public_jwk or {}), "kid": "k1"}),))
PLAIN = "http://id.example.com"
HTTP_SITE = Site(issuer=PLAIN, jwks_uri=f"{PLAIN}/jwks")
HTTP_JARM = {"response": f"{URL}?response={sign_compact(RESPONSE | {'iss': PLAIN}, KEY)}", "disco_doc_address": PLAIN}

# ---- CIBA and the device grant


class Patient(Recorder):
    """A provider whose first answer is that the user has not decided."""

    def __init__(self, name: str = "first") -> None:
        super().__init__(name, **ANSWER, id_token="x")

    def __call__(self, request: Any) -> Any:
        reply = super().__call__(request)
        if len(self.requests) > 1:
            return reply
        return replace(reply, status=400, body=b'{"error": "authorization_pending"}')


CIBA = p.CibaTokenRequest(f"{ISSUER}/token", "app", "a", client_secret="s" * 64)
ASKED = p.BackchannelAuthenticationResponse(
    True, auth_req_id="a", expires_in=600, expires_at=NOW + 600.0, asked_at=float(NOW), interval=5
)
DEVICE_REQUEST = p.DeviceTokenRequest(f"{ISSUER}/token", "app", "d")
EDDSA = sign_compact({"sub": "ada"}, p.SigningKey.generate("EdDSA"))
PUSH = p.CibaNotification(kind="push", auth_req_id="a", access_token="t", id_token=EDDSA)
AUTH_REQ_ID = {"urn:openid:params:jwt:claim:auth_req_id": "a"}
SHAKE = b64url_encode(hashlib.shake_256(b"t").digest(114)[:57])

# ---- resources

PROOF_TOKEN = p.PresentedToken("DPoP", "t")
BEARER = p.PresentedToken("Bearer", "t")
CERTIFICATE_BOUND = {"cnf": {"x5t#S256": p.compute_certificate_thumbprint(CERTIFICATE)}}
NONCES = p.DPoPNonces(b"n" * 32)
ATH = {"ath": p.compute_ath("t")}


def validator() -> p.DPoPValidator:
    """Return what checks proofs."""
    return p.DPoPValidator()


def seen(door: Any, request: Any) -> Any:
    """Use an inbound request: everything that a resource reads of it."""
    policy = p.ProxyPolicy(trusted_proxies=("10.0.0.1",))
    found: list[Any] = [policy.external(request), request.header_values("authorization"), request.method]
    return [*found, p.client_certificate(request)]


FACTS: dict[str, Any] = {
    "method": "POST",
    "url": OTHER,
    "headers": (("Authorization", "Bearer u"), ("X-Forwarded-Host", "a.example")),
    "peer": When("10.0.0.1", {"headers": (("X-Forwarded-Host", "a.example"),)}),
    "certificate": CERTIFICATE,
}

# ---- claims of other providers

PROVIDER_CONFIG = p.TokenValidationConfig(True, audience="app", algorithms=["ES256"])
SAID = token("JWT", scope=None, aud="app", credit=700)
ENDPOINT = "https://credit.example.com/claims"


class Bureau(Site):
    """A provider of claims."""

    def __call__(self, request: Any) -> Any:
        reply = super().__call__(request)
        if request.url != ENDPOINT:
            return reply
        return replace(reply, headers=(("content-type", "application/jwt"),), body=SAID.encode())


def distributed(**source: Any) -> dict[str, Any]:
    """Return claims that another provider knows the rest of."""
    return {"sub": "ada", "_claim_names": {"credit": "bureau"}, "_claim_sources": {"bureau": source}}


def asked(door: Any, provider: Any) -> Any:
    """Use a provider of claims: ask it."""
    site = Bureau()
    for claims in (distributed(endpoint=ENDPOINT), distributed(JWT=SAID)):
        wait(door.clear_discovery_cache())
        found = wait(door.get_external_claims(claims, [provider], site))
        yield found.claims if found.is_successful else found.error, found.failures
    yield list(site.requests)


BUREAU = p.ClaimsProvider(ISSUER, PROVIDER_CONFIG, (ENDPOINT,))

# ---- introspection

ENDPOINT_OF_TOKENS = f"{ISSUER}/introspect"
INTROSPECTOR = {"address": ENDPOINT_OF_TOKENS, "client_id": "app"}


def introspected(door: Any, introspector: Any) -> Any:
    """Use an introspector: ask about an active and an unknown token, some time apart, through a client of its own."""
    answers = [wait(introspector.introspect(given)) for given in ("t", "u", "t", "u", "t")]
    return answers, introspector.cache_info()


ANSWERS: dict[str, Case] = {
    "BackChannelLogoutReceiver": Case(
        KNOWN | {"http_client": Made(Site)},
        LOGOUT_CHANGES
        | {
            "store": Remembering(),
            "accept_logout_tokens_without_exp": True,
            "validator": Made(validator_of_tokens),
            "revoked_for": When(50.0, {"validator": Made(validator_of_tokens)}),
            "http_client": Made(lambda: Site("second")),
        },
        received,
    ),
    "BackChannelLogoutReceiver.receive": Case(
        {"body": urlencode({"logout_token": LOGOUT_TOKEN}), "content_type": FORM},
        {"body": "logout_token=x", "content_type": "text/plain"},
        of=receiver,
    ),
    "LogoutTokenPolicy": Case(
        KNOWN,
        LOGOUT_CHANGES
        | {
            "store": Remembering(),
            "accept_logout_tokens_without_exp": When(True, {"store": Remembering()}),
        },
        judging,
    ),
    "validate_logout_token": Case(
        KNOWN | {"logout_token": LOGOUT_TOKEN, "http_client": Made(Site)},
        LOGOUT_CHANGES
        | {
            "logout_token": token("JWT", **LOGOUT | {"sub": "eve"}),
            "http_client": Made(lambda: Site("second")),
            "store": Remembering(),
            "accept_logout_tokens_without_exp": When(
                True, {"logout_token": LOGOUT_TOKENS[2], "store": Made(MemoryStore)}
            ),
        },
    ),
    "SignedResponsePolicy": Case(
        KNOWN,
        {"token_validation_config": OTHER_CONFIG, "disco_doc_address": OTHER, "decryption": DECRYPTION},
        lambda door, policy: told(door, policy),
    ),
    "SessionCheck.verdict": Case(
        {"sender": ISSUER, "data": "unchanged"},
        {"sender": OTHER, "data": "changed"},
        of=lambda door: p.build_session_check(f"{ISSUER}/frame", "app", "a.b"),
    ),
    "process_jarm_response": Case(
        {"response": f"{URL}?response={JARM}", "client_id": "app", "disco_doc_address": ISSUER}
        | {"http_client": Made(Site)},
        {
            "response": f"{URL}?response={LATE}",
            "client_id": "other",
            "disco_doc_address": OTHER,
            "issuer": OTHER,
            "jwks": OTHER_KEYS,
            "algorithms": ["RS256"],
            "require_https": When(False, {**HTTP_JARM, "http_client": Made(lambda: HTTP_SITE)}),
            "leeway": When(60.0, {"response": f"{URL}?response={LATE}"}),
            "http_client": Made(lambda: Site("second")),
            "is_jwt": When(True, {"response": JARM}),
            "decryption": DECRYPTION,
            "backchannel": INSIDE,
        },
    ),
    "validate_ciba_push": Case(
        {"notification": PUSH, "claims": AUTH_REQ_ID | {"at_hash": SHAKE}},
        {"notification": replace(PUSH, auth_req_id="b"), "claims": AUTH_REQ_ID, "crv": "Ed448"},
    ),
    "wait_for_ciba_token": Case(
        {"request": CIBA, "authentication": ASKED, "http_client": Made(Patient)},
        {
            "request": replace(CIBA, client_id="other"),
            "authentication": replace(ASKED, expires_at=NOW + 3.0),
            "http_client": Made(lambda: Patient("second")),
        },
    ),
    "wait_for_device_token": Case(
        {"request": DEVICE_REQUEST, "authorization": DEVICE, "http_client": Made(Patient)},
        {
            "request": replace(DEVICE_REQUEST, client_id="other"),
            "authorization": replace(DEVICE, expires_at=NOW + 0.5),
            "http_client": Made(lambda: Patient("second")),
        },
    ),
    "check_sender": Case(
        {"request": presented(**ATH), "presented": PROOF_TOKEN, "claims": BOUND, "dpop": Made(validator)},
        {
            "request": presented(url=OTHER, **ATH),
            "presented": BEARER,
            "claims": {},
            "dpop": None,
            "proxies": p.ProxyPolicy(external_url=OTHER),
            "require_binding": When(True, {"claims": {}, "presented": BEARER}),
        },
    ),
    "InboundRequest": Case({"method": "GET", "url": API}, FACTS, seen),
    "InboundRequest.build": Case({"method": "GET", "url": API}, FACTS, seen, lambda door: p.InboundRequest),
    "DPoPValidator.behind": Case(
        {"proxies": p.ProxyPolicy()},
        {"proxies": p.ProxyPolicy(external_url=OTHER)},
        lambda door, made: made.check(presented(), wall=float(NOW)),
        lambda door: validator(),
    ),
    "DPoPValidator.challenge_nonce": Case(
        {"wall": float(NOW)}, {"wall": NOW + 900.0}, of=lambda door: p.DPoPValidator(nonces=NONCES)
    ),
    "ClaimsProvider": Case(
        {"issuer": ISSUER, "token_validation_config": PROVIDER_CONFIG, "endpoints": (ENDPOINT,)},
        {
            "issuer": OTHER,
            "token_validation_config": OTHER_CONFIG,
            "endpoints": (),
            "access_token": "t",
            "disco_doc_address": f"{ISSUER}/elsewhere/.well-known/openid-configuration",
        },
        lambda door, provider: list(asked(door, provider)),
    ),
    "get_external_claims": Case(
        {"claims": distributed(endpoint=ENDPOINT), "providers": [BUREAU], "http_client": Made(Bureau)},
        {
            "claims": distributed(JWT=SAID),
            "providers": [],
            "http_client": Made(lambda: Bureau("second")),
        },
    ),
    "TokenIntrospector": Case(
        INTROSPECTOR | {"http_client": Made(lambda: Tokens())},
        {
            "address": f"{ISSUER}/other",
            "client_id": "other",
            "max_age": 0,
            "negative_max_age": 0,
            "max_entries": 1,
            "validator": Made(lambda: validator_of_tokens(revoked=True)),
            "http_client": Made(lambda: Tokens("second")),
            "request": {"token_type_hint": "access_token"},
        },
        introspected,
    ),
    "TokenIntrospector.introspect": Case(
        {"token": "t"}, {"token": "u"}, of=lambda door: door.TokenIntrospector(**INTROSPECTOR, http_client=Tokens())
    ),
    "TokenIntrospector.invalidate": Case(
        {"token": "t"}, {"token": "u"}, of=lambda door: asking(door), left=lambda made: made.cache_info()
    ),
}


def told(door: Any, policy: Any) -> Any:
    """Use a policy of signed answers: ask for one about the user, and for an encrypted one."""
    found = []
    for body in (USERINFO, encrypted(USERINFO)):
        request = p.UserInfoRequest(f"{ISSUER}/userinfo", "t", signed_response=policy)
        found.append(door.get_userinfo(request, About(body)))
    return found


USERINFO = sign_compact({"iss": ISSUER, "aud": "app", "sub": "ada"}, KEY)


class About(Site):
    """A provider that tells about the user in a JWT."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.body_of_userinfo = body

    def __call__(self, request: Any) -> Any:
        reply = super().__call__(request)
        if not request.url.endswith("/userinfo"):
            return reply
        return replace(reply, headers=(("content-type", "application/jwt"),), body=self.body_of_userinfo.encode())


class Tokens(Recorder):
    """A provider to which the token ``t`` is active, and time passes while it thinks."""

    def __init__(self, name: str = "first") -> None:
        super().__init__(name, active=True, sub="ada")

    def __call__(self, request: Any) -> Any:
        reply = super().__call__(request)
        return reply if b"token=t" in request.body else replace(reply, body=b'{"active": false}')


def asking(door: Any) -> Any:
    """Return an introspector that was asked about two tokens."""
    made = door.TokenIntrospector(**INTROSPECTOR, http_client=Tokens())
    for each in ("t", "w"):
        wait(made.introspect(each))
    return made
