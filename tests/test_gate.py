"""The gate in front of an API: who passes, who does not, and the exact answer; one script for both APIs."""

from __future__ import annotations

import json

import msgspec
import pytest
import trustme

import py_identity_model
import py_identity_model.aio
from apis import NOW, Api, Provider
from py_identity_model import (
    AuthenticatedPrincipal,
    DPoPNonces,
    DPoPValidator,
    InboundRequest,
    Refusal,
    Requirement,
    generate_dpop_key,
    parse_challenges,
)
from py_identity_model._core.binding.dpop_client import build_dpop_proof
from py_identity_model._core.binding.mtls import compute_certificate_thumbprint
from py_identity_model.exceptions import (
    ConfigurationException,
    InsufficientScopeException,
    MissingCredentialsException,
    NetworkException,
    TokenValidationException,
)
from py_identity_model.identity import Principal
from py_identity_model.observability import add_observer, remove_observer

URL = "https://api.example.com/orders"
RESOURCE = "https://api.example.com/v1"
METADATA = "https://api.example.com/.well-known/oauth-protected-resource/v1"
CLIENT = trustme.CA().issue_cert("client.example").cert_chain_pems[0].bytes()
INVALID = b'{"error":"invalid_token","error_description":"The token is not valid"}'


@pytest.fixture(params=["sync", "asyncio", "trio"])
def api(request):
    return Api(request.param)


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def build(api, provider, clock):
    """Build a resource server of the API at hand."""

    def made(**options):
        given = {"audience": "api", "http_client": provider} | options.pop("validator", {})
        door = py_identity_model if api.name == "sync" else py_identity_model.aio
        return door.ResourceServer(api.validator(provider.issuer, **given), **options)

    return made


def ask(*authorization, method="GET", url=URL, peer=None, certificate=None, **headers):
    pairs = [("Authorization", value) for value in authorization]
    pairs += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return InboundRequest.build(method, url, pairs, peer=peer, certificate=certificate)


def challenge(refusal: Refusal, scheme="Bearer"):
    values = [value for name, value in refusal.headers if name == "www-authenticate"]
    return dict(next(c for c in parse_challenges(values) if c.has_scheme(scheme)).parameters)


# ---- passing


def test_a_principal_says_whose_token_it_is(api, provider, build):
    server = build()
    token = provider.token(scope="read write", client_id="app", roles=["auditor"], realm_access={"roles": ["boss"]})
    principal = api.call(server.authorize, ask(f"Bearer {token}"))
    assert (principal.subject, principal.issuer, principal.client_id) == ("ada", provider.issuer, "app")
    assert principal.scopes == {"read", "write"}
    assert principal.roles == {"auditor", "boss"}
    assert (principal.token_kind, principal.scheme, principal.is_machine) == ("jwt", "Bearer", False)
    assert isinstance(principal, Principal)
    assert principal.is_in_role("boss")
    assert principal.identity.is_authenticated()
    assert "read" not in repr(principal)


def test_the_everyday_request_is_decided_at_once_when_the_keys_are_at_hand(api, provider, build):
    server = build()
    request = ask(f"bearer {provider.token(scope='read')}")
    need = Requirement(scopes=["read"])
    assert server.gate.at_once(request, need) is None
    api.call(server.authorize, request, need)
    assert server.gate.at_once(request, need).subject == "ada"
    assert api.call(server.decide, request, need).subject == "ada"


@pytest.mark.parametrize("what", ["required", "load_user", "cnf", "roles", "introspected"])
def test_what_the_short_way_does_not_know_goes_the_long_way(what, api, provider, build):
    options = {
        "required": {"sender_constraint": "required"},
        "load_user": {"load_user": lambda principal: None},
        "introspected": {"introspector": {provider.issuer: lambda token: {"active": False}}},
    }.get(what, {})
    server = build(**options)
    token = provider.token(cnf={"jkt": "x"} if what == "cnf" else None)
    need = Requirement(roles=["admin"]) if what == "roles" else None
    api.call(build().authorize, ask(f"Bearer {provider.token()}"))
    for _ in range(3):  # cold, and warm
        assert api.call(server.decide, ask(f"Bearer {token}"), need).status in (401, 403)


