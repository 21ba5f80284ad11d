"""Sign-in for all tenants of a provider: one client, metadata that names a template, ID tokens that name the tenant."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from apis import NOW
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.binding.replay import UsedValues
from py_identity_model._core.client.introspection import TokenIntrospectionRequest, parse_introspection
from py_identity_model._core.jose.jws import half_hash, sign_compact
from py_identity_model._core.login.backchannel_logout import LOGOUT_EVENT, logout_policy, validate_logout_token
from py_identity_model._core.login.client import LoginClient
from py_identity_model._core.login.login_userinfo import get_login_userinfo
from py_identity_model._core.login.response import LoginResponse
from py_identity_model._core.validation.config import TokenValidationConfig
from py_identity_model._core.validation.issuers import IssuerTemplate
from py_identity_model._core.validation.signed_response import SignedResponsePolicy
from py_identity_model._core.validation.token_kinds import ID_TOKEN
from py_identity_model.exceptions import ConfigurationException, PyIdentityModelException
from py_identity_model.settings import Settings
from test_login import BACK, JSON, KEY, OTHER_KEY, SECRET, Bench, Op, answer, id_token, tokens

SHARED = "https://login.example.com/organizations/v2.0"
TEMPLATE = "https://login.example.com/{tenantid}/v2.0"
OURS = "https://login.example.com/contoso/v2.0"
OTHER = "https://login.example.com/fabrikam/v2.0"
FORGED = "https://login.example.com/evil/v2.0"
TENANTS = IssuerTemplate(TEMPLATE, allowed={"contoso", "fabrikam"}, claim="tid")


class Entra(Op):
    """A provider whose tenants share metadata and keys; the issuer of each key can be told."""

    def __init__(self, key_issuer=None, **metadata):
        super().__init__(**{"issuer": TEMPLATE, "authorization_response_iss_parameter_supported": None, **metadata})
        self.key_issuer = key_issuer

    def __call__(self, request: Request) -> Reply:
        path = urlsplit(request.url).path
        if path.endswith("/.well-known/openid-configuration"):
            assert path == "/organizations/v2.0/.well-known/openid-configuration"
            return self.reply(self.metadata)
        if path == "/jwks":
            named = {} if self.key_issuer is None else {"issuer": self.key_issuer}
            keys = [{**KEY.public_jwk, "kid": KEY.kid, "use": "sig", **named}]
            return Reply(200, (JSON,), json.dumps({"keys": keys}).encode())
        return super().__call__(request)


def tenants(perform, op=None, **client):
    return Bench(perform, op or Entra(), **{"issuer": SHARED, "issuer_template": TENANTS, **client})


def signed_in(bench, iss=OURS, response_iss=None, **claims):
    """Begin a login and complete it with an ID token of *iss*; return the response."""
    kept = bench.started()
    claims.setdefault("tid", iss.split("/")[3])
    bench.op.tokens = tokens(kept, id_token=id_token(kept, iss=iss, **claims))
    return bench.complete(answer(kept, iss=response_iss), kept)


def test_users_of_every_tenant_sign_in(perform):
    """Users of each trusted tenant sign in with one client, whose ID tokens name the tenant."""
    bench = tenants(perform)
    for iss in (OURS, OTHER, OURS):
        response = signed_in(bench, iss)
        assert response.is_successful, response.error
        assert response.claims["iss"] == iss


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": FORGED}, "issuer_mismatch"),
        ({"iss": SHARED}, "issuer_mismatch"),
        ({"iss": TEMPLATE}, "issuer_mismatch"),
        ({"iss": OURS + "/"}, "issuer_mismatch"),
        ({"iss": "https://evil.example.com/contoso/v2.0"}, "issuer_mismatch"),
        ({"tid": "fabrikam"}, "issuer_claim_mismatch"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"nonce": "other"}, "nonce_mismatch"),
        ({"key": OTHER_KEY}, "signature_invalid"),
    ],
)
def test_tenants_that_are_refused(perform, claims, code):
    """An ID token of a tenant that is not trusted, or at odds with its own tenant claim, logs nobody in."""
    response = signed_in(tenants(perform), **claims)
    assert (response.is_successful, response.error_code) == (False, code)


@pytest.mark.parametrize(
    ("key_issuer", "code"),
    [(TEMPLATE, None), (OURS, None), (OTHER, "key_issuer_mismatch"), (FORGED, "key_issuer_mismatch")],
)
def test_keys_that_name_their_issuer(perform, key_issuer, code):
    """A key that is marked for one tenant signs in no user of another."""
    response = signed_in(tenants(perform, Entra(key_issuer)))
    assert (response.is_successful, response.error_code) == (code is None, code)


@pytest.mark.parametrize(
    ("named", "code"),
    [
        (OURS, None),
        (OTHER, "authorization_issuer_mismatch"),
        (FORGED, "authorization_issuer_mismatch"),
        ("https://evil.example.com", "authorization_issuer_mismatch"),
        (None, None),
    ],
)
def test_the_response_and_the_id_token_name_one_tenant(perform, named, code):
    """RFC 9207: the issuer in the response is that of the ID token, not merely another tenant's."""
    response = signed_in(tenants(perform), response_iss=named)
    assert (response.is_successful, response.error_code) == (code is None, code)


