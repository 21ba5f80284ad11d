"""A provider's metadata: where it is, whether it can be read, and what in it is broken (RFC 8414, Discovery)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ...exceptions import DiscoveryException, PyIdentityModelException, printable
from ..base.addresses import is_public_host
from ..base.strict_json import StrictJSONError, loads_object
from ..base.urls import is_loopback, origin
from ..cache.freshness import told_lifetime
from ..discovery.checks import Lookup, parse_metadata
from ..discovery.fetch import OAUTH, OPENID, build_lookup, parse_discovery_url
from ..discovery.metadata import ENDPOINTS, DiscoveryDocumentResponse, DiscoveryPolicy
from .findings import Check, Finding
from .mistaken import mistaken
from .visit import Answer, host_of, scheme_of

FOUND: Final = Check(
    "metadata_found",
    "whether there is metadata at the well-known addresses",
    "clients find keys and endpoints there, and have no other way that follows a change",
    "publish it at the issuer's address with /.well-known/openid-configuration appended, reachable without a login",
    "OpenID Connect Discovery 4.1",
)
READABLE: Final = Check(
    "metadata_readable",
    "whether the metadata can be read: JSON, its media type, its size",
    "clients refuse what they cannot read, and two readers must not understand two things",
    "serve one JSON object as application/json, each member once",
    "OpenID Connect Discovery 4.2",
)
PLACES: Final = Check(
    "metadata_places",
    "whether the well-known addresses say the same",
    "clients of OAuth ask one address, those of OpenID the other: if they differ, each sees another provider",
    "serve one document at all of them, or at one only",
    "RFC 8414 5",
)
MEMBERS: Final = Check(
    "metadata_members",
    "members that cannot be used",
    "a client that needs the member fails there, and only there; the others go on",
    "correct the member, or leave it out",
    "RFC 8414 3.2",
)
REQUIRED: Final = Check(
    "metadata_required",
    "members that must be there",
    "strict clients refuse metadata without them",
    "add them",
    "OpenID Connect Discovery 3",
)
ENDPOINT_HOSTS: Final = Check(
    "endpoint_hosts",
    "whether endpoints lead where the issuer is: public, https, the same port",
    "an address of an inner network works inside and nowhere else, and lets a document send clients into your network",
    "give the provider its public address; inside, reach it by a backchannel",
    "RFC 8414 2",
)
CACHE: Final = Check(
    "metadata_cache",
    "how long the metadata may be kept",
    "what must not be kept is fetched again and again: a provider that is slow or down takes its APIs along",
    "send Cache-Control: public, max-age=3600, and an ETag",
    "RFC 9111 5.2",
)
CHECKS: Final = (FOUND, READABLE, PLACES, MEMBERS, REQUIRED, ENDPOINT_HOSTS, CACHE)

#: Everything may be looked at: a doctor needs no keys to go on.
_POLICY: Final = DiscoveryPolicy(require_https=False, require_key_set=False)


class Places(NamedTuple):
    """Where metadata is looked for, and whose it must be."""

    urls: tuple[str, ...]
    issuers: tuple[str, ...]
    #: Whether the address that was given is that of the document.
    document: bool


def places_of(url: str) -> Places:
    """Return where the metadata of an issuer is, or of the document that was named.

    >>> places_of("https://id.example.com").urls[1]
    'https://id.example.com/.well-known/oauth-authorization-server'
    """
    given = parse_discovery_url(url)
    document = given.issuer.rstrip("/") != url.rstrip("/")
    lookup = build_lookup(url, _POLICY)
    if not document:
        return Places(lookup.urls, lookup.issuers, document)
    known = any(suffix in url for suffix in (OPENID, OAUTH)) and "?" not in url
    more = build_lookup(lookup.issuers[0], _POLICY).urls if known else ()
    return Places(tuple(dict.fromkeys((*lookup.urls, *more))), lookup.issuers, document)


class Document(NamedTuple):
    """Metadata that was found."""

    answer: Answer
    raw: Mapping[str, Any]
    #: Why it is not what it must be, though it could be read.
    fault: str | None = None
    cause: str | None = None

    @property
    def issuer(self) -> str:
        """The issuer that it names, or nothing."""
        named = self.raw.get("issuer")
        return named if isinstance(named, str) else ""

    @property
    def is_openid(self) -> bool:
        """Whether it is that of an OpenID provider, not of a mere authorization server."""
        return "id_token_signing_alg_values_supported" in self.raw or "openid-configuration" in self.answer.url

    def text(self, name: str) -> str | None:
        """Return a member that is text."""
        value = self.raw.get(name)
        return value if isinstance(value, str) and value else None

    def texts(self, name: str) -> tuple[str, ...] | None:
        """Return a member that is a list of texts; None where it is not there, or something else."""
        value = self.raw.get(name)
        return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else None


def read(answer: Answer) -> Document | None:
    """Return the metadata in an answer, as far as there is any."""
    reply = answer.reply
    if reply is None or reply.status != 200:
        return None
    try:
        raw: Any = loads_object(reply.body)
        fault = cause = None
    except StrictJSONError as error:
        fault, cause = error.reason, "json_invalid"
        raw = _loosely(reply.body)
    if raw is None:
        return None
    if fault is None and reply.media_type != "application/json":
        fault, cause = f"it is sent as {printable(reply.media_type, 60) or 'of no type'}", "media_type"
    return Document(answer, raw, fault, cause)


def _loosely(body: bytes) -> dict[str, Any] | None:
    """Read what strict readers refuse: there may be more to say."""
    try:
        value = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# ---------------------------------------------------------------------------------------------------------------------
# Where it is


def found(
    places: Places, answers: Sequence[Answer], documents: Sequence[Document], elsewhere: Document | None = None
) -> Iterator[Finding]:
    """Judge where metadata was found, and how it can be read; *elsewhere* is what was found near by, if nothing was."""
    if documents:
        first = documents[0]
        asked = next((one for one in answers if one.url == places.urls[0]), None)
        late = asked is not None and first.answer.url != asked.url
        words = f"{first.answer.shown}" + (f" ({places.urls[0]}: {asked.words})" if late and asked else "")
        yield FOUND.passed(words)
        if first.fault is None:
            yield READABLE.passed(first.answer.words)
        else:
            yield READABLE.failed(first.fault, first.cause)
        yield _places(documents)
        return
    answer = next((one for one in answers if one.status not in (0, 404)), answers[0])
    cause, remedy = _absence(answer)
    if elsewhere is not None:
        cause, remedy = _near(elsewhere)
    tried = ", ".join(f"{one.shown}: {one.words}" for one in answers)
    yield FOUND.failed(tried, cause, remedy)
    if answer.status == 200:
        yield READABLE.failed(f"{answer.shown}: {answer.words}, no JSON object", cause)


def _near(elsewhere: Document) -> tuple[str, str]:
    """Return what metadata near by says."""
    if elsewhere.issuer.rstrip("/").endswith("/realms/master"):
        base = elsewhere.issuer.rstrip("/").removesuffix("master")
        return "keycloak_realm", f"Keycloak has an issuer for each realm: ask for {base}NAME, with your realm's name"
    there = f"there is metadata at {elsewhere.answer.shown}: ask for the issuer that it names"
    return "metadata_elsewhere", f"{there}, {elsewhere.issuer}"


def _absence(answer: Answer) -> tuple[str | None, str | None]:
    """Return why there is no metadata, and what to do."""
    reply = answer.reply
    if reply is None:
        code = answer.error.code if answer.error else None
        return code, _UNFETCHED.get(str(code))
    if reply.status in (401, 403):
        if b'"kind":"Status"' in reply.body.replace(b" ", b"") or host_of(answer.url).startswith("kubernetes"):
            text = (
                "a cluster keeps its metadata from strangers: bind the role system:service-account-issuer-discovery "
                "to system:unauthenticated, or fetch with the token of a service account (http_client=...)"
            )
            return "kubernetes_metadata_private", text
        if reply.media_type == "text/html":
            text = "a firewall or a login page stands before it: let machines through to /.well-known/ and the keys"
            return "metadata_blocked", text
        text = "metadata and keys are public: take the login, or the firewall's rule, away from /.well-known/"
        return "metadata_needs_login", text
    if reply.media_type == "text/html" and reply.status == 200:
        text = (
            "a web page answers: the address is the application's own and not the issuer, or the server behind it "
            "answers everything with its page (a single-page application: let /.well-known/ through)"
        )
        return "metadata_is_web_page", text
    if reply.status >= 500:
        return "provider_unavailable", "the provider, or what stands before it, is down: look into its log"
    if reply.status == 200:
        return "metadata_no_object", "it is no JSON object: another service answers at this address"
    return mistaken(answer.url)


_UNFETCHED: Final = {
    "redirect_cross_host": "the address redirects to another host: ask for the issuer there",
    "redirect_insecure": "the address redirects to, or from, plain http: ask for the https address at once",
    "redirect_limit": "the address redirects again and again: a proxy and the provider disagree about the scheme",
    "response_too_large": "no metadata is that large: the address is another's",
    "encoding_refused": "what stands before it compresses without being asked (Accept-Encoding: identity)",
}


def _places(documents: Sequence[Document]) -> Finding:
    if len(documents) == 1:
        return PLACES.passed("at one address")
    first = documents[0]
    differing = sorted(
        {
            name
            for other in documents[1:]
            for name in ("issuer", *ENDPOINTS)
            if name in first.raw and name in other.raw and first.raw[name] != other.raw[name]
        }
    )
    if differing:
        words = f"the {len(documents)} documents differ in {', '.join(differing)}"
        return PLACES.failed(words, "metadata_differs")
    return PLACES.passed(f"at {len(documents)} addresses, which agree")


# ---------------------------------------------------------------------------------------------------------------------
# What it says


def judged(document: Document) -> DiscoveryDocumentResponse | None:
    """Return the metadata as the library judges it, whoever's it is; None where it takes none of it."""
    reply = document.answer.reply
    if reply is None or not document.issuer:
        return None
    lookup = Lookup((document.answer.url,), (document.issuer,), document.answer.url)
    try:
        return parse_metadata(reply, lookup, _LOOKED_AT)
    except PyIdentityModelException:
        return None


