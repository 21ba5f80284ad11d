"""Whose metadata it is: the issuer that was asked for, held against the one that is named, and why they differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ...exceptions import PyIdentityModelException, printable
from ..base.addresses import is_public_host
from ..base.urls import is_loopback, parse_url
from ..discovery.checks import same_issuer
from ..validation.hints import Cause, issuer_cause
from .findings import Check, Finding
from .visit import host_of

ISSUER: Final = Check(
    "issuer",
    "whether the metadata is of the issuer that was asked for, character by character",
    "a client that goes on takes the tokens of one issuer for those of another; most refuse to begin",
    "ask for the issuer exactly as the metadata names it, or correct the name at the provider",
    "OpenID Connect Discovery 4.3",
)
ISSUER_FORM: Final = Check(
    "issuer_form",
    "whether the issuer is an https URL without query and fragment",
    "clients derive addresses from the issuer, and compare it with iss in every token",
    "give the provider a public https address as its name",
    "RFC 8414 2",
)


def issuer(asked: Sequence[str], named: object) -> Finding:
    """Judge the issuer that metadata names.

    Args:
        asked: The issuers that the address stands for, the likeliest first.
        named: What the metadata says.
    """
    if not isinstance(named, str) or not named:
        return ISSUER.failed("the metadata names no issuer", "issuer_missing")
    if any(same_issuer(named, one) for one in asked):
        return ISSUER.passed(named)
    cause = _cause(asked[0], named)
    words = f"asked for {printable(asked[0])}, the metadata names {printable(named)}"
    if cause is None:
        return ISSUER.failed(words, "issuer_other")
    here = "" if cause.setting is None else f"; here: {cause.setting}"
    return ISSUER.failed(words, cause.name, cause.text + here)


def issuer_form(named: str) -> Finding:
    """Judge the form of an issuer."""
    host = host_of(named)
    if named.startswith("http:") and not is_loopback(host):
        text = (
            "the provider takes itself for plain http, most often behind a proxy that ends TLS: have the proxy send "
            "X-Forwarded-Proto and the provider heed it, or give it its public address (Keycloak: --hostname, "
            "--proxy-headers; Duende: forwarded headers; Spring: server.forward-headers-strategy)"
        )
        return ISSUER_FORM.failed(f"plain http: {named}", "issuer_plain_http", text)
    if "{" in named:
        return ISSUER_FORM.warned(f"a template, by which no token is: {named}", "issuer_template")
    try:
        parse_url(named, "issuer", allow_query=False)
    except PyIdentityModelException as error:
        return ISSUER_FORM.failed(error.message, "issuer_form")
    return ISSUER_FORM.passed("https, without query and fragment")


_Look = Callable[[str, str], Cause | None]


def _cause(asked: str, named: str) -> Cause | None:
    for look in _LOOKS:
        cause = look(asked, named)
        if cause is not None:
            return cause
    return issuer_cause((asked,), named)


def _slash(asked: str, named: str) -> Cause | None:
    if asked.rstrip("/") != named.rstrip("/"):
        return None
    other = "with" if named.endswith("/") else "without"
    return Cause(
        "issuer_trailing_slash",
        f"the provider writes its name {other} a slash at the end: write it so everywhere",
        f"issuer={printable(named)!r}",
    )


def _template(asked: str, named: str) -> Cause | None:
    if "{" not in named:
        return None
    text = (
        "the address stands for many tenants: ask for one tenant's issuer, or trust those you allow by "
        "IssuerTemplate(...), which compares each token's issuer"
    )
    return Cause("entra_many_tenants" if _is_entra(asked) else "issuer_template", text)


def _entra_version(asked: str, named: str) -> Cause | None:
    if not _is_entra(asked) or not named.startswith("https://sts."):
        return None
    text = (
        "this is the metadata of Entra's version 1, whose issuer is another: ask for the address with /v2.0 at its "
        "end, and set accessTokenAcceptedVersion to 2 in the API's manifest"
    )
    return Cause("entra_version_1", text, f"issuer={printable(asked.rstrip('/') + '/v2.0')!r}")


def _entra_tenant(asked: str, named: str) -> Cause | None:
    if not _is_entra(asked) or host_of(named) != host_of(asked):
        return None
    if any(word in asked.split("/") for word in ("common", "organizations", "consumers")):
        text = "the address stands for several tenants, whose tokens name their own: ask for one tenant's issuer"
        return Cause("entra_many_tenants", text)
    if not _GUID.search(asked) and _GUID.search(named):
        text = "Entra names its tenant by its ID, whatever name was asked for: write the ID"
        return Cause("entra_tenant_name", text, f"issuer={printable(named)!r}")
    return None


_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def _is_entra(url: str) -> bool:
    return host_of(url).startswith(("login.microsoftonline.", "login.windows.net", "login.partner.microsoftonline."))


def _document(asked: str, named: str) -> Cause | None:
    if "/.well-known/" not in named:
        return None
    text = (
        "the provider names the address of its metadata as its issuer: its base address is configured wrongly (it "
        "appends the path twice, or takes the request's address for its name)"
    )
    return Cause("issuer_is_metadata_address", text)


def _placeholder(asked: str, named: str) -> Cause | None:
    if "://" in named:
        return None
    text = "an issuer is a whole address, with https://: correct the name at the provider"
    return Cause("issuer_without_scheme", text)


def _scheme(asked: str, named: str) -> Cause | None:
    if asked.partition("://")[2].rstrip("/") != named.partition("://")[2].rstrip("/"):
        return None
    if named.startswith("http:"):
        text = (
            "the provider does not know that it is reached by https: have the proxy before it send X-Forwarded-Proto "
            "and the provider heed it, or give it its public address"
        )
        return Cause("issuer_scheme", text)
    return Cause("issuer_scheme", "the provider's name is with https: ask for it so", f"issuer={printable(named)!r}")


def _inside(asked: str, named: str) -> Cause | None:
    mine, theirs = host_of(asked), host_of(named)
    if not theirs or mine == theirs or is_public_host(mine) == is_public_host(theirs):
        return None
    if is_public_host(mine):
        text = (
            "the provider names an address of its own network, which nobody outside reaches: tell it its public one "
            "(Keycloak: --hostname; Kubernetes: --service-account-issuer; Gitea: ROOT_URL), or have the proxy pass on "
            "Host and X-Forwarded-Host"
        )
        return Cause("issuer_internal_host", text)
    back = f"{_split(asked).scheme}://{_split(asked).netloc}"
    text = "the provider is asked by an address of your network, and names its public one, which tokens carry"
    return Cause("issuer_internal_host", text, f"issuer={printable(named)!r}, backchannel={printable(back)!r}")


def _both_inside(asked: str, named: str) -> Cause | None:
    mine, theirs = host_of(asked), host_of(named)
    if not theirs or mine == theirs or is_public_host(mine):
        return None
    back = f"{_split(asked).scheme}://{_split(asked).netloc}"
    text = (
        "one provider with two names, as in Compose or a cluster: tokens carry the one that it names itself; trust "
        "that, and reach it by the other"
    )
    return Cause("issuer_internal_host", text, f"issuer={printable(named)!r}, backchannel={printable(back)!r}")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _port(asked: str, named: str) -> Cause | None:
    mine, theirs = _split(asked), _split(named)
    if mine.hostname != theirs.hostname or mine.netloc.lower() == theirs.netloc.lower() or mine.path != theirs.path:
        return None
    text = (
        "only the port differs: the proxy does not pass on the port (X-Forwarded-Port, Host), or the provider's public "
        "address leaves it out"
    )
    return Cause("issuer_port", text)


def _custom_domain(asked: str, named: str) -> Cause | None:
    if _split(asked).path.rstrip("/") != _split(named).path.rstrip("/") or host_of(asked) == host_of(named):
        return None
    if host_of(named).endswith(_OWN_DOMAINS):
        text = (
            "the custom domain leads there, and the provider still names its own: take its own name as the issuer, or "
            "have the authorization server's issuer set to the custom domain (Okta: Issuer, Custom URL)"
        )
        return Cause("issuer_custom_domain", text, f"issuer={printable(named)!r}")
    return None


#: Where providers have their customers by default.
_OWN_DOMAINS: Final = (
    *(".auth0.com", ".okta.com", ".oktapreview.com", ".amazonaws.com", ".b2clogin.com"),
    *(".salesforce.com", ".zitadel.cloud", ".onelogin.com", ".pingone.com", ".clerk.accounts.dev", ".fusionauth.io"),
)


def _cluster(asked: str, named: str) -> Cause | None:
    if host_of(named) == host_of(asked) or not host_of(asked).startswith("kubernetes.default"):
        return None
    text = (
        "a cluster's tokens name the issuer of the cluster (EKS: oidc.eks...), wherever its metadata is asked for: "
        "trust that name"
    )
    return Cause("kubernetes_issuer", text, f"issuer={printable(named)!r}, discovery_address=...")


_LOOKS: Final[tuple[_Look, ...]] = (
    _slash,
    _template,
    _document,
    _placeholder,
    _entra_version,
    _entra_tenant,
    _cluster,
    _scheme,
    _port,
    _custom_domain,
    _inside,
    _both_inside,
)

CHECKS: Final = (ISSUER, ISSUER_FORM)

__all__ = ["CHECKS", "issuer", "issuer_form"]
