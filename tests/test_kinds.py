"""Kinds of token: every kind that one set of keys may sign, held against every validator [A6] [C7]."""

from __future__ import annotations

from typing import Any

import pytest

from apis import ISSUER, NOW, Api, Provider
from py_identity_model import IdTokenPolicy, TokenValidationConfig
from py_identity_model._core.jose.jws import sign_compact
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model._core.validation.token_kinds import (
    EXTERNAL_CLAIMS,
    INTROSPECTION_RESPONSE,
    JARM_RESPONSE,
    LOGOUT_TOKEN,
    USERINFO_RESPONSE,
    Kind,
    check_typ,
)
from py_identity_model.exceptions import ConfigurationException, TokenValidationException

KEY = SigningKey.generate("ES256", kid="k1")
#: The audience of all of them: the worst case, an API that goes by its client_id.
US = "client-1"
TIMES = {"iat": NOW, "exp": NOW + 60}
EVENT = {"http://schemas.openid.net/event/backchannel-logout": {}}

#: name: header typ, claims beside iss and aud.
PRODUCED: dict[str, tuple[str | None, dict[str, Any]]] = {
    "access token": (None, {"sub": "ada", "scope": "a", "jti": "1", **TIMES}),
    "RFC 9068 access token": ("at+jwt", {"sub": "ada", "client_id": "c", "jti": "1", **TIMES}),
    "ID token": ("JWT", {"sub": "ada", "nonce": "n", **TIMES}),
    "ID token without nonce": (None, {"sub": "ada", "at_hash": "h", "auth_time": NOW, **TIMES}),
    "bare ID token": (None, {"sub": "ada", **TIMES}),
    "logout token": ("logout+jwt", {"sub": "ada", "jti": "1", "events": EVENT, **TIMES}),
    "logout token without typ": (None, {"sub": "ada", "jti": "1", "events": EVENT, **TIMES}),
    "JARM response": (None, {"code": "c", "state": "s", "exp": NOW + 60}),
    "JARM response of the hybrid flow": (None, {"code": "c", "access_token": "a", "scope": "a", "exp": NOW + 60}),
    "JARM error": (None, {"error": "access_denied", "state": "s", "exp": NOW + 60}),
    "typed JARM response": ("oauth-authz-resp+jwt", {"code": "c", "exp": NOW + 60}),
    "request object": (None, {"client_id": US, "response_type": "code", "scope": "openid", **TIMES}),
    "typed request object": ("oauth-authz-req+jwt", {"client_id": US, "scope": "openid", **TIMES}),
    "CIBA request": (None, {"login_hint": "ada", "scope": "openid", "jti": "1", "nbf": NOW, **TIMES}),
    "CIBA request with a token": (None, {"login_hint_token": "t", "scope": "openid", "client_id": US, **TIMES}),
    "client assertion": (None, {"sub": ISSUER, "jti": "1", **TIMES}),
    "UserInfo response": (None, {"sub": "ada", "name": "Ada", "email": "ada@example.com", "exp": NOW + 60}),
    "introspection response": (
        "token-introspection+jwt",
        {"iat": NOW, "token_introspection": {"active": True, "sub": "ada"}},
    ),
    "introspection response without typ": (None, {"token_introspection": {"active": True}, **TIMES}),
    "entity statement": ("entity-statement+jwt", {"sub": ISSUER, "jwks": {"keys": []}, **TIMES}),
    "entity statement without typ": (None, {"sub": "https://rp.example.com", "jwks": {"keys": []}, **TIMES}),
    "DPoP proof": ("dpop+jwt", {"htm": "GET", "htu": "https://api.example.com", "jti": "1", "sub": "a", **TIMES}),
    "security event token": ("secevent+jwt", {"events": {"urn:x": {}}, "jti": "1", "sub": "ada", **TIMES}),
    "security event token without typ": (None, {"events": {"urn:x": {}}, "jti": "1", "sub": "ada", **TIMES}),
    "key binding": ("kb+jwt", {"nonce": "n", "sd_hash": "h", "sub": "ada", **TIMES}),
    "key binding without typ": (None, {"sd_hash": "h", "sub": "ada", **TIMES}),
    "refresh token of Keycloak": (None, {"sub": "ada", "typ": "Refresh", "scope": "a", **TIMES}),
    "offline token of Keycloak": (None, {"sub": "ada", "typ": "Offline", "azp": US, **TIMES}),
    "access token of Keycloak": ("JWT", {"sub": "ada", "typ": "Bearer", "azp": US, "jti": "1", **TIMES}),
    "ID token of Keycloak": ("JWT", {"sub": "ada", "typ": "ID", "azp": US, "jti": "1", **TIMES}),
    "ID token of Cognito": (None, {"sub": "ada", "token_use": "id", "cognito:username": "ada", **TIMES}),
    "access token of Hydra": ("JWT", {"sub": "ada", "scp": ["openid"], "client_id": US, **TIMES}),
    "access token of zitadel": (None, {"sub": "ada", "client_id": US, "jti": "1", "nbf": NOW, **TIMES}),
    "software statement": (None, {"software_id": "s", "redirect_uris": [], "sub": "ada", **TIMES}),
}
#: Validator: what it takes. Everything else that is produced it refuses.
ACCESS = {"access token", "RFC 9068 access token", "access token of Keycloak", "access token of Hydra"} | {
    "access token of zitadel"
}
IDENTITY = {"ID token", "ID token without nonce", "ID token of Keycloak", "ID token of Cognito"}
#: An ID token with none of its claims says nothing that an access token does not: the docs say so.
BARE = {"bare ID token"}
TAKES = {
    "access_token": ACCESS | BARE,
    "rfc9068_access_token": {"RFC 9068 access token"},
    "id_token": IDENTITY | BARE,
    "access_or_id_token": ACCESS | IDENTITY | BARE,
}
#: Validators of answers that come straight from the provider.
INNER = {
    LOGOUT_TOKEN: {"logout token", "logout token without typ", "security event token without typ"},
    JARM_RESPONSE: {"JARM response", "JARM response of the hybrid flow", "JARM error", "typed JARM response"},
    INTROSPECTION_RESPONSE: {"introspection response"},
}