def test_a_chain_of_actors_is_listed_from_the_one_at_work(provider, api, build):
    act = {"sub": "service-1", "act": {"sub": "service-2", "iss": "https://other.example.com"}}
    principal = api.call(build().authorize, ask(f"Bearer {provider.token(act=act)}"))
    assert principal.actor == ({"sub": "service-1"}, {"sub": "service-2", "iss": "https://other.example.com"})


def test_claims_come_as_the_type_that_is_asked_for():
    class Claims(msgspec.Struct):
        sub: str
        tenant: int

    assert AuthenticatedPrincipal({"sub": "ada", "tenant": 7}).claims_as(Claims) == Claims("ada", 7)
    with pytest.raises(TokenValidationException) as error:
        AuthenticatedPrincipal({"sub": "ada", "tenant": "seven"}).claims_as(Claims)
    assert error.value.code == "claims_type_mismatch"


@pytest.mark.parametrize(
    ("claims", "machine"), [({"sub": "app", "client_id": "app"}, True), ({"sub": "ada", "client_id": "app"}, False)]
)
def test_a_client_that_speaks_for_itself_is_a_machine(claims, machine):
    assert AuthenticatedPrincipal(claims).is_machine is machine


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"roles": ["a"]}, {"a"}),  # Entra
        ({"realm_access": {"roles": ["a", 5, None]}}, {"a"}),  # Keycloak
        ({"permissions": ["a:b"]}, {"a:b"}),  # Auth0
        ({"groups": "a"}, {"a"}),
        ({"realm_access": ["a"], "roles": {"a": 1}}, set()),
    ],
)
def test_roles_are_found_where_providers_put_them(claims, roles):
    assert AuthenticatedPrincipal(claims).roles == roles


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        ({"auditor": {"1": "acme.example"}, "owner": {"2": "x"}}, {"auditor", "owner"}),  # Zitadel: by organization
        ({"auditor": {}, "owner": False, "clerk": 1, "boss": ["x"], "": {"1": "x"}}, set()),
        ({}, set()),
    ],
)
def test_an_object_names_roles_where_the_application_says_so(api, provider, build, value, roles):
    """Members that are objects are roles at a place that was named, and nowhere else."""
    token = provider.token(**{"urn:roles": value, "roles": value})
    assert api.call(build(roles=["urn:roles"]).authorize, ask(f"Bearer {token}")).roles == roles
    assert api.call(build().authorize, ask(f"Bearer {token}")).roles == set()


def test_roles_are_found_where_the_application_says_and_nowhere_else(api, provider, build):
    server = build(roles=[("https://acme.example/auth", "roles")])
    token = provider.token(roles=["admin"], **{"https://acme.example/auth": {"roles": ["clerk"]}})
    assert api.call(server.authorize, ask(f"Bearer {token}")).roles == {"clerk"}


def test_scopes_that_others_imply_are_granted_too(api, provider, build):
    server = build(scope_hierarchy={"admin": ["write"], "write": ["read"], "loop": ["loop", "admin"]})
    request = ask(f"Bearer {provider.token(scope='loop')}")
    assert api.call(server.authorize, request, Requirement(scopes=["read"])).scopes == {
        "loop",
        "admin",
        "write",
        "read",
    }


def test_a_user_is_loaded_and_a_subject_without_one_is_refused_as_any_other_token(api, provider, build):
    users = {"ada": "Ada Lovelace"}
    server = build(load_user=lambda principal: users.get(principal.subject))
    assert api.call(server.authorize, ask(f"Bearer {provider.token()}")).user == "Ada Lovelace"
    refusal = api.call(server.decide, ask(f"Bearer {provider.token(sub='eve')}"))
    assert (refusal.status, refusal.body) == (401, INVALID)