_LOOKED_AT: Final = DiscoveryPolicy(require_key_set=False)


def members(document: Document, refused: DiscoveryException | None = None) -> Iterator[Finding]:
    """Judge the members one by one; *refused* is why this library takes none of it, if it does not."""
    known = judged(document)
    strange = _strange_endpoints(document)
    led_astray = {name for names in strange.values() for name in names}  # which endpoint_hosts tells better
    faults = {} if known is None else {name: one for name, one in known.faults.items() if name not in led_astray}
    for name, fault in sorted(faults.items()):
        used = name in _NEEDED
        words = f"{name}: {fault.message}"
        yield (MEMBERS.failed if used else MEMBERS.warned)(words, fault.code, _MEND.get(fault.code))
    if not faults and known is not None:
        yield MEMBERS.passed(f"all {'others ' if led_astray else ''}that are known can be used")
    if known is None:
        yield MEMBERS.skipped("the document is refused as a whole" + (f": {refused.message}" if refused else ""))
    yield _required(document)
    yield from _hosts(document, strange)
    yield _cache(document)


_NEEDED: Final = frozenset({"jwks_uri", "token_endpoint", "authorization_endpoint"})
_MEND: Final = {
    "discovery_endpoint_insecure": "the provider takes itself for plain http: have the proxy send X-Forwarded-Proto, "
    "or give the provider its public https address",
    "discovery_endpoint_loopback": "the provider hands out an address of its own machine: give it its public one",
    "discovery_endpoint_refused": "an endpoint is an absolute https address, without user, fragment and odd letters",
    "discovery_member_invalid": "its type is another than the norm's: a list of texts is no single text",
}