def minted(name: str) -> str:
    typ, claims = PRODUCED[name]
    return sign_compact({"iss": ISSUER, "aud": US, **claims}, KEY, typ=typ)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("kind", list(TAKES))
def test_every_kind_against_every_validator(api: Api, engine: str, kind: str) -> None:
    """Cold and warm, in both engines, a validator takes the tokens of its kind and nothing else that a key may sign."""
    built = api.validator(ISSUER, US, kind=kind, http_client=Provider(k1=KEY), engine=engine)
    for _ in range(2):
        taken = {name for name in PRODUCED if accepted(api, built, minted(name))}
        assert taken == TAKES[kind]


def accepted(api: Api, built: Any, token: str) -> bool:
    try:
        api.call(built.validate, token)
    except TokenValidationException as error:
        # Any other fault would hide whether its kind was told: it counts as taken, and fails the test.
        return error.code not in ("kind_mismatch", "typ_mismatch", "claim_missing")
    return True


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("kind", list(INNER), ids=lambda kind: kind.name)
def test_every_kind_against_the_validators_of_answers(api: Api, engine: str, kind: Kind) -> None:
    """Logout tokens, JARM and introspection responses are taken for nothing else, and nothing else for them."""
    built = api.validator(ISSUER, US, kind=kind, http_client=Provider(k1=KEY), engine=engine)
    for _ in range(2):
        assert {name for name in PRODUCED if accepted(api, built, minted(name))} == INNER[kind]


@pytest.mark.parametrize("kind", [USERINFO_RESPONSE, EXTERNAL_CLAIMS], ids=lambda kind: kind.name)
@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "kb+jwt"])
def test_a_foreign_typ_is_refused_in_answers(kind: Kind, typ: str) -> None:
    """What comes from an endpoint may be any claims about a user, but not by a typ of something else."""
    with pytest.raises(TokenValidationException):
        check_typ(kind, typ)