def test_without_a_token_nobody_passes_unless_that_is_enough(api, provider, build):
    server = build()
    with pytest.raises(MissingCredentialsException):
        api.call(server.authorize, ask())
    assert api.call(server.authorize, ask(), optional=True) is None
    assert api.call(server.authorize, ask("Basic YTpi"), optional=True) is None
    assert api.call(server.decide, ask("Bearer forged"), optional=True).status == 401
    assert api.call(server.decide, ask(url=URL + "?access_token=x"), optional=True).status == 400


def test_a_cors_preflight_passes_as_nobody_and_other_options_do_not(api, build):
    preflight = {"method": "OPTIONS", "origin": "https://app.example.com"}
    server = build()
    assert api.call(server.decide, ask(**preflight, access_control_request_method="GET")) is None
    assert api.call(server.decide, ask(**preflight)).status == 401
    assert api.call(server.decide, ask(method="GET", origin="x", access_control_request_method="GET")).status == 401


# ---- answers


def test_without_a_token_the_challenge_names_no_error_and_what_a_token_needs(api, build):
    server = build(resource=RESOURCE, sender_constraint="refused")
    refusal = api.call(server.decide, ask(), Requirement(scopes=["read", "write"]))
    assert refusal.status == 401
    assert challenge(refusal) == {"resource_metadata": METADATA, "scope": "read write"}
    assert refusal.body == b""


@pytest.mark.parametrize(
    "token",
    [
        lambda p: p.token(exp=NOW - 60),
        lambda p: p.token(aud="other"),
        lambda p: p.token(iss="https://evil.example.com"),
        lambda p: p.token(typ="JWT", nonce="n"),
        lambda p: p.token()[:-8] + "AAAAAAAA",
        lambda p: p.token(nbf=NOW + 600),
        lambda p: "opaque",
        lambda p: "a.b.c",
    ],
)
def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(token, api, provider, build):
    server = build(resource=RESOURCE)
    refusal = api.call(server.decide, ask(f"Bearer {token(provider)}"))
    assert (refusal.status, refusal.body) == (401, INVALID)
    assert challenge(refusal) == {
        "resource_metadata": METADATA,
        "error": "invalid_token",
        "error_description": "The token is not valid",
    }


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ask("Bearer a", "Bearer b"), "credentials_ambiguous"),
        (ask("Bearer a, Bearer b"), "credentials_ambiguous"),
        (ask("Bearer a", url=URL + "?access_token=b"), "token_in_query"),
        (ask("Bearer a", url=URL + "?a=1&%61ccess_token=b"), "token_in_query"),
        (ask("Bearer a b"), "credentials_malformed"),
        (ask("Bearer"), "credentials_malformed"),
        (ask("Bearer ä"), "credentials_malformed"),
        (ask("Bearer ="), "credentials_malformed"),
        (ask("Bearer a=b"), "credentials_malformed"),
    ],
)
def test_several_tokens_and_broken_ones_are_bad_requests(request_, code, api, build, seen):
    refusal = api.call(build().decide, request_)
    assert (refusal.status, json.loads(refusal.body)["error"]) == (400, "invalid_request")
    assert seen[-1].facts["code"] == code


@pytest.fixture
def seen():
    events = []
    add_observer(events.append)
    yield events
    remove_observer(events.append)


def test_one_challenge_names_all_scopes_that_the_request_needs(api, provider, build):
    need = Requirement(scopes=["read", "write"]) & Requirement(scopes=["delete"])
    refusal = api.call(build().decide, ask(f"Bearer {provider.token(scope='read')}"), need)
    assert refusal.status == 403
    assert challenge(refusal)["scope"] == "read write delete"
    assert challenge(refusal)["error"] == "insufficient_scope"