def _required(document: Document) -> Finding:
    names = ["issuer", "response_types_supported"]
    # RFC 8414 2: unless no grant uses them. A workload's issuer (Kubernetes, GitHub) has keys only.
    if document.raw.keys() & {"token_endpoint", "authorization_endpoint"}:
        grants = document.texts("grant_types_supported") or ("authorization_code",)
        names += ["token_endpoint"] + (["authorization_endpoint"] if "authorization_code" in grants else [])
    if document.is_openid:
        names += ["jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported"]
    missing = [name for name in names if document.raw.get(name) is None]
    if missing:
        fails = bool({"issuer", "jwks_uri", "token_endpoint"} & set(missing))
        words = f"there is no {', '.join(missing)}"
        return REQUIRED.failed(words, "metadata_incomplete") if fails else REQUIRED.warned(words, "metadata_incomplete")
    return REQUIRED.passed("all are there")


def _strange_endpoints(document: Document) -> dict[str, list[str]]:
    """Return the endpoints that lead elsewhere than the issuer, by what is odd about them."""
    home = document.issuer if "://" in document.issuer else document.answer.url
    strange: dict[str, list[str]] = {}
    for name in ENDPOINTS:
        cause = _strange(document.text(name), home)
        if cause is not None:
            strange.setdefault(cause, []).append(name)
    return strange