#: Good access tokens as real providers make them, payloads shortened.
REAL: dict[str, dict[str, Any]] = {
    "Keycloak": {"sub": "u", "typ": "Bearer", "azp": "c", "sid": "s", "acr": "1", "scope": "openid", "email": "a@b.c"},
    "Keycloak, DPoP": {"sub": "u", "typ": "DPoP", "azp": "c", "cnf": {"jkt": "x"}},
    "Keycloak, lightweight": {"typ": "Bearer", "azp": "c", "scope": ""},
    "Entra v1": {"sub": "u", "appid": "c", "scp": "a", "tid": "t", "ver": "1.0", "unique_name": "ada"},
    "Entra v2": {"sub": "u", "azp": "c", "scp": "a", "tid": "t", "ver": "2.0", "login_hint": "h", "name": "Ada"},
    "Auth0": {"sub": "c@clients", "azp": "c", "gty": "client-credentials", "permissions": ["a"]},
    "Okta": {"sub": "u", "cid": "c", "uid": "u", "scp": ["openid"], "auth_time": NOW},
    "Cognito": {"sub": "u", "client_id": "c", "token_use": "access", "scope": "a", "username": "ada"},
    "Hydra": {"sub": "u", "client_id": "c", "scp": ["openid"], "ext": {}},
    "GitHub Actions": {"sub": "repo:o/r:" + "x" * 300, "repository": "o/r", "ref": "refs/heads/main"},
    "GitLab": {"sub": "project_path:g/p:ref_type:branch:ref:main", "user_email": "a@b.c", "ref": "main"},
    "Kubernetes": {"sub": "system:serviceaccount:n:s", "kubernetes.io": {"namespace": "n"}},
    "Cloudflare Access, service": {"sub": "", "type": "app", "common_name": "x.access"},
    "Cloudflare Access": {"sub": "u", "type": "app", "email": "a@b.c", "identity_nonce": "n", "country": "NL"},
    "Google, for a service": {"sub": "1", "azp": "1", "email": "a@b.c", "email_verified": True},
    "oidc-provider": {"sub": "u", "client_id": "c", "scope": "a"},
    "Duende, for a client": {"client_id": "c", "scope": ["a"], "jti": "1"},
    "AD FS": {"appid": "c", "scp": "openid a", "upn": "ada@b.c", "roles": ["r"], "auth_time": "2026-11-18T08:27:46Z"},
    "AD FS, for a service": {"appid": "c", "scp": "a", "apptype": "Confidential"},
    "AD FS, without a scope": {"appid": "c", "ver": "1.0"},
    "an application's own claims": {"sub": "u", "code": "x1", "state": "Texas", "error": None, "typ": "special"},
}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("name", list(REAL))
def test_the_access_tokens_of_real_providers_are_accepted(api: Api, engine: str, name: str) -> None:
    """No mark of another kind stands in the access tokens that providers make."""
    built = api.validator(ISSUER, US, http_client=Provider(k1=KEY), engine=engine)
    token = sign_compact({"iss": ISSUER, "aud": [US], **REAL[name], **TIMES}, KEY)
    for _ in range(3):
        assert api.call(built.validate, token).keys() >= REAL[name].keys()


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("claim", ["scope", "scp", "appid"])
def test_what_names_no_subject_is_no_token_by_rfc_9068(api: Api, engine: str, claim: str) -> None:
    """A scope or AD FS's client alone is an access token; the profile demands more (RFC 9068 2.2, 4), to the letter."""
    options = {"http_client": Provider(k1=KEY), "engine": engine}
    claims = {"iss": ISSUER, "aud": US, claim: "a", "jti": "1", **TIMES}
    any_kind = api.validator(ISSUER, US, **options)
    profile = api.validator(ISSUER, US, kind="rfc9068_access_token", **options)
    for _ in range(2):
        assert api.call(any_kind.validate, sign_compact(claims, KEY))[claim] == "a"
        with pytest.raises(TokenValidationException) as caught:
            api.call(profile.validate, sign_compact(claims, KEY, typ="at+jwt"))
        assert (caught.value.code, caught.value.claim) == ("claim_missing", "client_id")
    with pytest.raises(TokenValidationException) as caught:
        api.call(any_kind.validate, sign_compact({"iss": ISSUER, "aud": US, "jti": "1", **TIMES}, KEY))
    assert caught.value.code == "claim_missing", "with none of them it is about nobody"