def test_a_role_that_is_missing_asks_for_no_scope(api, provider, build):
    need = Requirement(roles=["admin"], scopes=["read"])
    refusal = api.call(build().decide, ask(f"Bearer {provider.token(scope='read')}"), need)
    assert (refusal.status, challenge(refusal).get("scope")) == (403, None)


def test_a_login_that_is_too_weak_is_asked_for_again_with_the_scopes_it_lacks_too(api, provider, build):
    need = Requirement(acr_values=["phr"], max_age=300, scopes=["pay"])
    token = provider.token(scope="read", acr="pwd", auth_time=NOW - 10)
    refusal = api.call(build().decide, ask(f"Bearer {token}"), need)
    told = challenge(refusal)
    assert refusal.status == 401
    assert (told["error"], told["acr_values"], told["max_age"], told["scope"]) == (
        "insufficient_user_authentication",
        "phr",
        "300",
        "pay",
    )
    strong = provider.token(scope="pay", acr="phr", auth_time=NOW - 10)
    assert api.call(build().decide, ask(f"Bearer {strong}"), need).subject == "ada"


def test_what_cannot_be_verified_now_is_told_to_come_back(api, provider, build):
    def down(_):
        raise OSError("down")

    refusal = api.call(build(validator={"http_client": down}).decide, ask(f"Bearer {provider.token()}"))
    assert refusal.status == 503
    assert int(dict(refusal.headers)["retry-after"]) >= 1
    assert "www-authenticate" not in dict(refusal.headers)


def test_a_head_request_is_refused_without_a_body(api, provider, build):
    get, head = (
        api.call(build().decide, ask("Bearer x", method=method, x_request_id="r-1")) for method in ("GET", "HEAD")
    )
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


def test_the_log_says_why_and_the_answer_only_which_line_it_is(api, provider, build, seen):
    token = provider.token(aud="other")
    refusal = api.call(build().decide, ask(f"Bearer {token}", x_request_id="abc-1", url=URL + "?secret=1"))
    (event,) = [event for event in seen if event.name == "request_refused"]
    assert dict(refusal.headers)["x-request-id"] == event.facts["request_id"] == "abc-1"
    assert event.facts["code"] == "audience_mismatch"
    assert event.facts["path"] == "/orders"
    assert token not in repr(event)
    assert "secret" not in repr(event)


@pytest.mark.parametrize("given", ["a b", "x" * 200, 'a"b', ""])
def test_a_request_id_that_could_forge_a_log_line_is_replaced(given, api, build):
    refusal = api.call(build().decide, ask(x_request_id=given))
    assert dict(refusal.headers)["x-request-id"] != given


def test_the_application_may_answer_a_refusal_in_its_own_way(api, build):
    def told(error, request, refusal):
        return Refusal(418, (), error.code.encode()) if request.url.endswith("/tea") else None

    server = build(on_refusal=told)
    assert api.call(server.decide, ask(url=URL + "/tea")).body == b"credentials_missing"
    assert api.call(server.decide, ask()).status == 401


# ---- requirements


