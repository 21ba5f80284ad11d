"""For the smaller public objects, their methods, and logins without a browser: each parameter and another value."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import py_identity_model as p
from effects import Case, Made, When, shown, wait
from effects_of_functions import ISSUER, KEY, KEY_PEM, NOW, URL, inbound
from effects_of_objects import CONFIG, OTHER, SITE, Site, judged, stores, token

ALL = {"issuer": ISSUER, "client_id": "app", "redirect_uri": URL, "client_secret": "s" * 64}
CLIENT, OTHER_CLIENT = p.LoginClient(**ALL), p.LoginClient(**ALL | {"client_id": "other"})
HINT = p.CibaLoginRequest(login_hint="ada")
GRANTED: dict[str, Any] = {
    "scope": "openid email",
    "resource": "https://api.example.com",
    "authorization_details": [{"type": "x"}],
    "extra": {"more": "1"},
}


def begun(function: str) -> Any:
    """Return a use of a request: begin a login with it."""

    def use(door: Any, request: Any) -> Any:
        SITE.requests.clear()
        wait(door.clear_discovery_cache())
        return getattr(door, function)(CLIENT, request, SITE), list(SITE.requests)

    return use


def person() -> Any:
    """Return what makes a principal."""
    claims = [p.Claim("role", "auditor"), p.Claim("name", "Ada")]
    return lambda door: p.ClaimsPrincipal(p.ClaimsIdentity(claims, "Bearer", "name", "role"))


def identity(door: Any) -> Any:
    """Return an identity."""
    return p.ClaimsIdentity([p.Claim("role", "auditor"), p.Claim("name", "Ada")], "Bearer", "name", "role")


def told(*names: str) -> Any:
    """Return a use that reads these attributes, and calls those that are methods."""

    def use(door: Any, value: Any) -> Any:
        return [each() if callable(each := getattr(value, name)) else each for name in names]

    return use


def refusal(door: Any, policy: Any) -> Any:
    """Use a policy of challenges: refuse with it."""
    return p.build_refusal(p.MissingCredentialsException("no"), policy)


def seen(door: Any, policy: Any) -> Any:
    """Use a policy of proxies: tell what a client asked for."""
    forwarded = (("X-Forwarded-Host", "a.example"), ("X-Forwarded-Proto", "https"), ("Forwarded", "host=b.example"))
    return policy.external(inbound("http://10.0.0.7/x", *forwarded, peer="10.0.0.1"))


class Knows:
    """Something that knows what its ID tokens are, and validates them."""

    def __init__(self, policy: p.IdTokenPolicy, door: Any) -> None:
        self.id_token_policy, self.door = policy, door

    def validate(self, given: str) -> Any:
        """Validate an ID token."""
        return self.door.validate_id_token(given, self, http_client=SITE)


IDENTITIES = [
    token("JWT", aud=aud, azp=azp, scope=None) for aud, azp in (("app", None), (["app", "api"], "app"), ("app", "ada"))
]
TEMPLATE = p.IssuerTemplate(f"{ISSUER}/{{name}}", allowed={"a"})
TENANT = Site(issuer=f"{ISSUER}/a")
DPOP = p.generate_dpop_key()
FAPI_CLIENT = p.FAPI2LoginClient(
    issuer=ISSUER,
    client_id="app",
    redirect_uri=URL,
    private_key_jwt=p.PrivateKeyJwt(KEY),
    dpop_key=DPOP,
    profile=p.FAPI2Profile(),
)
SIGNED_CLIENT = p.LoginClient(**ALL, id_token_signed_response_alg="ES256")
STARTED = p.BackchannelAuthenticationResponse(
    True, auth_req_id="a", expires_in=600, expires_at=NOW + 600.0, asked_at=float(NOW), scope="openid"
)
CAME = p.CibaTokenResponse(
    True, access_token="t", token_type="Bearer", id_token=token("JWT", aud="app", scope=None), token={}
)
FOUND = {"claim_type": "name"}
REQUIREMENT = p.AuthenticationRequirement
REPLY = p.Reply(200, (("a", "1"),))


def exchanged(door: Any, identity: p.WorkloadIdentity) -> Any:
    """Use an identity: have a client ask for a token with it, and return what was sent."""
    site = Site()
    client = door.OAuthClient(ISSUER, identity=identity, http_client=site)
    with suppress(p.PyIdentityModelException):
        wait(client.token(scope="orders"))
    return list(site.requests)


VALUES: dict[str, Case] = {
    "CibaLoginRequest": Case(
        {"login_hint": "ada"},
        GRANTED
        | {
            "login_hint": "eve",
            "login_hint_token": When("t", {"login_hint": None}),
            "id_token_hint": When(token("JWT", aud="app"), {"login_hint": None}),
            "binding_message": "x",
            "user_code": "x",
            "acr_values": "gold",
            "requested_expiry": 60,
            "client_notification_token": "n" * 32,
        },
        begun("begin_ciba"),
    ),
    "DeviceLoginRequest": Case({}, GRANTED, begun("begin_device_login")),
    "begin_ciba": Case(
        {"client": CLIENT, "request": HINT, "http_client": SITE},
        {
            "client": OTHER_CLIENT,
            "request": p.CibaLoginRequest(login_hint="eve"),
            "http_client": Site("second"),
        },
    ),
    "begin_device_login": Case(
        {"client": CLIENT, "http_client": SITE},
        {
            "client": OTHER_CLIENT,
            "request": p.DeviceLoginRequest(scope="openid email"),
            "http_client": Site("second"),
        },
    ),
    "AuthenticationRequirement": Case(
        {"max_age": 60},
        {"acr_values": ("gold",), "max_age": 600},
        lambda door, requirement: p.check_authentication({"auth_time": NOW - 100}, requirement, wall=float(NOW)),
    ),
    "ChallengePolicy": Case(
        {},
        {
            "schemes": When(("Bearer", "DPoP"), {"dpop_algorithms": ("ES256",)}),
            "realm": "x",
            "resource_metadata": "https://a.example/x",
            "dpop_algorithms": When(("PS256",), {"schemes": ("DPoP",), "dpop_algorithms": ("ES256",)}),
        },
        refusal,
    ),
    "Challenge.get": Case(
        {"name": "realm"}, {"name": "error"}, of=lambda door: p.parse_challenges(['Bearer realm="x"'])[0]
    ),
    "Challenge.has_scheme": Case(
        {"scheme": "bearer"}, {"scheme": "DPoP"}, of=lambda door: p.parse_challenges(['Bearer realm="x"'])[0]
    ),
    "Claim": Case(
        {"claim_type": "a", "value": "b"},
        {"claim_type": "x", "value": "x", "value_type": "x", "issuer": "x", "original_issuer": "x"},
        told("claim_type", "value", "value_type", "issuer", "original_issuer"),
    ),
    "ClaimsIdentity": Case(
        {"claims": [p.Claim("name", "Ada"), p.Claim("role", "x"), p.Claim("other", "Eve")], "name_type_claim": "name"},
        {"claims": [], "authentication_type": "x", "name_type_claim": "other", "role_type_claim": "role"},
        lambda door, value: (value.name, value.is_authenticated, value.has_role("x")),
    ),
    "ClaimsIdentity.find_all": Case(FOUND, {"claim_type": "role"}, of=identity),
    "ClaimsIdentity.find_first": Case(FOUND, {"claim_type": "role"}, of=identity),
    "ClaimsIdentity.has_role": Case({"role": "auditor"}, {"role": "admin"}, of=identity),
    "ClaimsPrincipal": Case(
        {},
        {"identity": identity(None), "claims": [p.Claim("a", "b")]},
        lambda door, who: (who.find_all("name"), who.find_all("a")),
    ),
    "ClaimsPrincipal.find_all": Case(FOUND, {"claim_type": "role"}, of=person()),
    "ClaimsPrincipal.find_first": Case(FOUND, {"claim_type": "role"}, of=person()),
    "ClaimsPrincipal.has_claim": Case(FOUND, {"claim_type": "x", "value": "Eve"}, of=person()),
    "ClaimsPrincipal.is_in_role": Case({"role": "auditor"}, {"role": "admin"}, of=person()),
    "Principal.is_in_role": Case({"role": "auditor"}, {"role": "admin"}, of=person()),
    "ProxyPolicy": Case(
        {"trusted_proxies": ("10.0.0.0/8",)},
        {"external_url": OTHER, "trusted_proxies": (), "forwarded": "forwarded"},
        seen,
    ),
    "ProxyPolicy.external": Case(
        {"request": inbound()}, {"request": inbound("https://b.example/x")}, of=lambda door: p.ProxyPolicy()
    ),
    "ProxyPolicy.trusts": Case(
        {"peer": "10.0.0.1"}, {"peer": "11.0.0.1"}, of=lambda door: p.ProxyPolicy(trusted_proxies=("10.0.0.1",))
    ),
    "InboundRequest.header_values": Case({"name": "authorization"}, {"name": "dpop"}, of=lambda door: inbound()),
    "NonceStore.get": Case({"url": URL}, {"url": OTHER}, of=lambda door: remembering()),
    "NonceStore.remember": Case(
        {"url": URL, "nonce": "n"}, {"url": OTHER, "nonce": "m"}, lambda door, _: STORE.get(URL), lambda door: STORE
    ),
    "Reply.header": Case(
        {"name": "a"}, {"name": "b", "default": When("x", {"name": "b"})}, of=lambda door: p.Reply(200, (("a", "1"),))
    ),
    "Reply.header_values": Case({"name": "a"}, {"name": "b"}, of=lambda door: p.Reply(200, (("a", "1"),))),
    "Secret": Case({"value": "a"}, {"value": "b"}, lambda door, secret: secret.expose()),
    "WorkloadIdentity": Case(
        {"token": "eyJ"},
        {
            "token": "eyJ2",
            "grant": "jwt_bearer",
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "requested_token_type": None,
            "token_endpoint": "https://id.example.com/other",
        },
        exchanged,
    ),
    "AuthorizationTarget": Case(
        {"issuer": ISSUER, "resource": URL, "client_id": "app"},
        {"issuer": OTHER, "resource": "https://mcp.example.com/mcp", "client_id": "other"},
        lambda door, target: tuple(target),
    ),
    "SecretFile": Case({"path": "one.key"}, {"path": "other.key"}, lambda door, file: shown(file())),
    "FAPI2LoginClient.validation_config": Case(
        {"alg": "ES256"},
        {"alg": "PS256"},
        told("algorithms"),
        lambda door: FAPI_CLIENT,
    ),
    "LoginClient.check_scope": Case(
        {"scope": "openid"}, {"scope": "email"}, of=lambda door: replace(CLIENT, issuer_template=TEMPLATE)
    ),
    "FAPI2LoginClient.check_scope": Case(
        {"scope": "openid"}, {"scope": "email"}, of=lambda door: replace(FAPI_CLIENT, issuer_template=TEMPLATE)
    ),
    "Stores.carried_by": Case({"carrier": None}, {"carrier": "other"}, told("carrier"), lambda door: stores()),
    "IssuerTemplate.trust": Case({"issuer": f"{ISSUER}/a"}, {"issuer": f"{ISSUER}/b"}, of=lambda door: TEMPLATE),
    "IssuerTemplate.value": Case({"issuer": f"{ISSUER}/a"}, {"issuer": f"{ISSUER}/b"}, of=lambda door: TEMPLATE),
    "IssuerTemplate": Case(
        {"template": f"{ISSUER}/{{name}}", "allowed": {"a"}},
        {
            "template": f"{OTHER}/{{name}}",
            "allowed": {"b"},
            "trust_every_value_of_the_template": When(True, {"allowed": None}),
            "claim": "sub",
            "audience": "other",
            "algorithms": ["RS256"],
            "jwks_uri": f"{ISSUER}/keys",
            "discovery_address": f"{OTHER}/metadata",
            "discovery_policy": p.DiscoveryPolicy(require_public_addresses=True),
            "backchannel": "https://inside.example.com",
        },
        lambda door, template: judged(token(iss=f"{ISSUER}/a"), site=TENANT)(
            door, p.TokenValidator(template, "api", http_client=TENANT, stores=stores())
        ),
    ),
    "IdTokenPolicy": Case(
        {"token_validation_config": p.TokenValidationConfig(True, audience="app", algorithms=["ES256"])}
        | {"disco_doc_address": ISSUER},
        {
            "token_validation_config": CONFIG,
            "disco_doc_address": OTHER,
            "decryption": p.Decryption(p.EncryptionKey.from_pem(KEY_PEM)),
            "trusted_audiences": ["api"],
            "authorized_parties": ["ada"],
        },
        lambda door, policy: judged(*IDENTITIES)(door, Knows(policy, door)),
    ),
    "complete_ciba": Case(
        {"client": SIGNED_CLIENT, "started": STARTED, "came": CAME, "http_client": Made(Site)},
        {
            "client": p.LoginClient(**ALL | {"client_id": "other", "id_token_signed_response_alg": "ES256"}),
            "started": replace(STARTED, asked_at=NOW + 500.0),
            "came": replace(CAME, id_token=token("JWT", aud="app", sub="eve", scope=None)),
            "http_client": Site("second"),
            "expected_sub": "eve",
            "acr_values": "gold",
        },
    ),
    "LoginClient.validation_config": Case({"alg": "ES256"}, {"alg": "RS256"}, told("algorithms"), lambda door: CLIENT),
    "JsonWebKey.from_json": Case(
        {"json_str": '{"kty": "oct", "k": "AAAA"}'},
        {"json_str": '{"kty": "oct", "k": "AAAB"}'},
        of=lambda door: p.JsonWebKey,
    ),
}
STORE = p.NonceStore(max_origins=1)


def remembering() -> p.NonceStore:
    """Return a store that has a nonce."""
    store = p.NonceStore()
    store.remember(URL, "n")
    return store
