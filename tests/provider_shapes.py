"""The providers of ``docs/providers``: their addresses, and the tokens that their pages show, signed at test time.

A page is the one source: its JSON is the shape of the tokens, its Python the settings. Here is what no page shows:
where a provider has its metadata, keys and endpoints. Shapes are those that providers document, with values made up; no
token of a real one is here.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from provider_mistakes import MISTAKES, Mistake
from py_identity_model._core.base.base64url import b64url_encode
from py_identity_model._core.base.flow import Reply, Request
from py_identity_model._core.jose.jws import half_hash
from py_identity_model._core.jose.signing_keys import SigningKey
from py_identity_model.testing import EmbeddedProvider
from py_identity_model.testing._faults import Answer

PAGES = Path(__file__).resolve().parent.parent / "docs" / "providers"
_JSON = re.compile(r"^### (?P<title>[^\n]+)$|^```json\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_DATES = ("iat", "nbf", "exp", "auth_time")
_SIGNS = EmbeddedProvider("https://shapes.example.com", algorithms=["RS256", "ES256"])
#: Signs what is no provider's.
STRANGER = SigningKey.generate("ES256")


@dataclass(frozen=True)
class Token:
    """A token as a page shows it."""

    page: str
    title: str
    header: Mapping[str, Any]
    payload: Mapping[str, Any]

    @property
    def is_id_token(self) -> bool:
        """Whether it is for the client that logged somebody in."""
        return self.title.startswith("ID token")

    @property
    def is_of_a_login(self) -> bool:
        """Whether it is for a login, on a page of ID tokens for an API."""
        return self.title == "ID token of a login"

    def signed(
        self, claims: Mapping[str, Any] | None = None, header: Mapping[str, Any] | None = None, *, foreign: bool = False
    ) -> str:
        """Sign it, issued a moment ago; None takes a claim or a member of the header out."""
        head = _without_none({**self.header, **(header or {})})
        moved = _without_none({**_moved(self.payload, time.time()), **(claims or {})})
        parts = (b64url_encode(json.dumps(part).encode()) for part in (head, moved))
        signing_input = ".".join(parts)
        key = STRANGER if foreign else _SIGNS.signing_key("ES256" if head["alg"] == "ES256" else "RS256")
        return f"{signing_input}.{b64url_encode(key.sign(signing_input.encode()))}"


def _without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _moved(payload: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the claims with their dates moved, so that the token was issued ten seconds ago."""
    shift = int(now) - 10 - payload["iat"]
    moves = {name for name in _DATES if isinstance(payload.get(name), int)}
    return {name: value + shift if name in moves else value for name, value in payload.items()}


@cache
def tokens_of(page: str) -> tuple[Token, ...]:
    """Return the tokens of a page, in order: below a heading, the JSON of a header and that of its claims."""
    found, title, parts = [], "", []
    for match in _JSON.finditer((PAGES / f"{page}.md").read_text(encoding="utf-8")):
        if match["title"]:
            title, parts = match["title"], []
            continue
        parts.append(json.loads(match["code"]))
        if len(parts) == 2:
            found.append(Token(page, title, *parts))
    return tuple(found)


def login_token(page: str) -> Token:
    """Return the ID token that a login brings: the one whose heading says so, or the first."""
    shown = [token for token in tokens_of(page) if token.is_id_token]
    return next((token for token in shown if token.is_of_a_login), shown[0])