@pytest.mark.parametrize(
    ("need", "passes"),
    [
        (Requirement(any_scope=["admin", "read"]), True),
        (Requirement(any_scope=["admin", "root"]), False),
        (Requirement(any_role=["boss", "clerk"]), True),
        (Requirement(roles=["boss", "clerk"]), False),
        (Requirement(scopes=["admin"]) | Requirement(roles=["clerk"]), True),
        (Requirement(scopes=["read"]) & (Requirement(roles=["boss"]) | Requirement(roles=["clerk"])), True),
        (Requirement(scopes=["read"]) & (Requirement(roles=["boss"]) | Requirement(scopes=["admin"])), False),
        (Requirement(claims={"tenant": "acme"}), True),
        (Requirement(claims={"tenant": ["globex", "acme"]}), True),
        (Requirement(claims={"teams": "red"}), True),
        (Requirement(claims={"level": "5"}), False),
        (Requirement(claims={"absent": "x"}), False),
        (Requirement(check=lambda principal: principal.claims["tenant"] == "acme"), True),
        (Requirement(check=lambda principal: principal.claims.get("admin")), False),
        (Requirement(check=lambda principal: False) | Requirement(scopes=["read"]), True),
        (Requirement(sender_constrained=True), False),
        (Requirement(), True),
    ],
)
def test_a_requirement_is_met_or_not(need, passes, api, provider, build):
    token = provider.token(scope="read", roles=["clerk"], tenant="acme", teams=["red", "blue"], level=5)
    decided = api.call(build().decide, ask(f"Bearer {token}"), need)
    assert isinstance(decided, AuthenticatedPrincipal) is passes


def test_of_several_ways_the_nearest_is_told(api, provider, build):
    need = Requirement(roles=["admin"]) | Requirement(scopes=["a", "b"]) | Requirement(scopes=["read", "b"])
    refusal = api.call(build().decide, ask(f"Bearer {provider.token(scope='read')}"), need)
    assert challenge(refusal)["scope"] == "read b"


def test_a_check_that_raises_refuses_and_one_that_cannot_tell_says_503(api, provider, build):
    def refuses(_):
        raise InsufficientScopeException("no", ("pay",))

    def away(_):
        raise NetworkException("away", retry_after=7)

    request = ask(f"Bearer {provider.token()}")
    refusal = api.call(build().decide, request, Requirement(check=refuses))
    assert (refusal.status, challenge(refusal)["scope"]) == (403, "pay")
    refusal = api.call(build().decide, request, Requirement(check=away))
    assert (refusal.status, dict(refusal.headers)["retry-after"]) == (503, "7")


def test_a_check_may_be_awaited_where_the_api_awaits(api, provider, build):
    async def check(principal):
        return principal.subject == "ada"

    if api.name != "sync":
        assert api.call(build().authorize, ask(f"Bearer {provider.token()}"), Requirement(check=check))


@pytest.mark.parametrize(
    "options",
    [
        {"scopes": ["a b"]},
        {"scopes": [""]},
        {"scopes": ['a"b']},
        {"roles": [5]},
        {"claims": {"tenant": None}},
        {"claims": {"tenant": []}},
        {"max_age": -1},
        {"check": "yes"},
        {"acr_values": ["a b"]},
    ],
)
def test_a_requirement_that_could_never_be_meant_is_refused_when_it_is_written(options):
    with pytest.raises(ConfigurationException):
        Requirement(**options)


def test_alternatives_are_bounded():
    need = Requirement(any_scope=[f"s{n}" for n in range(8)])
    assert len((need & need).alternatives) == 64
    with pytest.raises(ConfigurationException):
        need & need & need


# ---- bound tokens


def dpop_request(token, key, scheme="DPoP", url=URL, **facts):
    proof = build_dpop_proof(key, "GET", URL, wall=NOW, access_token=token, **facts)
    return ask(f"{scheme} {token}", dpop=proof, url=url)


def test_a_dpop_token_passes_once_with_its_proof_and_never_as_a_bearer_token(api, provider, build):
    key = generate_dpop_key()
    token = provider.token(cnf={"jkt": key.jwk_thumbprint})
    server = build()
    request = dpop_request(token, key)
    assert api.call(server.decide, request, Requirement(sender_constrained=True)).scheme == "DPoP"
    assert challenge(api.call(server.decide, request), "DPoP")["error"] == "invalid_dpop_proof"  # the same proof again
    assert api.call(server.decide, ask(f"Bearer {token}")).status == 401
    assert api.call(server.decide, ask(f"DPoP {token}")).status == 401