def test_an_announced_issuer_is_demanded(perform):
    """A provider with tenants that announces ``iss`` in responses is held to it."""
    bench = tenants(perform, Entra(authorization_response_iss_parameter_supported=True))
    assert signed_in(bench).error_code == "authorization_issuer_missing"
    assert signed_in(bench, response_iss=OURS).is_successful


def test_both_id_tokens_name_one_tenant(perform):
    """The ID tokens of front channel and back channel are of one tenant, and so is the response."""
    bench = tenants(perform, response_type="code id_token")
    extra = {"tid": "contoso", "c_hash": half_hash("ES256", "canary-code")}
    for back, named, code in [
        (OURS, OURS, None),
        (OTHER, None, "id_token_mismatch"),
        (OURS, OTHER, "authorization_issuer_mismatch"),
    ]:
        again = bench.started()
        front = id_token(again, iss=OURS, **extra)
        bench.op.tokens = tokens(again, id_token=id_token(again, iss=back))
        response = bench.complete(answer(again, "#", iss=named, id_token=front), again, response_mode="fragment")
        assert response.error_code == code


def test_responses_in_a_jwt(perform):
    """A response in a JWT is of a trusted tenant, and of the one that the ID token names."""
    bench = tenants(perform, response_mode="jwt")
    for iss, code in [(OURS, None), (OTHER, "authorization_issuer_mismatch"), (FORGED, "issuer_mismatch")]:
        kept = bench.started()
        bench.op.tokens = tokens(kept, id_token=id_token(kept, iss=OURS))
        claims = {"iss": iss, "aud": "app", "exp": NOW + 60, "code": "canary-code", "state": kept.state}
        response = bench.complete(f"{BACK}?response={sign_compact(claims, KEY)}", kept)
        assert response.error_code == code


def test_a_refreshed_id_token_stays_with_its_tenant(perform):
    """A refresh brings no ID token of another tenant."""
    bench = tenants(perform)
    first = signed_in(bench)
    kept = bench.started()
    bench.op.tokens = tokens(kept, id_token=id_token(kept, iss=OTHER, nonce=None))
    assert bench.refresh(first.claims).error_code == "refresh_mismatch"
    bench.op.tokens = tokens(kept, id_token=id_token(kept, iss=OURS, nonce=None))
    assert bench.refresh(first.claims).is_successful


def test_parties_are_named_beside_a_template(perform):
    """Others that may stand in ``aud`` are accepted for each tenant alike."""
    bench = tenants(perform, trusted_audiences=["partner"])
    assert signed_in(bench, aud=["app", "partner"], azp="app").is_successful
    assert signed_in(bench, iss=FORGED, aud=["app", "partner"], azp="app").error_code == "issuer_mismatch"


