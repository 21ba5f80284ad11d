"""Claims, identities, principals."""

from __future__ import annotations

import pytest

from py_identity_model.identity import (
    Claim,
    ClaimsIdentity,
    ClaimsPrincipal,
    ClaimType,
    Identity,
    Principal,
    to_principal,
)

NAME = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"
ROLE = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"
XML_SCHEMA = "http://www.w3.org/2001/XMLSchema#"


def test_claim_defaults():
    """A claim that names no issuer comes from the local authority, as text, without properties."""
    claim = Claim("email", "ada@example.com")
    assert (claim.claim_type, claim.value, claim.value_type) == ("email", "ada@example.com", XML_SCHEMA + "string")
    assert (claim.issuer, claim.original_issuer, claim.properties) == ("LOCAL AUTHORITY", "LOCAL AUTHORITY", {})


def test_claim_original_issuer_follows_the_issuer():
    """The original issuer is the issuer unless another is named."""
    assert Claim("a", "b", issuer="https://id.example.com").original_issuer == "https://id.example.com"
    assert Claim("a", "b", issuer="x", original_issuer="y").original_issuer == "y"


def test_claims_compare_by_what_they_state():
    """Two claims that state the same are equal and hash alike, whatever their properties."""
    one, other = Claim("a", "b"), Claim("a", "b")
    one.properties["seen"] = "today"
    assert one == other
    assert len({one, other, Claim("a", "c")}) == 2


def test_claim_types_are_uris():
    """There are fifteen WS-* claim types, each a URI that also compares as plain text."""
    assert len(ClaimType) == 15
    assert ClaimType.Name.value == NAME
    assert ClaimType.Role == ROLE
    assert str(ClaimType.Role) == ROLE
    assert all(t.value.startswith("http://schemas.") for t in ClaimType)


@pytest.mark.parametrize("abstract", [Identity, Principal])
def test_bases_are_abstract(abstract):
    """The two bases cannot be instantiated."""
    with pytest.raises(TypeError):
        abstract()


def test_ws_identity():
    """An identity built by hand reads name and roles from the WS-* types."""
    identity = ClaimsIdentity([Claim(NAME, "Ada"), Claim(ROLE, "auditor"), Claim(ROLE, "admin")], "Federation")
    assert identity.name == "Ada"
    assert identity.authentication_type == "Federation"
    assert identity.is_authenticated()
    assert (identity.name_type_claim, identity.role_type_claim) == (NAME, ROLE)
    assert identity.find_first(ClaimType.Role) == Claim(ROLE, "auditor")
    assert [c.value for c in identity.find_all(ROLE)] == ["auditor", "admin"]
    assert identity.find_first("email") is None
    assert "Ada" in repr(identity)


@pytest.mark.parametrize("authentication_type", [None, ""])
def test_identity_without_proof(authentication_type):
    """An identity nothing proves is not authenticated, whatever it claims."""
    assert not ClaimsIdentity([Claim(NAME, "Ada")], authentication_type).is_authenticated()


def test_identity_without_name():
    """An identity without a name claim has no name."""
    assert ClaimsIdentity([]).name is None


def test_identity_keeps_its_claims():
    """Changing the list that was passed in, or the one that came out, changes nothing."""
    given = [Claim("a", "b")]
    identity = ClaimsIdentity(given)
    given.clear()
    identity.claims.clear()
    assert identity.claims == [Claim("a", "b")]


def test_principal_of_several_identities():
    """A principal has the claims and roles of all its identities; the one added last is its identity."""
    first = ClaimsIdentity([Claim(NAME, "Ada")], "Bearer")
    principal = ClaimsPrincipal(first, [Claim("tenant", "t1"), Claim(ROLE, "guest")])
    assert principal.identity is first
    second = ClaimsIdentity([Claim("roles", "auditor")], role_type_claim="roles")
    principal.add_identity(second)
    assert principal.identity is second
    assert principal.identities == [first, second]
    assert [c.value for c in principal.claims] == ["t1", "guest", "Ada", "auditor"]
    assert principal.is_in_role("auditor")
    assert principal.is_in_role("guest")
    assert not principal.is_in_role("Ada")
    assert principal.has_claim("tenant")
    assert principal.has_claim("tenant", "t1")
    assert not principal.has_claim("tenant", "t2")
    assert not principal.has_claim("tenant", "")
    assert principal.find_first("tenant") == Claim("tenant", "t1")
    assert principal.find_first("nothing") is None
    assert principal.find_all(ROLE) == [Claim(ROLE, "guest")]


def test_empty_principal():
    """A principal of nothing has no identity, claims or roles, and takes an identity later."""
    principal = ClaimsPrincipal()
    assert principal.identity is None
    assert principal.claims == []
    assert not principal.is_in_role("admin")
    identity = ClaimsIdentity([], "Bearer")
    principal.add_identity(identity)
    assert principal.identity is identity


