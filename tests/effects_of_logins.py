"""For login clients, FAPI 2.0 and what ends a login: each parameter and another value, over whole logins."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import py_identity_model as p
from effects import Case, Made, When, wait
from effects_of_functions import CERTIFICATE, ISSUER, KEY, KEY_PEM, NOW, URL, answer
from effects_of_objects import CLIENT_CHANGES, IDENTITY, JSON, OTHER, OTHER_KEY, Site, token
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.jose.jwe import encrypt_compact
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.login.jar import build_request_object
from py_identity_model.stores import MemoryStore

PROVIDER: dict[str, Any] = {
    "userinfo_endpoint": f"{ISSUER}/userinfo",
    "introspection_endpoint": f"{ISSUER}/introspect",
    "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "tls_client_auth"],
    "dpop_signing_alg_values_supported": ["ES256", "PS256"],
    "code_challenge_methods_supported": ["S256"],
    "response_modes_supported": ["query", "fragment", "form_post", "jwt", "query.jwt"],
    "authorization_signing_alg_values_supported": ["ES256"],
    "request_object_signing_alg_values_supported": ["ES256"],
    "introspection_signing_alg_values_supported": ["ES256"],
    "authorization_response_iss_parameter_supported": False,
    "tls_client_certificate_bound_access_tokens": True,
}
FAPI_PROVIDER = PROVIDER | {"authorization_response_iss_parameter_supported": True}
#: What the frozen randomness makes.
NONCE = STATE = "r" * 42


def encrypted(jwt: str) -> str:
    """Return a token encrypted to the client."""
    return encrypt_compact(jwt, CERTIFICATE, alg="RSA-OAEP-256", enc="A256GCM", cty="JWT")


class LoginSite(Site):
    """A provider that grants tokens, and tells about the user."""

    def __init__(self, name: str = "first", id_token: str = "", userinfo: str | None = None, **members: Any) -> None:
        super().__init__(name, **PROVIDER | members)
        self.id_token, self.userinfo = id_token, userinfo

    def __call__(self, request: Request) -> Reply:
        where = request.url.partition("?")[0]
        if not where.endswith(("/token", "/userinfo")):
            return super().__call__(request)
        self.requests.append(request)
        bound = any(name.lower() == "dpop" for name, _ in request.headers)
        granted = {"access_token": "t", "token_type": "DPoP" if bound else "Bearer", "expires_in": 60}
        if where.endswith("/token"):
            return Reply(200, JSON, json.dumps(granted | {"id_token": self.id_token}).encode(), request.url)
        if self.userinfo is None:
            return Reply(200, JSON, b'{"sub": "ada"}', request.url)
        return Reply(200, (("content-type", "application/jwt"),), self.userinfo.encode(), request.url)


def identity(**changes: Any) -> str:
    """Return an ID token for the logins of this file."""
    return token("JWT", **IDENTITY | {"nonce": NONCE} | changes)


#: What a provider may send: an ID token for each thing that a client can be asked to accept.
ID_TOKENS = {
    "good": identity(),
    "several audiences": identity(aud=["app", "api"], azp="app"),
    "another party": identity(azp="ada"),
    "a minute too late": identity(exp=NOW - 40),
    "of a tenant": identity(iss=f"{ISSUER}/a"),
    "encrypted": encrypted(identity()),
}
USERINFO = sign_compact({"iss": ISSUER, "aud": "app", "sub": "ada"}, KEY)
USERINFOS = {"signed": USERINFO, "encrypted": encrypted(USERINFO)}
RESPONSE = {"iss": ISSUER, "aud": "app", "exp": NOW + 60, "code": "c", "state": STATE}
JARM = sign_compact(RESPONSE, KEY)
C_HASH = b64url_encode(hashlib.sha256(b"c").digest()[:16])
CALLBACKS = {
    "with iss": f"{URL}?code=c&state={STATE}&iss={ISSUER}",
    "without iss": f"{URL}?code=c&state={STATE}",
    "in a JWT": f"{URL}?response={JARM}",
    "in an encrypted JWT": f"{URL}?response={encrypted(JARM)}",
    "with an ID token": f"{URL}#code=c&state={STATE}&iss={ISSUER}&id_token={identity(c_hash=C_HASH)}",
}


def ended(door: Any, client: Any, site: LoginSite, callback: str = CALLBACKS["with iss"]) -> Any:
    """Begin and end a login, ask about the user, and tell what came of it and what was sent."""
    site.requests.clear()
    for clear in (door.clear_discovery_cache, door.clear_jwks_cache):
        wait(clear())
    started = wait(door.begin_login(client, None, site))
    if not started.is_successful:
        return started, list(site.requests)
    login = wait(door.complete_login(client, callback, started.transaction, site, used=MemoryStore()))
    about = wait(door.get_login_userinfo(client, login, site)) if login.is_successful else None
    return started, login, about, list(site.requests)


def lived(**members: Any) -> Any:
    """Return a use of a login client: logins with everything that a provider may send."""

    def use(door: Any, client: Any) -> Any:
        sites = [LoginSite(id_token=jwt, **members) for jwt in ID_TOKENS.values()]
        sites += [LoginSite(id_token=ID_TOKENS["good"], userinfo=jwt, **members) for jwt in USERINFOS.values()]
        found = [ended(door, client, site) for site in sites]
        return found + [ended(door, client, sites[0], callback) for callback in CALLBACKS.values()]

    return use


DECRYPTION = p.Decryption(KEY_PEM)
IN_A_JWT = {"response_mode": "jwt"}
AFTERWARDS: dict[str, Any] = {
    "id_token_signed_response_alg": "RS256",
    "id_token_decryption": DECRYPTION,
    "authorization_signed_response_alg": When("RS256", IN_A_JWT),
    "authorization_decryption": When(DECRYPTION, IN_A_JWT),
    "userinfo_signed_response_alg": "ES256",
    "userinfo_decryption": When(DECRYPTION, {"userinfo_signed_response_alg": "ES256"}),
    "trusted_audiences": ["api"],
    "authorized_parties": ["ada"],
    "require_iss": True,
    "require_s_hash": When(True, {"response_type": "code id_token"}),
    "leeway": 60.0,
}
CLIENT: dict[str, Any] = {
    "issuer": ISSUER,
    "client_id": "app",
    "redirect_uri": URL,
    "id_token_signed_response_alg": "ES256",
}
AUTH_KEY = p.SigningKey.generate("ES256", kid="auth")
DPOP = p.generate_dpop_key()
FAPI = CLIENT | {
    "private_key_jwt": p.PrivateKeyJwt(AUTH_KEY),
    "dpop_key": DPOP,
    "profile": p.FAPI2Profile(),
}
PROFILE = p.FAPI2Profile
SIGNING = p.RequestSigning(p.SigningKey.generate("ES256", kid="request"))
FAPI_CHANGES: dict[str, Any] = {
    **{name: CLIENT_CHANGES[name] for name in ("issuer", "client_id", "redirect_uri", "scope", "response_type")},
    **{name: CLIENT_CHANGES[name] for name in ("response_mode", "discovery_address", "discovery_policy")},
    **{name: CLIENT_CHANGES[name] for name in ("backchannel", "issuer_template", "authorization_parameters")},
    **AFTERWARDS,
    "require_s_hash": True,
    "client_secret": "s" * 64,
    "private_key_jwt": p.PrivateKeyJwt(OTHER_KEY),
    "mtls": p.MtlsClientAuth("one.pem", "one.key"),
    "attestation": lambda _: ("a.b.c", "d.e.f"),
    "client_assertion": token(),
    "auth_method": "client_secret_basic",
    "client_secret_jwt_algorithm": "HS512",
    "dpop_key": p.generate_dpop_key(),
    "pushed": False,
    "request_signing": SIGNING,
    "publish_request": When(lambda value: "https://app.example.com/r", {"request_signing": SIGNING}),
    "require_iss": False,
    "headers": {"X-More": "1"},
    "allow_insecure_http": True,
    "profile": PROFILE(signed_requests=True),
}


def metadata(**members: Any) -> p.DiscoveryDocumentResponse:
    """Return the metadata of a provider that keeps to the profile."""
    known = {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "authorization_endpoint": f"{ISSUER}/authorize",
        "pushed_authorization_request_endpoint": f"{ISSUER}/par",
        "response_types_supported": ["code"],
    }
    return p.DiscoveryDocumentResponse(True, **known | FAPI_PROVIDER | members)


def profile(door: Any) -> p.FAPI2Profile:
    """Return a profile that has seen no client yet."""
    return PROFILE()


def fapi_client(**changes: Any) -> p.FAPI2LoginClient:
    """Return a client under a profile of its own."""
    return p.FAPI2LoginClient(**FAPI | {"profile": PROFILE()} | changes)


PUSHED = p.PushedAuthorizationResponse(True, request_uri="urn:x", expires_in=60)
REFUSED = p.PushedAuthorizationResponse(False, error="no")
TOKEN_REQUEST = p.ClientCredentialsTokenRequest(
    f"{ISSUER}/token", "app", private_key_jwt=p.PrivateKeyJwt(AUTH_KEY), issuer=ISSUER, dpop_key=DPOP
)
PAR = {"redirect_uri": URL, "state": STATE, "nonce": NONCE, "code_challenge": "c" * 43}
PUSH = p.PushedAuthorizationRequest(
    f"{ISSUER}/par",
    "app",
    private_key_jwt=p.PrivateKeyJwt(AUTH_KEY),
    issuer=ISSUER,
    request_object=build_request_object(
        {"client_id": "app", "response_type": "code", "code_challenge_method": "S256", **PAR}.items(),
        SIGNING,
        ISSUER,
        float(NOW),
    ),
    **PAR,
)
GRANTED = p.ClientCredentialsTokenResponse(True, access_token="t", token_type="DPoP", token={})
RESOURCE = Request("GET", "https://api.example.com/x", (("Authorization", "DPoP t"),))
STRICT = p.TokenValidationConfig(True, audience="api", algorithms=["ES256"])


def judged(door: Any, made: Any) -> Any:
    """Use a profile: what it says of a client, a provider and an answer that keep to the least of it."""
    found = []
    for function, given in (
        (made.check_client, p.LoginClient(**{k: v for k, v in FAPI.items() if k != "profile"} | {"pushed": True})),
        (made.check_callback, answer(CALLBACKS["with iss"])),
        (made.check_request, introspection()),
    ):
        try:
            found.append(function(given, *((ISSUER,) if function == made.check_callback else ())))
        except p.PyIdentityModelException as error:
            found.append((error, error.details))
    return found


def introspection() -> p.TokenIntrospectionRequest:
    """Return a request for introspection."""
    return p.TokenIntrospectionRequest(
        f"{ISSUER}/introspect", "t", "app", private_key_jwt=p.PrivateKeyJwt(AUTH_KEY), issuer=ISSUER
    )


# ---- what ends a login


FIRST = p.LoginClient(**CLIENT)
STARTED_AT = {"created_at": float(NOW), "expires_at": NOW + 600.0}
TRANSACTION = p.LoginTransaction(
    **{name: CLIENT[name] for name in ("issuer", "client_id", "redirect_uri")},
    response_type="code",
    response_mode="query",
    scope="openid",
    state=STATE,
    nonce=NONCE,
    code_verifier="v" * 43,
    **STARTED_AT,
)


def granting(name: str = "first", **changes: Any) -> LoginSite:
    """Return a provider whose grants bring an ID token."""
    return LoginSite(name, id_token=identity(**changes))


def holding() -> MemoryStore:
    """Return a store that has the login."""
    store = MemoryStore()
    p.begin_login(FIRST, p.LoginRequest(binding="cookie"), granting(), store=store)
    return store


def using() -> MemoryStore:
    """Return a memory in which a login was completed already."""
    memory = MemoryStore()
    p.complete_login(FIRST, CALLBACKS["with iss"], TRANSACTION, granting(), used=memory)
    return memory


LOGIN = {"client": FIRST, "http_client": Made(granting)}
POSTED = [("code", "c"), ("state", STATE), ("iss", ISSUER)]
OLD = {"iss": ISSUER, "sub": "ada", "aud": "app", "iat": NOW, "nonce": NONCE}
LOGGED_IN = p.LoginResponse(True, claims=OLD, access_token="t", token_type="Bearer", token={})
DEVICE = p.DeviceAuthorizationResponse(
    True,
    device_code="d",
    user_code="u",
    verification_uri=URL,
    expires_in=600,
    expires_at=NOW + 600.0,
    interval=1,
    asked_at=float(NOW),
)
LOGINS: dict[str, Case] = {
    "LoginClient": Case(CLIENT, CLIENT_CHANGES | AFTERWARDS, lived()),
    "LoginClient.check_pushed_response": Case(
        {"response": PUSHED}, {"response": REFUSED}, of=lambda door: p.LoginClient(**CLIENT)
    ),
    "LoginClient.credentials": Case(
        {"metadata": metadata()},
        {"metadata": metadata(token_endpoint_auth_methods_supported=["none"])},
        of=lambda door: p.LoginClient(**CLIENT),
    ),
    "FAPI2LoginClient": Case(FAPI, FAPI_CHANGES, lived(**FAPI_PROVIDER)),
    "FAPI2LoginClient.check_pushed_response": Case(
        {"response": PUSHED}, {"response": REFUSED}, of=lambda door: fapi_client()
    ),
    "FAPI2LoginClient.credentials": Case(
        {"metadata": metadata()}, {"metadata": metadata(issuer=OTHER)}, of=lambda door: fapi_client()
    ),
    "FAPI2Profile": Case({}, {"signed_requests": True, "signed_responses": True, "signed_introspection": True}, judged),
    "FAPI2Profile.check_access_token": Case({"claims": {"cnf": {"jkt": "x"}}}, {"claims": {}}, of=profile),
    "FAPI2Profile.check_authorization_url": Case(
        {"url": f"{ISSUER}/authorize?a=b&client_id=app&request_uri=urn:x", "authorization_endpoint": f"{ISSUER}?a=c"},
        {"url": f"{ISSUER}/authorize?scope=openid", "authorization_endpoint": f"{ISSUER}/authorize"},
        of=profile,
    ),
    "FAPI2Profile.check_callback": Case(
        {"response": answer(CALLBACKS["with iss"]), "issuer": ISSUER},
        {"response": answer(CALLBACKS["without iss"]), "issuer": OTHER},
        of=profile,
    ),
    "FAPI2Profile.check_client": Case(
        {"client": fapi_client()}, {"client": p.LoginClient(**CLIENT)}, of=profile, left=lambda made: made._bound
    ),
    "FAPI2Profile.check_provider": Case(
        {"metadata": metadata(pushed_authorization_request_endpoint=None)},
        {
            "metadata": metadata(),
            "client": fapi_client(issuer=OTHER),
            "uses": "client_credentials",
        },
        of=profile,
    ),
    "FAPI2Profile.check_pushed_response": Case({"response": PUSHED}, {"response": REFUSED}, of=profile),
    "FAPI2Profile.check_request": Case(
        {"request": PUSH, "wall": float(NOW)}, {"request": TOKEN_REQUEST, "wall": NOW + 9000.0}, of=profile
    ),
    "FAPI2Profile.check_resource_request": Case(
        {"request": RESOURCE}, {"request": replace(RESOURCE, url=f"{RESOURCE.url}?access_token=t")}, of=profile
    ),
    "FAPI2Profile.check_token_response": Case(
        {"request": TOKEN_REQUEST, "response": replace(GRANTED, token_type="Bearer")},
        {"request": introspection(), "response": GRANTED},
        of=profile,
    ),
    "FAPI2Profile.check_validation": Case(
        {"config": STRICT}, {"config": replace(STRICT, algorithms=["RS256"])}, of=profile
    ),
    "LoginTransaction.from_dict": Case(
        {"values": TRANSACTION.to_dict()},
        {"values": replace(TRANSACTION, state="other").to_dict()},
        of=lambda door: p.LoginTransaction,
    ),
    "LoginTransaction.from_string": Case(
        {"text": TRANSACTION.to_string()},
        {"text": replace(TRANSACTION, state="other").to_string()},
        of=lambda door: p.LoginTransaction,
    ),
    "complete_login": Case(
        LOGIN | {"callback": CALLBACKS["with iss"], "transaction": TRANSACTION, "used": Made(MemoryStore)},
        {
            "client": p.LoginClient(**CLIENT | {"client_id": "other"}),
            "callback": CALLBACKS["without iss"].replace("code=c", "code=d"),
            "transaction": replace(TRANSACTION, state="other"),
            "http_client": Made(lambda: granting("second")),
            "store": When(Made(holding), {"transaction": None, "binding": "cookie"}),
            "binding": When("cookie", {"transaction": None, "store": Made(holding)}),
            "response_mode": When("form_post", {"callback": POSTED}),
            "used": Made(using),
        },
    ),
    "refresh_login": Case(
        LOGIN | {"refresh_token": "r", "claims": OLD},
        {
            "client": p.LoginClient(**CLIENT | {"client_id": "other"}),
            "refresh_token": "other",
            "claims": OLD | {"sub": "eve"},
            "http_client": Made(lambda: granting("second")),
            "scope": "openid email",
        },
    ),
    "complete_device_login": Case(
        LOGIN | {"started": DEVICE},
        {
            "client": p.LoginClient(**CLIENT | {"client_id": "other"}),
            "started": replace(DEVICE, device_code="other"),
            "tokens": p.DeviceTokenResponse(
                True, access_token="t", token_type="Bearer", id_token=identity(sub="eve", nonce=None), token={}
            ),
            "http_client": Made(lambda: granting("second")),
            "expected_sub": "eve",
            "extra": {"more": "1"},
        },
    ),
    "get_login_userinfo": Case(
        LOGIN | {"login": LOGGED_IN},
        {
            "client": replace(FIRST, userinfo_signed_response_alg="ES256"),
            "login": replace(LOGGED_IN, access_token="u"),
            "http_client": Made(lambda: granting("second")),
            "expected_sub": "eve",
        },
    ),
}