def test_metadata_must_name_the_template(perform):
    """Metadata of another provider's tenants is refused; what the placeholder is called does not matter."""
    assert signed_in(tenants(perform, Entra(issuer="https://login.example.com/{tenant}/v2.0"))).is_successful
    for other in ("https://evil.example.com/{tenantid}/v2.0", OURS, SHARED):
        start = tenants(perform, Entra(issuer=other)).begin()
        assert not start.is_successful


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"issuer_template": TEMPLATE}, "issuer_template"),
        ({"scope": "profile"}, "scope"),
        ({"issuer_template": IssuerTemplate(TEMPLATE, allowed={"a"}, audience="api")}, "audience"),
        ({"issuer_template": IssuerTemplate(TEMPLATE, allowed={"a"}, jwks_uri=SHARED)}, "jwks_uri"),
        ({"issuer_template": IssuerTemplate(TEMPLATE, allowed={"a"}, discovery_address=SHARED)}, "discovery_address"),
        (
            {"issuer_template": IssuerTemplate(TEMPLATE, allowed={"a"}, allow_private_addresses=True)},
            "allow_private_addresses",
        ),
    ],
)
def test_clients_whose_template_makes_no_sense(changes, claim):
    """A setting that would do nothing, or would leave the tenant untold, is a configuration error."""
    with pytest.raises(ConfigurationException) as caught:
        LoginClient(
            **{"issuer": SHARED, "client_id": "app", "redirect_uri": BACK, "issuer_template": TENANTS, **changes}
        )
    assert caught.value.claim == claim


def test_a_login_that_would_not_tell_the_tenant(perform):
    """A single login without ``openid`` is not begun: only the ID token tells the tenant."""
    start = tenants(perform).begin(scope="profile")
    assert (start.is_successful, start.exception.claim) == (False, "scope")


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"issuer": OURS}, "issuer"),
        ({"allowed_issuers": [OURS]}, "allowed_issuers"),
        ({"options": {"verify_iss": False}}, "verify_iss"),
        ({"issuer_template": TEMPLATE}, "issuer_template"),
    ],
)
def test_configurations_whose_template_makes_no_sense(perform, changes, claim):
    """A template stands alone among what a configuration says of issuers."""
    bench = tenants(perform)
    config = TokenValidationConfig(**{"perform_disco": True, "audience": "app", "issuer_template": TENANTS, **changes})
    with pytest.raises(ConfigurationException) as caught:
        bench.services.validators(config, SHARED, ID_TOKEN)
    assert caught.value.claim == claim


# ---- what else tenants sign


class Told(Entra):
    """A provider of tenants that signs what it tells about users."""

    def __init__(self, key_issuer=None):
        super().__init__(key_issuer, userinfo_endpoint=SHARED + "/userinfo")
        self.told = ""

    def __call__(self, request: Request) -> Reply:
        if request.url.endswith("/userinfo"):
            return Reply(200, (("content-type", "application/jwt"),), self.told.encode(), request.url)
        return super().__call__(request)


def told(bench, login, key=KEY, **changes):
    """Ask about the user of *login*; the answer is good for the tenant of the login, changed."""
    good = {"iss": OURS, "aud": "app", "sub": "ada", "iat": NOW, "tid": "contoso"}
    claims = {name: value for name, value in {**good, **changes}.items() if value is not None}
    bench.op.told = sign_compact(claims, key)
    flow = get_login_userinfo(bench.client, login, None, bench.services, Settings())
    return bench.perform.run(flow, bench.op)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"iss": OTHER, "tid": "fabrikam"}, "issuer_mismatch"),
        ({"iss": FORGED, "tid": "evil"}, "issuer_mismatch"),
        ({"iss": TEMPLATE}, "issuer_mismatch"),
        ({"iss": SHARED}, "issuer_mismatch"),
        ({"iss": None}, "claim_missing"),
        ({"tid": "fabrikam"}, "issuer_claim_mismatch"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"sub": "eve"}, "subject_mismatch"),
        ({"key": OTHER_KEY}, "signature_invalid"),
    ],
)
def test_signed_userinfo_is_of_the_tenant_of_the_login(perform, changes, code):
    """A signed answer of another tenant is not taken for the user's, though name and keys are the same."""
    bench = tenants(perform, Told(), userinfo_signed_response_alg="ES256")
    response = told(bench, signed_in(bench), **changes)
    assert (response.is_successful, response.error_code) == (code is None, code)