def test_principal_takes_any_identity():
    """An identity of another kind adds no claims and does no harm."""

    class Machine(Identity):
        name = "printer"
        authentication_type = "tls"

        def is_authenticated(self) -> bool:
            return True

    principal = ClaimsPrincipal(Machine())
    assert principal.identity is not None
    assert principal.identity.name == "printer"
    assert principal.claims == []


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Ada", "preferred_username": "ada", "sub": "1"}, "Ada"),
        ({"preferred_username": "ada", "sub": "1"}, "ada"),
        ({"sub": "1"}, "1"),
        ({"name": "", "sub": "1"}, "1"),
        ({"name": None, "sub": "1"}, "1"),
        ({"name": ["Ada"], "sub": "1"}, "1"),
        ({NAME: "Ada WS", "name": "Ada"}, "Ada WS"),
        ({"scope": "read"}, None),
    ],
)
def test_name_of_a_token(claims, name):
    """The name is the first text under the WS-* type, name, preferred_username and sub."""
    identity = to_principal(claims).identity
    assert identity is not None
    assert identity.name == name


@pytest.mark.parametrize(
    "claims",
    [
        {"roles": ["reader", "admin"]},
        {"roles": "admin"},
        {"role": "admin"},
        {"role": ["admin"]},
        {"groups": ["admin"]},
        {"realm_access": {"roles": ["admin"]}},
        {ROLE: "admin"},
        {"roles": ["reader"], "groups": ["staff"], "realm_access": {"roles": ["admin"]}},
    ],
)
def test_roles_of_a_token(claims):
    """Roles are found under every name in use, all of them at once."""
    assert to_principal(claims).is_in_role("admin")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"roles": []},
        {"roles": None},
        {"roles": ["Admin", "admin ", "administrators"]},
        {"roles": "reader admin"},
        {"roles": [["admin"]]},
        {"roles": {"admin": True}},
        {"role": True},
        {"admin": "admin"},
        {"scope": "admin"},
        {"realm_access": ["admin"]},
        {"realm_access": {"roles": {"admin": 1}}},
        {"resource_access": {"other": {"roles": ["admin"]}}},
    ],
)
def test_what_is_no_role(claims):
    """A role is a whole text in the right place, compared exactly."""
    assert not to_principal(claims).is_in_role("admin")


def test_no_role_is_empty():
    """Nobody is in the role without a name, even if a token lists one."""
    assert not to_principal({"roles": [""]}).is_in_role("")


def test_client_roles_count_for_the_named_client_only():
    """Keycloak's client roles count where the client is named, and only that client's."""
    claims = {"resource_access": {"api": {"roles": ["writer"]}, "shop": {"roles": ["owner"]}}}
    assert not to_principal(claims).is_in_role("writer")
    principal = to_principal(claims, resource="api")
    assert principal.is_in_role("writer")
    assert not principal.is_in_role("owner")
    assert not to_principal({"resource_access": []}, resource="api").is_in_role("writer")


def test_claims_of_a_token():
    """Each claim keeps its name; lists spread out, values are text as Python writes them, and the JSON is at hand."""
    principal = to_principal(
        {
            "iss": "https://id.example.com",
            "aud": ["a", "b"],
            "exp": 1700000000,
            "email_verified": True,
            "weight": 1.5,
            "nothing": None,
            "address": {"street": "Größe 1", "lines": [1, 2]},
            "empty": [],
        }
    )
    assert [(c.claim_type, c.value, c.value_type.removeprefix(XML_SCHEMA)) for c in principal.claims] == [
        ("iss", "https://id.example.com", "string"),
        ("aud", "a", "string"),
        ("aud", "b", "string"),
        ("exp", "1700000000", "integer"),
        ("email_verified", "True", "boolean"),
        ("weight", "1.5", "double"),
        ("nothing", "None", "JSON_NULL"),
        ("address", "{'street': 'Größe 1', 'lines': [1, 2]}", "JSON"),
    ]
    assert [c.properties.get("json") for c in principal.claims] == [
        *(None, None, None, "1700000000", "true", "1.5", "null", '{"street":"Größe 1","lines":[1,2]}')
    ]
    assert str(principal.find_first("email_verified")) == "email_verified: True"
    assert {c.issuer for c in principal.claims} == {"https://id.example.com"}


def test_principal_of_a_token_is_authenticated():
    """A token's principal is authenticated as bearer, or as what the caller says."""
    identity = to_principal({"sub": "1"}).identity
    assert identity is not None
    assert identity.authentication_type == "Bearer"
    assert identity.is_authenticated()
    other = to_principal({"sub": "1"}, "DPoP").identity
    assert other is not None
    assert other.authentication_type == "DPoP"


def test_role_type_of_a_token_leads_to_its_roles():
    """The identity's role type names a claim type under which roles stand."""
    identity = to_principal({"roles": ["a", "b"]}).identity
    assert isinstance(identity, ClaimsIdentity)
    assert [c.value for c in identity.find_all(identity.role_type_claim)] == ["a", "b"]


@pytest.mark.parametrize("issuer", [None, 7, ["https://id.example.com"]])
def test_token_without_usable_issuer(issuer):
    """Without a textual issuer the claims come from the local authority."""
    assert to_principal({"sub": "1", "iss": issuer}).claims[0].issuer == "LOCAL AUTHORITY"