def test_a_server_that_wants_nonces_hands_them_out(api, provider, build):
    key = generate_dpop_key()
    token = provider.token(cnf={"jkt": key.jwk_thumbprint})
    server = build(dpop=DPoPValidator(nonces=DPoPNonces()))
    refusal = api.call(server.decide, dpop_request(token, key))
    assert challenge(refusal, "DPoP")["error"] == "use_dpop_nonce"
    nonce = dict(refusal.headers)["dpop-nonce"]
    assert api.call(server.decide, dpop_request(token, key, nonce=nonce)).subject == "ada"


def test_where_binding_is_required_dpop_is_the_first_challenge(api, provider, build):
    server = build(sender_constraint="required")
    refusal = api.call(server.decide, ask(f"Bearer {provider.token()}"))
    schemes = [value.partition(" ")[0] for name, value in refusal.headers if name == "www-authenticate"]
    assert (refusal.status, schemes) == (401, ["DPoP", "Bearer"])


def test_where_binding_is_refused_a_bound_token_never_passes_as_another(api, provider, build):
    key = generate_dpop_key()
    token = provider.token(cnf={"jkt": key.jwk_thumbprint})
    server = build(sender_constraint="refused")
    for request in (dpop_request(token, key), ask(f"Bearer {token}")):
        assert api.call(server.decide, request).status == 401
    with pytest.raises(ConfigurationException):
        build(sender_constraint="refused", dpop=DPoPValidator())


def test_a_certificate_bound_token_comes_with_its_certificate(api, provider, build):
    token = provider.token(cnf={"x5t#S256": compute_certificate_thumbprint(CLIENT)})
    server = build(sender_constraint="required")
    assert api.call(server.decide, ask(f"Bearer {token}", certificate=CLIENT)).subject == "ada"
    other = trustme.CA().issue_cert("other.example").cert_chain_pems[0].bytes()
    for certificate in (None, other):
        assert api.call(server.decide, ask(f"Bearer {token}", certificate=certificate)).status == 401


# ---- opaque tokens, several issuers


def answers(**members):
    asked = []

    def introspect(token):
        asked.append(token)
        return {"active": True, "aud": "api", "sub": "bob", "exp": NOW + 60, **members}

    introspect.asked = asked
    return introspect


def test_an_opaque_token_is_asked_about_and_a_jwt_is_not(api, provider, build):
    introspect = answers(scope="read")
    server = build(introspector=introspect)
    principal = api.call(server.authorize, ask("Bearer opaque"), Requirement(scopes=["read"]))
    assert (principal.subject, principal.token_kind) == ("bob", "opaque")
    assert api.call(server.authorize, ask(f"Bearer {provider.token()}")).token_kind == "jwt"
    assert api.call(server.decide, ask(f"Bearer {provider.token(aud='x')}")).status == 401
    assert introspect.asked == ["opaque"]


@pytest.mark.parametrize("answer", [{"active": False}, {"aud": "other"}, {"aud": None}, {"exp": NOW - 1}])
def test_an_answer_that_is_not_about_this_api_lets_nobody_in(answer, api, build):
    refusal = api.call(build(introspector=answers(**answer)).decide, ask("Bearer opaque"))
    assert (refusal.status, refusal.body) == (401, INVALID)


def test_the_issuer_of_a_jwt_decides_whether_it_is_asked_about(api, provider, build):
    introspect = answers()
    server = build(introspector={"https://legacy.example.com": introspect})
    legacy = provider.token(iss="https://legacy.example.com")
    for _ in range(2):
        assert api.call(server.authorize, ask(f"Bearer {legacy}")).subject == "bob"
        assert api.call(server.authorize, ask(f"Bearer {provider.token()}")).subject == "ada"
    assert introspect.asked == [legacy, legacy]
    assert api.call(server.decide, ask("Bearer opaque")).status == 401