def _hosts(document: Document, strange: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    for cause, names in strange.items():
        shown = ", ".join(f"{name} {document.raw[name]}" for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield ENDPOINT_HOSTS.failed(shown + more, cause, _STRANGE[cause])
    if not strange:
        hosts = {host_of(document.text(name)) for name in ENDPOINTS if document.text(name)}
        yield ENDPOINT_HOSTS.passed(", ".join(sorted(hosts)) or "there are none")


def _strange(endpoint: str | None, home: str) -> str | None:
    """Return what is odd about where an endpoint leads."""
    host = host_of(endpoint)
    if endpoint is None or not host:
        return None
    if is_public_host(host_of(home)) and not is_public_host(host):
        return "endpoint_internal_host"
    if scheme_of(endpoint) == "http" and not is_loopback(host):
        return "endpoint_plain_http"
    if host == host_of(home) and _port(endpoint) != _port(home):
        return "endpoint_port"
    return None


def _port(url: str) -> str:
    try:
        return origin(url).rpartition("//")[2].partition(":")[2]
    except PyIdentityModelException:
        return ""


_STRANGE: Final = {
    "endpoint_internal_host": "the provider names hosts of its own network: give it its public address (Keycloak: "
    "--hostname, and --hostname-backchannel-dynamic off; Kubernetes: --service-account-jwks-uri); inside your network "
    "say backchannel=",
    "endpoint_plain_http": "the proxy that ends TLS does not say so: X-Forwarded-Proto: https, and the provider must "
    "heed it (Keycloak: --proxy-headers=xforwarded; IdentityServer: UseForwardedHeaders)",
    "endpoint_port": "the port was lost, or came in, at the proxy: have it pass on Host and X-Forwarded-Port, or give "
    "the provider its public address with the port",
}


def _cache(document: Document) -> Finding:
    return cache(CACHE, document.answer)


def cache(check: Check, answer: Answer) -> Finding:
    """Judge how long a document may be kept."""
    reply = answer.reply
    value = (reply.header("cache-control") if reply is not None else None) or ""
    if reply is None or not (value or reply.header("expires")):
        return check.passed("it does not say; this library keeps it for an hour")
    seconds = told_lifetime(reply, 0.0)
    if "max-age" in value.lower() and seconds >= _SHORT:
        return check.passed(f"{seconds:.0f} s")
    if seconds < _SHORT and ("no-" in value.lower() or "max-age" in value.lower()):
        return check.warned(f"Cache-Control: {value}: not to be kept; this library keeps it for a minute", "cache_none")
    return check.passed(f"Cache-Control: {value}" if value else "it has a date of expiry")


_SHORT: Final = 60.0


def library_verdict(document: Document, places: Places) -> DiscoveryException | None:
    """Return why this library would refuse the metadata; None where it takes it."""
    reply = document.answer.reply
    if reply is None:
        return None
    try:
        parse_metadata(reply, Lookup(places.urls, places.issuers, places.urls[0]), DiscoveryPolicy())
    except DiscoveryException as error:
        return error
    return None


__all__ = [
    "CHECKS",
    "Document",
    "Places",
    "cache",
    "found",
    "judged",
    "library_verdict",
    "members",
    "places_of",
    "read",
]