@dataclass(frozen=True)
class Site:
    """What a provider serves.

    Attributes:
        issuers: Its metadata by the address at which it is, each with what differs from the everyday.
        jwks: Where its keys are.
        token: Its token endpoint.
        authorize: Its authorization endpoint.
        access: The access token that clients get, by the title on the page; None for an opaque one.
        keys: Members of its keys beside the everyday.
    """

    page: str
    issuers: Mapping[str, Mapping[str, Any]]
    jwks: str
    token: str = ""
    authorize: str = ""
    access: str | None = None
    keys: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self, address: str) -> dict[str, Any]:
        """Return the metadata at an address."""
        everyday = {
            "jwks_uri": self.jwks,
            "authorization_endpoint": self.authorize or None,
            "token_endpoint": self.token or None,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        return _without_none({**everyday, **self.issuers[address]})

    def key_set(self) -> dict[str, Any]:
        """Return the keys, under the names that the tokens of the page give."""
        named = {(token.header.get("kid"), token.header["alg"]) for token in tokens_of(self.page)}
        return {"keys": [self._key(kid, alg) for kid, alg in sorted(named, key=str)]}

    def _key(self, kid: str | None, alg: str) -> dict[str, Any]:
        public = _SIGNS.signing_key("ES256" if alg == "ES256" else "RS256").public_jwk or {}
        return _without_none({**public, "kid": kid, "use": "sig", **self.keys})


#: Hosts by which providers are reached from inside a network, and what they are called outside.
INSIDE = {"keycloak:8443": "sso.example.com"}


class Everyone:
    """All providers of the pages behind their addresses."""

    def __init__(self) -> None:
        #: The forms that came to token endpoints.
        self.asked: list[dict[str, str]] = []
        #: The nonce of the login that is under way.
        self.nonce: str | None = None

    def hosts(self) -> set[str]:
        """Return the hosts that answer here."""
        return {*INSIDE, *(urlsplit(address).netloc for site in SITES for address in _addresses(site))}

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        asked = request.url.partition("?")[0]
        host = urlsplit(asked).netloc
        address = asked.replace(host, INSIDE.get(host, host), 1)
        for site in SITES:
            if address in site.issuers:
                return _json(site.metadata(address))
            if address == site.jwks:
                return _json(site.key_set())
            if address == site.token:
                return _json(self._tokens(site, request))
        return Answer(Reply(404, (("content-type", "text/plain"),), b"There is nothing here."))

    def _tokens(self, site: Site, request: Request) -> dict[str, Any]:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        self.asked.append(form)
        tokens = tokens_of(site.page)
        access = next((token.signed() for token in tokens if token.title == site.access), "opaque-token")
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": 3600}
        if form["grant_type"] == "authorization_code":
            shown = login_token(site.page)
            hashed = {"at_hash": half_hash(shown.header["alg"], access)} if "at_hash" in shown.payload else {}
            answer["id_token"] = shown.signed({"nonce": self.nonce, **hashed})
        return answer


def _addresses(site: Site) -> Iterator[str]:
    yield from site.issuers
    yield from (address for address in (site.jwks, site.token) if address)


def _json(document: Mapping[str, Any]) -> Answer:
    return Answer(Reply(200, (("content-type", "application/json"),), json.dumps(document).encode()))


def names(page: Path) -> dict[str, Any]:
    """Return what the pages of providers take for granted: a token of the provider."""
    if page.parent != PAGES or not (shown := tokens_of(page.stem)):
        return {}
    return {"token": shown[0].signed()}


def mistakes_of(page: str) -> tuple[Mistake, ...]:
    """Return what is done wrong with a provider."""
    return MISTAKES.get(page, ())


def _site(
    page: str, issuer: str, jwks: str, token: str = "", authorize: str = "", access: str | None = None, **more: Any
) -> Site:
    """Return a provider with one issuer, whose metadata is below it."""
    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    keys = more.pop("keys", {})
    return Site(page, {address: {"issuer": issuer, **more}}, jwks, token, authorize, access, keys)


_REALM = "https://sso.example.com/realms/shop"
_VERSION_1 = ("login.microsoftonline.com", "sts.windows.net")
_TENANT = "11111111-2222-3333-4444-555555555555"
_ENTRA = f"https://login.microsoftonline.com/{_TENANT}"
_B2C = "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_signin"
_AUTHENTIK = "https://authentik.example.com/application/o/shop/"
_ZITADEL = "https://acme-x1y2z3.eu1.zitadel.cloud"
_EKS = "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
_ADFS = "https://fs.example.com/adfs"

#: Tokens that are for other settings of their page than the first.
FOR_OTHER_SETTINGS = {
    ("entra-id", "Access token, version 1"): 1,
    ("entra-id", "Access token of a service"): 2,
    ("entra-external-id", "Access token, Azure AD B2C"): 1,
    ("duende", "Access token of a service"): 1,
}

SITES: tuple[Site, ...] = (
    _site(
        "keycloak",
        _REALM,
        f"{_REALM}/protocol/openid-connect/certs",
        f"{_REALM}/protocol/openid-connect/token",
        f"{_REALM}/protocol/openid-connect/auth",
        "Access token",
        end_session_endpoint=f"{_REALM}/protocol/openid-connect/logout",
        authorization_response_iss_parameter_supported=True,
    ),
    Site(
        "entra-id",
        {
            f"{_ENTRA}/v2.0/.well-known/openid-configuration": {"issuer": f"{_ENTRA}/v2.0"},
            f"{_ENTRA}/.well-known/openid-configuration": {"issuer": _ENTRA.replace(*_VERSION_1) + "/"},
            "https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration": {
                "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"
            },
        },
        f"{_ENTRA}/discovery/v2.0/keys",
        f"{_ENTRA}/oauth2/v2.0/token",
        f"{_ENTRA}/oauth2/v2.0/authorize",
        "Access token of a service",
    ),
    _site(
        "auth0",
        "https://acme.eu.auth0.com/",
        "https://acme.eu.auth0.com/.well-known/jwks.json",
        "https://acme.eu.auth0.com/oauth/token",
        "https://acme.eu.auth0.com/authorize",
        "Access token of a service",
    ),
    _site(
        "okta",
        "https://acme.okta.com/oauth2/default",
        "https://acme.okta.com/oauth2/default/v1/keys",
        "https://acme.okta.com/oauth2/default/v1/token",
        "https://acme.okta.com/oauth2/default/v1/authorize",
        "Access token of a service",
        code_challenge_methods_supported=["S256"],
    ),
    _site(
        "cognito",
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123",
        "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123/.well-known/jwks.json",
        "https://acme.auth.eu-west-1.amazoncognito.com/oauth2/token",
        "https://acme.auth.eu-west-1.amazoncognito.com/oauth2/authorize",
        "Access token of a service",
    ),
    _site(
        "google",
        "https://accounts.google.com",
        "https://www.googleapis.com/oauth2/v3/certs",
        "https://oauth2.googleapis.com/token",
        "https://accounts.google.com/o/oauth2/v2/auth",
        code_challenge_methods_supported=["plain", "S256"],
    ),
    _site(
        "apple",
        "https://appleid.apple.com",
        "https://appleid.apple.com/auth/keys",
        "https://appleid.apple.com/auth/token",
        "https://appleid.apple.com/auth/authorize",
        response_modes_supported=["query", "fragment", "form_post"],
        token_endpoint_auth_methods_supported=["client_secret_post"],
    ),
    _site(
        "adfs",
        _ADFS,
        f"{_ADFS}/discovery/keys",
        f"{_ADFS}/oauth2/token/",
        f"{_ADFS}/oauth2/authorize/",
        "Access token of a service",
        access_token_issuer="http://fs.example.com/adfs/services/trust",
    ),
    _site(
        "firebase",
        "https://securetoken.google.com/shop-3f2a1",
        "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
    ),
    Site(
        "entra-external-id",
        {
            f"https://contoso.ciamlogin.com/{_TENANT}/v2.0/.well-known/openid-configuration": {
                "issuer": f"https://{_TENANT}.ciamlogin.com/{_TENANT}/v2.0"
            },
            f"{_B2C}/v2.0/.well-known/openid-configuration": {
                "issuer": f"https://contoso.b2clogin.com/{_TENANT}/v2.0/"
            },
        },
        f"https://{_TENANT}.ciamlogin.com/{_TENANT}/discovery/v2.0/keys",
        f"https://{_TENANT}.ciamlogin.com/{_TENANT}/oauth2/v2.0/token",
        f"https://{_TENANT}.ciamlogin.com/{_TENANT}/oauth2/v2.0/authorize",
        "Access token, External ID",
    ),
    _site(
        "github-actions",
        "https://token.actions.githubusercontent.com",
        "https://token.actions.githubusercontent.com/.well-known/jwks",
    ),
    _site(
        "gitlab",
        "https://gitlab.com",
        "https://gitlab.com/oauth/discovery/keys",
        "https://gitlab.com/oauth/token",
        "https://gitlab.com/oauth/authorize",
    ),
    _site(
        "spring-authorization-server",
        "https://auth.example.com",
        "https://auth.example.com/oauth2/jwks",
        "https://auth.example.com/oauth2/token",
        "https://auth.example.com/oauth2/authorize",
        "Access token of a service",
        code_challenge_methods_supported=["S256"],
        token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post"],
    ),
    _site(
        "ory-hydra",
        "https://hydra.example.com",
        "https://hydra.example.com/.well-known/jwks.json",
        "https://hydra.example.com/oauth2/token",
        "https://hydra.example.com/oauth2/auth",
        "Access token of a service",
        code_challenge_methods_supported=["plain", "S256"],
        backchannel_logout_supported=True,
    ),
    _site(
        "oidc-provider",
        "https://op.example.com",
        "https://op.example.com/jwks",
        "https://op.example.com/token",
        "https://op.example.com/auth",
        "Access token of a service",
        code_challenge_methods_supported=["S256"],
        authorization_response_iss_parameter_supported=True,
    ),
    _site(
        "dex",
        "https://dex.example.com/dex",
        "https://dex.example.com/dex/keys",
        "https://dex.example.com/dex/token",
        "https://dex.example.com/dex/auth",
        code_challenge_methods_supported=["S256", "plain"],
    ),
    _site(
        "authentik",
        _AUTHENTIK,
        f"{_AUTHENTIK}jwks/",
        "https://authentik.example.com/application/o/token/",
        "https://authentik.example.com/application/o/authorize/",
        "Access token of a service",
        end_session_endpoint=f"{_AUTHENTIK}end-session/",
    ),
    _site(
        "zitadel",
        _ZITADEL,
        f"{_ZITADEL}/oauth/v2/keys",
        f"{_ZITADEL}/oauth/v2/token",
        f"{_ZITADEL}/oauth/v2/authorize",
        "Access token",
        code_challenge_methods_supported=["S256"],
    ),
    _site(
        "duende",
        "https://ids.example.com",
        "https://ids.example.com/.well-known/openid-configuration/jwks",
        "https://ids.example.com/connect/token",
        "https://ids.example.com/connect/authorize",
        "Access token of a service",
        code_challenge_methods_supported=["plain", "S256"],
        authorization_response_iss_parameter_supported=True,
    ),
    _site("kubernetes", _EKS, f"{_EKS}/keys"),
    Site("cloudflare-access", {}, "https://acme.cloudflareaccess.com/cdn-cgi/access/certs"),
    _site("aws-alb", "https://idp.acme.example", "https://idp.acme.example/jwks"),
)

__all__ = [
    "FOR_OTHER_SETTINGS",
    "PAGES",
    "SITES",
    "Everyone",
    "Site",
    "Token",
    "login_token",
    "mistakes_of",
    "names",
    "tokens_of",
]