def test_a_bound_opaque_token_is_checked_like_any_other(api, build):
    key = generate_dpop_key()
    server = build(introspector=answers(cnf={"jkt": key.jwk_thumbprint}))
    assert api.call(server.decide, dpop_request("opaque", key)).subject == "bob"
    assert api.call(server.decide, ask("Bearer opaque")).status == 401


def test_a_revoked_subject_is_refused_whatever_kind_of_token_it_has(api, provider, build):
    server = build(introspector=answers())
    assert api.call(server.authorize, ask("Bearer opaque")).subject == "bob"
    api.call(server.validator.revoke, sub="bob")
    assert api.call(server.decide, ask("Bearer opaque")).status == 401


# ---- settings


@pytest.mark.parametrize(
    "options",
    [
        {"sender_constraint": "maybe"},
        {"resource": "http://api.example.com"},
        {"roles": [5]},
        {"roles": [()]},
        {"scope_hierarchy": {"a": [5]}},
        {"introspector": "https://id.example.com/introspect"},
        {"dpop": DPoPValidator(), "store": py_identity_model.stores.MemoryStore()},
    ],
)
def test_settings_that_cannot_be_meant_are_refused_when_it_is_built(options, build):
    with pytest.raises(ConfigurationException):
        build(**options)


def test_metadata_names_issuers_and_scopes_and_never_offline_access(provider, build):
    server = build(resource=RESOURCE, scopes_supported=["read", "offline_access"])
    document = server.metadata.document()
    assert document["authorization_servers"] == [provider.issuer]
    assert document["scopes_supported"] == ["read"]
    assert document["bearer_methods_supported"] == ["header"]


def test_a_validator_of_the_blocking_api_serves_both(provider, clock):
    import asyncio

    validator = py_identity_model.TokenValidator(provider.issuer, audience="api", http_client=provider)
    server = py_identity_model.aio.ResourceServer(validator)
    assert server.blocking
    assert asyncio.run(server.authorize(ask(f"Bearer {provider.token()}"))).subject == "ada"
    assert not py_identity_model.ResourceServer(
        py_identity_model.aio.TokenValidator(provider.issuer, audience="api")
    ).blocking


# ---- tokens that a proxy hands on


@pytest.mark.parametrize("name", ["X-Token", "x-token"])
def test_a_token_comes_in_a_header_of_its_own(api, provider, build, name):
    """Where a proxy hands the token on in another header, that one counts, and Authorization does not."""
    server = build(token_header=name)
    token = provider.token()
    for _ in range(2):  # cold, and warm
        assert api.call(server.authorize, ask(x_token=token)).subject == "ada"
    assert api.call(server.authorize, ask("Bearer of.somebody.else", X_Token=f" {token}")).subject == "ada"
    assert api.call(server.decide, ask(f"Bearer {token}")).status == 401


@pytest.mark.parametrize(
    ("values", "status"),
    [((), 401), (("",), 401), (("a b",), 400), (("a,b",), 400), (("one", "two"), 400), (("not.a.token",), 401)],
)
def test_a_header_of_its_own_holds_one_token(api, build, values, status):
    """None is 401, several or something else are 400, and what is no good token is 401."""
    request = InboundRequest("GET", URL, tuple(("X-Token", value) for value in values))
    assert api.call(build(token_header="X-Token").decide, request).status == status


def test_a_bound_token_is_not_taken_from_a_header_of_its_own(api, provider, build):
    """A token that is bound to a key is no bearer token, whichever header it comes in."""
    token = provider.token(cnf={"jkt": generate_dpop_key().jwk_thumbprint})
    assert api.call(build(token_header="X-Token").decide, ask(x_token=token)).status == 401


@pytest.mark.parametrize("name", ["", "Authorization", "authorization", "X Token", "X-Token\n", 7])
def test_a_header_that_is_none_is_refused(build, name):
    """What is no name of a header, or the usual one, is no header of its own."""
    with pytest.raises(ConfigurationException):
        build(token_header=name)