@pytest.mark.parametrize(("key_issuer", "code"), [(TEMPLATE, None), (OURS, None), (OTHER, "key_issuer_mismatch")])
def test_userinfo_by_keys_that_name_their_issuer(perform, key_issuer, code):
    """A key that is marked for one tenant signs no UserInfo of another."""
    bench = tenants(perform, Told(key_issuer), userinfo_signed_response_alg="ES256")
    login = LoginResponse(True, access_token="t", token_type="Bearer", claims={"iss": OURS, "sub": "ada"})
    assert told(bench, login).error_code == code


def test_userinfo_of_one_of_several_issuers(perform):
    """Where nothing tells the tenant of the login, as after a refresh, any trusted tenant may answer."""
    bench = tenants(perform, Told(), userinfo_signed_response_alg="ES256")
    bench.op.told = sign_compact({"iss": OTHER, "aud": "app", "sub": "ada", "iat": NOW, "tid": "fabrikam"}, KEY)
    login = LoginResponse(True, access_token="t", token_type="Bearer")
    flow = get_login_userinfo(bench.client, login, "ada", bench.services, Settings())
    assert bench.perform.run(flow, bench.op).claims["iss"] == OTHER


def logged_out(bench, used, key=KEY, **changes):
    """Judge a logout token that is good for a tenant, changed; return its claims, or the code of its refusal."""
    good = {"iss": OURS, "aud": "app", "sub": "ada", "sid": "s", "iat": NOW, "exp": NOW + 60, "jti": "j-1"}
    claims = {**good, "events": {LOGOUT_EVENT: {}}, **changes}
    policy = logout_policy(bench.client, None, None, False, None, False)
    flow = validate_logout_token(sign_compact(claims, key), policy, bench.services.validators, used)
    try:
        return bench.perform.run(flow, bench.op)
    except PyIdentityModelException as error:
        return error.code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": FORGED}, "issuer_mismatch"),
        ({"iss": TEMPLATE}, "issuer_mismatch"),
        ({"iss": SHARED}, "issuer_mismatch"),
        ({"iss": "https://evil.example.com/contoso/v2.0"}, "issuer_mismatch"),
        ({"tid": "fabrikam"}, "issuer_claim_mismatch"),
        ({"aud": "other"}, "audience_mismatch"),
        ({"key": OTHER_KEY}, "signature_invalid"),
    ],
)
def test_logout_tokens_of_tenants_that_are_refused(perform, changes, code):
    """Only a trusted tenant ends sessions, and only its own."""
    assert logged_out(tenants(perform), UsedValues(), **changes) == code


def test_each_tenant_has_logout_tokens_of_its_own(perform):
    """Two tenants may use one ``jti``: each token counts once, and says whose session has ended."""
    bench, used = tenants(perform), UsedValues()
    for iss in (OURS, OTHER):
        assert logged_out(bench, used, iss=iss)["iss"] == iss
        assert logged_out(bench, used, iss=iss) == "logout_token_replayed"


@pytest.mark.parametrize(("key_issuer", "code"), [(OURS, None), (OTHER, "key_issuer_mismatch")])
def test_logout_by_keys_that_name_their_issuer(perform, key_issuer, code):
    """A key that is marked for one tenant ends no session of another."""
    found = logged_out(tenants(perform, Entra(key_issuer)), UsedValues())
    assert (found if isinstance(found, str) else None) == code


def test_introspection_of_tenants(perform):
    """A signed answer about a token is of a trusted tenant, too."""
    bench = tenants(perform)
    policy = SignedResponsePolicy(bench.client.validation_config("ES256"), SHARED)
    for iss, code in [(OURS, None), (OTHER, None), (FORGED, "issuer_mismatch")]:
        claims = {"iss": iss, "aud": "app", "iat": NOW, "token_introspection": {"active": True}}
        token = sign_compact(claims, KEY, typ="token-introspection+jwt")
        reply = Reply(200, (("content-type", "application/token-introspection+jwt"),), token.encode(), SHARED)
        request = TokenIntrospectionRequest(SHARED + "/i", "t", "app", client_secret=SECRET, signed_response=policy)
        flow = parse_introspection(reply, request, NOW, bench.services.validators)
        try:
            bench.perform.run(flow, bench.op)
            found = None
        except PyIdentityModelException as error:
            found = error.code
        assert found == code