#: What else issuers sign, some of it with a scope of its own.
NO_TOKENS: dict[str, dict[str, Any]] = {
    "a JARM response": {"code": "c", "state": "s"},
    "a JARM response, implicit": {"access_token": "t", "token_type": "Bearer", "state": "s"},
    "a JARM response, of an error": {"error": "access_denied"},
    "a CIBA request": {"login_hint": "ada"},
    "a request object": {"response_type": "code", "redirect_uri": "https://a.example/cb"},
    "an introspection response": {"token_introspection": {"active": True}},
    "a logout token": {"sid": "s", "events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    "a client registration": {"redirect_uris": ["https://a.example/cb"]},
}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("claim", ["scope", "scp", "appid"])
@pytest.mark.parametrize("name", NO_TOKENS)
def test_a_scope_alone_makes_no_token_of_something_else(api: Api, engine: str, name: str, claim: str) -> None:
    """A scope or a client of AD FS stands in for the subject, not for the kind: marks of others count as ever (C7)."""
    built = api.validator(ISSUER, US, http_client=Provider(k1=KEY), engine=engine)
    token = sign_compact({"iss": ISSUER, "aud": US, claim: "a", **NO_TOKENS[name], **TIMES}, KEY)
    for _ in range(2):
        with pytest.raises(TokenValidationException) as caught:
            api.call(built.validate, token)
        assert caught.value.code == "kind_mismatch"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("claim", ["scope", "scp", "client_id"])
@pytest.mark.parametrize(
    ("proof", "expected", "good"),
    [({}, {}, False), ({"at_hash": "h"}, {}, True), ({"nonce": "n"}, {"nonce": "n"}, True)],
)
def test_an_id_token_with_a_claim_of_access_tokens(
    api: Api, claim: str, proof: dict[str, str], expected: dict[str, str], good: bool
) -> None:
    """Where nothing but the name says that it is an ID token, a scope or a client_id says that it is not."""
    built = api.validator(ISSUER, US, kind="id_token", http_client=Provider(k1=KEY))
    token = sign_compact({"iss": ISSUER, "aud": US, "sub": "ada", claim: "x", **proof, **TIMES}, KEY)
    if good:
        assert api.call(built.validate, token, **expected)[claim] == "x"
        return
    with pytest.raises(TokenValidationException, match="marks an access token") as caught:
        api.call(built.validate, token, **expected)
    assert (caught.value.code, caught.value.claim) == ("kind_mismatch", claim)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("claims", "words"),
    [
        (
            {"nonce": "n", "typ": "Bearer"},
            "Keycloak with its nonce mapper, or from before version 25: remove the mapper",
        ),
        ({"nonce": "n"}, 'kind="access_or_id_token" takes both'),
    ],
)
def test_the_refusal_of_another_kind_names_the_option(api: Api, claims: dict[str, str], words: str) -> None:
    """A nonce in an access token is Keycloak's, and the refusal says what to do."""
    built = api.validator(ISSUER, US, http_client=Provider(k1=KEY))
    token = sign_compact({"iss": ISSUER, "aud": US, "sub": "ada", **claims, **TIMES}, KEY)
    with pytest.raises(TokenValidationException) as caught:
        api.call(built.validate, token)
    assert words in str(caught.value.hint)
    assert "access_or_id_token" in str(caught.value.hint)
    built = api.validator(ISSUER, US, kind="access_or_id_token", http_client=Provider(k1=KEY))
    assert api.call(built.validate, token)["sub"] == "ada"


@pytest.mark.usefixtures("clock")
def test_an_empty_audience_where_any_is_accepted(api: Api, engine: str) -> None:
    """Hydra's access tokens name nobody: refused where we are named, accepted where any audience is."""
    token = sign_compact({"iss": ISSUER, "aud": [], "sub": "ada", "scp": [], **TIMES}, KEY)
    any_audience = api.validator(ISSUER, accept_any_audience=True, http_client=Provider(k1=KEY), engine=engine)
    ours = api.validator(ISSUER, US, http_client=Provider(k1=KEY), engine=engine)
    for _ in range(2):
        assert api.call(any_audience.validate, token)["aud"] == []
        with pytest.raises(TokenValidationException) as caught:
            api.call(ours.validate, token)
        assert caught.value.claim == "aud"


@pytest.mark.parametrize("name", ["types", "required", "forbidden", "one_of", "foreign"])
@pytest.mark.parametrize("value", ["at+jwt", None, 5, [5], {"a": 1}], ids=str)
def test_one_text_is_no_set_of_texts(name: str, value: Any) -> None:
    """A part of a text would be "in" it, and its letters are no names: the typ "jwt" is not one of "at+jwt"."""
    with pytest.raises(ConfigurationException) as caught:
        Kind("mine", **{"types": frozenset({""}), name: value})
    assert caught.value.claim == name


@pytest.mark.parametrize("name", ["trusted_audiences", "authorized_parties"])
@pytest.mark.parametrize("value", ["other-app", None, 5, [5]], ids=str)
def test_one_audience_is_no_set_of_audiences(name: str, value: Any) -> None:
    """Else a token for "app" would be one for "other-app" as well."""
    config = TokenValidationConfig(perform_disco=True, audience="client")
    with pytest.raises(ConfigurationException) as caught:
        IdTokenPolicy(config, **{name: value})
    assert caught.value.claim == name
    given: dict[str, Any] = {name: ["other-app"]}
    assert getattr(IdTokenPolicy(config, **given), name) == frozenset({"other-app"})
